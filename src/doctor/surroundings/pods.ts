import { appliedDecision, type AppliedDecision, lostPatch } from '../../audit/decided.ts';
import type { OwnerSeen, PodSeen } from '../../cluster/pod-seen.ts';
import type { DnsConfig, PolicyConfig } from '../../policy/model.ts';
import { compareText, counted, listed } from '../../util/text.ts';
import { ok, type Outcome, skipped, warning } from '../check.ts';

const appliedTo = ({ view }: PodSeen): AppliedDecision | undefined => appliedDecision(view.annotations);

/** Returns the part of our patch that something has overwritten in the Pod; undefined if the whole patch is there. */
export function overwrittenPatch(pod: PodSeen, config: Pick<PolicyConfig, 'glibc'>): string | undefined {
  const applied = appliedTo(pod);
  return applied && lostPatch(pod.view, applied, config);
}

const texts = ({ nameservers, searches, options }: DnsConfig): string[] => [
  ...nameservers.map((address) => `nameserver ${address}`),
  ...searches.map((domain) => `search ${domain}`),
  ...options.map(({ name, value }) => (value === undefined ? name : `${name}:${value}`)),
];

/** Returns the DNS settings that a Pod has and its template does not. */
export function added(pod: DnsConfig, template: DnsConfig): string[] {
  const known = new Set(texts(template));
  return texts(pod).filter((text) => !known.has(text));
}

/** A workload whose Pods have a dnsConfig that is not ours, with one of its Pods. */
interface Suspect {
  readonly owner: OwnerSeen;
  readonly pod: PodSeen;
  readonly pods: number;
}

/** Returns the workloads whose Pods have a dnsConfig that is not ours, the largest first, at most `most`. */
export function suspects(pods: readonly PodSeen[], most: number): Suspect[] {
  const carrying = pods.filter((pod) => texts(pod.view.dnsConfig).length > 0 && appliedTo(pod) === undefined);
  const owned = carrying.flatMap((pod) => (pod.owner === undefined ? [] : [{ pod, owner: pod.owner }]));
  const groups = Map.groupBy(owned, ({ pod, owner }) => `${pod.namespace}/${owner.kind}/${owner.name}`);
  return [...groups.values()]
    .flatMap(([first, ...others]) => (first === undefined ? [] : [{ ...first, pods: others.length + 1 }]))
    .toSorted((left, right) => right.pods - left.pods || compareText(left.pod.name, right.pod.name))
    .slice(0, most);
}

interface PodsEvidence {
  readonly pods: readonly PodSeen[];
  readonly config: Pick<PolicyConfig, 'glibc'>;
  /** For each of {@link suspects}, what was added to the template; may be empty. */
  readonly changed: readonly { readonly suspect: Suspect; readonly added: readonly string[] }[];
}

const place = ({ suspect: { pod, owner } }: PodsEvidence['changed'][number]): string =>
  `${pod.namespace}/${owner.kind.toLowerCase()}/${owner.name}`;

/** Judges whether something else has changed the DNS of Pods, after the webhook or without it. */
export function judgePods({ pods, config, changed }: PodsEvidence): Outcome {
  if (pods.length === 0) return skipped('there are no Pods');
  const lost = pods.flatMap((pod) => {
    const what = overwrittenPatch(pod, config);
    return what === undefined ? [] : [{ name: `${pod.namespace}/${pod.name}`, what }];
  });
  const others = changed.filter((one) => one.added.length > 0);
  const patched = pods.filter((pod) => appliedTo(pod) !== undefined).length;
  const data = {
    pods: pods.length,
    patched,
    undone: lost.map(({ name }) => name).slice(0, 100),
    changedByOthers: others.map((one) => ({ workload: place(one), added: one.added })),
  };
  const byOthers = others.map((one) => `${place(one)}: ${listed(one.added, 6)}`);
  const who = { text: 'Find the webhook or policy that does it: see other-injectors and policies.' };
  if (lost.length > 0) {
    const seen = `${counted(lost.length, 'Pod')} lost what the webhook had set: ${listed(
      lost.map(({ name, what }) => `${name} (${what})`),
      3,
    )}`;
    return warning(seen, { data, details: byOthers.slice(0, 5), advice: [who] });
  }
  if (others.length > 0) {
    const seen = `${counted(others.length, 'workload')} whose Pods got DNS settings that neither their author nor this webhook wrote`;
    return warning(seen, { data, details: byOthers.slice(0, 8), advice: [who] });
  }
  return ok(`${patched} of ${counted(pods.length, 'Pod')} patched by the webhook; nobody else has set the DNS of any`, {
    data,
  });
}
