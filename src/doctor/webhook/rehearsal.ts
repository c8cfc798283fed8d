import type { Labels } from '../../kubernetes/objects.ts';
import { DECISION_ANNOTATION, LIBC_ANNOTATION } from '../../policy/annotations.ts';
import { MODE_LABEL } from '../../policy/scope.ts';
import { type Advice, failure, ok, type Outcome, skipped } from '../check.ts';

/** A Pod that every Pod security level allows. Its resolver is declared, so no registry is asked. It is never started. */
export const REHEARSED_POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    generateName: 'libc-dns-doctor-',
    labels: { [MODE_LABEL]: 'enforce' },
    annotations: { [LIBC_ANNOTATION]: 'glibc' },
  },
  spec: {
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'doctor',
        image: 'libc-dns.dev/never-started:1',
        resources: { requests: { cpu: '1m', memory: '1Mi' }, limits: { cpu: '1m', memory: '1Mi' } },
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  },
} as const;

const elsewhere = (): Advice => ({
  text: 'Choose a namespace whose Pods are enforced or unlabelled: doctor --namespace NAMESPACE.',
});

/**
 * Returns why a rehearsal in this namespace would show nothing; undefined if it can be made there. `byPolicy`: no webhook is called, and the
 * API server's policy sees the Pods of namespaces in scope alone.
 */
export function skipReason(
  namespace: string,
  labels: Labels | undefined,
  never: readonly string[],
  byPolicy = false,
): Outcome | undefined {
  if (labels === undefined) return skipped(`there is no namespace ${namespace}`, { advice: [elsewhere()] });
  if (never.includes(namespace)) return skipped(`namespace ${namespace} is never in scope`, { advice: [elsewhere()] });
  if (byPolicy && labels[MODE_LABEL] !== 'enforce') {
    const text = `namespace ${namespace} has no label ${MODE_LABEL}: enforce, and the API server's policy goes by that`;
    return skipped(text, { advice: [elsewhere()] });
  }
  if (labels[MODE_LABEL] !== 'audit') return undefined;
  return skipped(`namespace ${namespace} is audited: nothing is patched there`, { advice: [elsewhere()] });
}

/** The result of creating {@link REHEARSED_POD} as a dry run. */
export type Rehearsal = { readonly annotations: Labels } | { readonly refused: string };

const REACH: Advice = {
  text: 'The API server did not get an answer it trusts. Its log says why: x509 is the CA, i/o timeout a firewall, security group or NetworkPolicy between control plane and Pods. docs/runbook.md#libcdnswebhookfailsopen.',
};

const LEARN: Advice = {
  text: "The API server's policy does not know the namespace: kubectl get podresolvers -A, and doctor --check registration.",
};

/**
 * Judges whether the API server reaches the webhook, trusts it and applies its patch, as for any Pod; `byPolicy`: whether its own policy
 * does.
 */
export function judgeRehearsal(namespace: string, rehearsal: Rehearsal, byPolicy = false): Outcome {
  const data = { namespace };
  if ('refused' in rehearsal) {
    const { refused } = rehearsal;
    if (/failed calling webhook/i.test(refused) && /libc-dns\.dev/.test(refused)) {
      return failure(`a Pod was refused, for the API server could not ask the webhook: ${refused}`, {
        data,
        advice: [REACH],
      });
    }
    return skipped(`a Pod as a dry run in ${namespace} was refused: ${refused}`, { data, advice: [elsewhere()] });
  }
  const decision = rehearsal.annotations[DECISION_ANNOTATION];
  if (decision === undefined) {
    return failure(`a Pod that is in scope came back as it was (dry run in ${namespace})`, {
      data,
      advice: [byPolicy ? LEARN : REACH],
    });
  }
  return ok(`a Pod that is in scope came back patched (dry run in ${namespace})`, { data: { ...data, decision } });
}
