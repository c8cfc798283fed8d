import { counted, listed } from '../../util/text.ts';
import { ok, type Outcome, warning } from '../check.ts';
import type { MutatingPolicy } from '../view/view.ts';
import { isOurs } from '../webhook/registration.ts';
import { concernsPods } from '../webhook/scope.ts';

const SETS_DNS = /\bdns(Config|Policy)\b/;

/** Judges MutatingAdmissionPolicies (stable from Kubernetes 1.36 on) that set the DNS of Pods. They act before all webhooks. */
export function judgePolicies(all: readonly MutatingPolicy[]): Outcome {
  const policies = all.filter((one) => !isOurs(one));
  const setting = policies.filter(
    ({ rules, mutations }) =>
      concernsPods(rules, 'CREATE') && mutations.some((expression) => SETS_DNS.test(expression)),
  );
  const bound = setting.filter(({ bindings }) => bindings.length > 0);
  const data = { policies: policies.length, settingDns: setting.map(({ name, bindings }) => ({ name, bindings })) };
  const unbound = setting.filter(({ bindings }) => bindings.length === 0).map(({ name }) => name);
  const details = unbound.length > 0 ? [`without a binding, and so without effect: ${listed(unbound)}`] : [];
  if (bound.length === 0) {
    const none = all.length === 0 ? 'there is none' : 'there is none but ours';
    const seen = policies.length === 0 ? none : `none of ${policies.length} sets the DNS of Pods`;
    return ok(`MutatingAdmissionPolicies: ${seen}`, { data, details });
  }
  const seen = `${counted(bound.length, 'MutatingAdmissionPolicy sets', 'MutatingAdmissionPolicies set')} the DNS of Pods: ${listed(bound.map(({ name }) => name))}`;
  return warning(seen, {
    data,
    details: ['they act before the webhook, which keeps what they have set and adds what is missing', ...details],
    advice: [
      {
        text: "They cannot see an image's resolver: leave DNS to one of the two. Their bindings:",
        command: 'kubectl get mutatingadmissionpolicybindings',
      },
    ],
  });
}
