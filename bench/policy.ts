import { REACHES_ALL } from '../src/exposure/dns-target.ts';
import { applySpec, podResolversSpec } from '../src/pod-resolvers/object.ts';
import { finishedRemedies } from '../src/pod-resolvers/remedies.ts';
import { MODE_LABEL } from '../src/policy/scope.ts';
import { hasHelm, renderText } from '../test/chart/helm.ts';
import { objects } from '../test/chart/rendered.ts';
import type { TestCluster } from '../test/support/cluster.ts';
import { installPodResolvers } from '../test/support/pod-resolvers.ts';
import { facts, policy } from '../test/support/policy.ts';

/** Images that the API server's policy knows of in a namespace, the measured one among them. */
const IMAGES = [100, 5000];

const kindOf = (images: number): string => `policy-${images}`;

/** The label of the namespaces whose Pods the policy sees. */
const ONLY = 'bench-policy';

/**
 * Installs the API server's own policy, as the chart has it, with namespaces `bench-policy-100` and `bench-policy-5000`. Resolves to what
 * follows `bench-`; to nothing if there is no Helm, which it says.
 */
export async function installPolicies(cluster: TestCluster, image: string): Promise<readonly string[]> {
  if (!hasHelm()) return [];
  const selector = JSON.stringify({ matchLabels: { [ONLY]: 'yes' } });
  const values = ['admissionPolicy.enabled=true', `webhook.namespaceSelector=${selector}`];
  await installPodResolvers(cluster);
  await cluster.apply(...objects(renderText(values, ['-s', 'templates/admission-policy.yaml'])));
  for (const count of IMAGES) {
    const name = `bench-${kindOf(count)}`;
    await cluster.createNamespace(name, { [MODE_LABEL]: 'enforce', [ONLY]: 'yes' });
    const others = Array.from({ length: count - 1 }, (_, index) => {
      const digest = index.toString(16).padStart(64, '0');
      return [`registry.bench.example/team-${index % 50}/service-${index}@sha256:${digest}`, 'musl'] as const;
    });
    const terms = { namespace: { name, labels: {} }, cluster: facts, config: policy(), reach: REACHES_ALL };
    const spec = podResolversSpec(finishedRemedies(terms), 'amd64', new Map([[image, 'glibc'], ...others]));
    await cluster.client.request(applySpec(name, spec));
  }
  return IMAGES.map(kindOf);
}

const CHECKS = /^apiserver_mutating_admission_policy_check_duration_seconds_(sum|count)\{[^}]*\} (\S+)$/gm;
const PROCESSOR = /^process_cpu_seconds_total (\S+)$/m;

/** What the API server says of itself: seconds of processor time, and seconds that policies have taken and how often. */
export interface ApiServerTime {
  readonly processor: number;
  readonly policies: { readonly seconds: number; readonly checks: number };
}

export async function apiServerTime({ kubectl }: TestCluster): Promise<ApiServerTime> {
  const text = await kubectl(['get', '--raw', '/metrics']);
  const total = { sum: 0, count: 0 };
  for (const [, what, value] of text.matchAll(CHECKS)) total[what as 'sum' | 'count'] += Number(value);
  return {
    processor: Number(PROCESSOR.exec(text)?.[1]),
    policies: { seconds: total.sum, checks: total.count },
  };
}
