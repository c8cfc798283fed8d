import type { PodSeen } from '../../cluster/pod-seen.ts';
import { effectiveMode } from '../../policy/scope.ts';
import { compareText } from '../../util/text.ts';
import { ok, type Outcome, skipped } from '../check.ts';
import type { Evidence } from '../evidence.ts';
import type { Check } from '../run.ts';
import { dnsReplicas } from './dns-replicas.ts';
import { judgeInjectors } from './injectors.ts';
import { added, judgePods, suspects } from './pods.ts';
import { judgePolicies } from './policies.ts';
import { judgeRegistries, type InspectedImage } from './registries.ts';

/** Registries asked at most, for one image each. */
const MOST_REGISTRIES = 10;

/** Milliseconds for one image. */
const LOOK_MS = 15_000;

/** Workloads whose templates are read at most. */
const MOST_WORKLOADS = 40;

async function policies(evidence: Evidence): Promise<Outcome> {
  try {
    return judgePolicies(await (await evidence.view()).mutatingPolicies());
  } catch (error) {
    if ((error as { code?: string }).code !== 'not-found') throw error;
    return ok('the API server has no MutatingAdmissionPolicies', { data: { policies: 0 } });
  }
}

async function pods(evidence: Evidence): Promise<Outcome> {
  const [view, all, config] = await Promise.all([evidence.view(), evidence.pods(), evidence.policy()]);
  const changed = await Promise.all(
    suspects(all, MOST_WORKLOADS).map(async (suspect) => {
      const { owner, pod } = suspect;
      const template = await view.templateDns(owner, pod.namespace).catch(() => undefined);
      return { suspect, added: template === undefined ? [] : added(pod.view.dnsConfig, template) };
    }),
  );
  return judgePods({ pods: all, config, changed });
}

/** Returns the Pods in scope; if none are, or the webhook is not registered, all Pods that could be. */
async function podsInScope(evidence: Evidence): Promise<{ pods: readonly PodSeen[]; whose: string }> {
  const [all, config, namespaces, ours, target] = await Promise.all([
    evidence.pods(),
    evidence.policy(),
    (await evidence.view()).namespaces(),
    evidence.ours(),
    evidence.target(),
  ]);
  const within = (scope: typeof config.scope): readonly PodSeen[] =>
    all.filter(({ namespace, view }) => {
      const place = { name: namespace, labels: namespaces.get(namespace) ?? {} };
      return effectiveMode(view, place, { ...config, scope }, target?.namespace).mode !== 'off';
    });
  const inScope = ours.length > 0 ? within(config.scope) : [];
  if (inScope.length > 0) return { pods: inScope, whose: 'Pods in scope' };
  return { pods: within('cluster'), whose: 'Pods that could be in scope' };
}

async function registries(evidence: Evidence, stop: AbortSignal): Promise<Outcome> {
  const { config } = await evidence.webhookConfig();
  if (!config.detection.registry.enabled) return skipped('no registry is asked: detection.registry.enabled is off');
  const { pods: some, whose } = await podsInScope(evidence);
  const inspector = await evidence.parts.openInspector(config);
  try {
    const byRegistry = new Map<string, { pod: PodSeen; image: string }>();
    for (const pod of some) {
      for (const { image } of pod.view.containers) {
        const registry = inspector.registryOf(image);
        if (registry !== undefined && !byRegistry.has(registry)) byRegistry.set(registry, { pod, image });
      }
    }
    const asked = [...byRegistry].toSorted(([left], [right]) => compareText(left, right)).slice(0, MOST_REGISTRIES);
    const inspected = await Promise.all(
      asked.map(async ([registry, { pod, image }]): Promise<InspectedImage> => {
        const started = performance.now();
        const signal = AbortSignal.any([stop, AbortSignal.timeout(LOOK_MS)]);
        const detection = await inspector.detect(pod, image, signal);
        return { registry, image, detection, ms: performance.now() - started };
      }),
    );
    const more = byRegistry.size - asked.length;
    return judgeRegistries({ inspected, more, whose, inside: evidence.parts.inside, notes: inspector.notes });
  } finally {
    await inspector.close();
  }
}

/** Returns the checks of what else the webhook depends on, and of what may interfere with it. */
export function surroundingsChecks(evidence: Evidence): Check[] {
  return [
    { id: 'dns-replicas', group: 'surroundings', run: () => dnsReplicas(evidence) },
    { id: 'registries', group: 'surroundings', timeoutMs: 40_000, run: (signal) => registries(evidence, signal) },
    {
      id: 'other-injectors',
      group: 'surroundings',
      run: async () => judgeInjectors(await evidence.configurations()),
    },
    { id: 'policies', group: 'surroundings', run: () => policies(evidence) },
    { id: 'pods', group: 'surroundings', timeoutMs: 60_000, run: () => pods(evidence) },
  ];
}
