import { counted, listed } from '../../util/text.ts';
import { ok, type Outcome, warning } from '../check.ts';
import type { WebhookConfiguration, WebhookEntry } from '../view/view.ts';
import { isOurs } from '../webhook/registration.ts';
import { concernsPods } from '../webhook/scope.ts';

/** Matches names of webhooks about DNS: dnsconfig-injector, node-local-dns, ndots-admission-controller, … */
const ABOUT_DNS = /dns|ndots/i;

/** Matches policy engines and mutators: their rules may change anything. */
const POLICY_ENGINE = /kyverno|gatekeeper|jspolicy|kubewarden|polaris|pod-mutator/i;

interface Other {
  readonly configuration: string;
  readonly entry: WebhookEntry;
}

const nameOf = ({ configuration, entry }: Other): string => `${configuration} (${entry.name})`;

function names({ configuration, entry }: Other): string {
  return [configuration, entry.name, entry.service?.name ?? '', entry.url ?? ''].join(' ');
}

const MEANS = 'what it sets counts as written by the author of the Pod: the webhook keeps it, and adds what is missing';
const ADVICE = {
  text: 'Two injectors of DNS options conflict: turn the other one off for the namespaces in scope here. libc-dns audit shows the affected Pods.',
};

/** Judges other webhooks that are called for new Pods and may set their DNS. */
export function judgeInjectors(configurations: readonly WebhookConfiguration[]): Outcome {
  const others = configurations.flatMap(({ name, entries }) =>
    entries
      .filter((entry) => !isOurs(entry) && concernsPods(entry.rules, 'CREATE'))
      .map((entry): Other => ({ configuration: name, entry })),
  );
  const dns = others.filter((other) => ABOUT_DNS.test(names(other)));
  const anything = others.filter((other) => !dns.includes(other) && POLICY_ENGINE.test(names(other)));
  const data = { webhooks: others.map(nameOf), aboutDns: dns.map(nameOf) };
  const details = [
    ...(anything.length > 0 ? [`may do so, too, if their rules say so: ${listed(anything.map(nameOf), 3)}`] : []),
    ...(others.length > dns.length + anything.length
      ? [
          `see Pods, and are about something else by their names: ${listed(others.filter((other) => !dns.includes(other) && !anything.includes(other)).map(nameOf), 4)}`,
        ]
      : []),
  ];
  if (dns.length > 0) {
    const seen = `${counted(dns.length, 'other webhook sets', 'other webhooks set')} the DNS of Pods, by the name: ${listed(dns.map(nameOf), 4)}`;
    return warning(seen, { data, details: [MEANS, ...details], advice: [ADVICE] });
  }
  const seen =
    others.length === 0
      ? 'no other webhook sees Pods'
      : `${counted(others.length, 'other webhook sees', 'other webhooks see')} Pods, none is about DNS by its name`;
  return ok(seen, { data, details });
}
