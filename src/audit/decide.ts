import { createEvaluate, type Evaluate } from '../admission/evaluate.ts';
import type { Platform } from '../detection/image-source.ts';
import { platformName, podPlatform } from '../detection/platform.ts';
import { podVerdicts, type PodVerdictsOptions } from '../detection/pod/pod-verdicts.ts';
import { type ScannedNode, worstKernel } from '../exposure/kernels.ts';
import { readDeclared } from '../policy/annotations.ts';
import type { ClusterFacts, NamespaceView, PodView, PolicyConfig } from '../policy/model.ts';
import { effectiveMode, MODE_LABEL } from '../policy/scope.ts';
import { resolversOf } from '../policy/verdict.ts';
import type { AuditedContainer, DecidedGroup } from './decided.ts';
import { workloadExposure } from './exposure.ts';
import { usesNodeFile } from './findings/places.ts';
import { type Lookups, podOf } from './look-ups.ts';
import { podReach } from './reach.ts';
import type { PodGroup, Scanned } from './scan/scanned.ts';

interface DecideOptions {
  readonly config: PolicyConfig;
  readonly facts: ClusterFacts;
  readonly lookups: Lookups;
  /** False if no image was looked up: every undeclared resolver is then unknown. */
  readonly detecting: boolean;
  readonly platform: Platform;
  readonly viewOf: (namespace: string) => NamespaceView;
  readonly scanned: Pick<Scanned, 'nodes' | 'kubeProxy' | 'networkPolicies' | 'behindDns'>;
  /** `namespace/name` of the cluster DNS Service. */
  readonly service: string;
  /** Whether the webhook looks at network policies. */
  readonly respected: boolean;
}

interface Deciding extends DecideOptions {
  readonly evaluate: Evaluate;
  readonly verdicts: PodVerdictsOptions;
  readonly reach: ReturnType<typeof podReach>;
  readonly byNode: ReadonlyMap<string, ScannedNode>;
}

/** Never runs out: all images have been looked up before. */
const BUDGET_MS = 60_000;

const NOT_LOOKED_UP = { code: 'disabled', message: 'the registry look-up is off (--offline)' } as const;

async function containersOf(pod: PodView, namespace: string, options: Deciding): Promise<AuditedContainer[]> {
  const verdicts = await podVerdicts(pod, { namespace, budgetMs: BUDGET_MS }, options.verdicts);
  const platform = platformName(podPlatform(pod, options.platform));
  const containers: AuditedContainer[] = [];
  for (const [index, container] of pod.containers.entries()) {
    const verdict = verdicts[index];
    if (verdict === undefined) continue;
    // An annotation describes the Pod, so the outcome of its image's look-up does not apply.
    const declared = verdict.evidence.source === 'annotation';
    const lookup = declared ? undefined : options.lookups.of(container, pod);
    const { digest, executable, failure } = lookup ?? {};
    containers.push({
      name: container.name,
      image: container.image,
      ...verdict,
      platform,
      digest: digest ?? null,
      ...(executable !== undefined && { executable }),
      failure: failure ?? (options.detecting || declared ? null : NOT_LOOKED_UP),
    });
  }
  return containers;
}

/** Returns the namespace as if it had opted in: the audit reports what the webhook would do there. */
const optedIn = ({ name, labels }: NamespaceView): NamespaceView => ({
  name,
  labels: { ...labels, [MODE_LABEL]: 'enforce' },
});

async function decideGroup(group: PodGroup, options: Deciding): Promise<DecidedGroup | undefined> {
  const pod = podOf(group);
  if (pod === undefined) return undefined;
  const { config, facts, evaluate, scanned, byNode } = options;
  const { namespace } = group.owner;
  const view = options.viewOf(namespace);
  const scope = effectiveMode(pod, view, config, facts.ownNamespace);
  const asIf = scope.reason === 'NotOptedIn' ? optedIn(view) : view;
  const evaluation = await evaluate(group.pod, asIf, { budgetMs: BUDGET_MS });
  const { decision } = evaluation;
  const resolvConf = evaluation.resolvConf();
  const containers = await containersOf(pod, namespace, options);
  const exposure = workloadExposure({
    resolvers: decision.reason === 'Windows' ? [] : containers.flatMap(resolversOf),
    file: resolvConf.before,
    nodeFile: usesNodeFile(pod),
    cluster: facts,
    kubeProxy: scanned.kubeProxy,
    kernel: worstKernel(group, byNode),
  });
  const { mode, reason: modeReason } = scope;
  // Settings that break musl have findings of their own.
  const declared = decision.mode === 'off' ? [] : readDeclared(pod).warnings;
  const warnings = [...new Set([...scope.warnings, ...declared])];
  const reach = options.reach(namespace, pod.labels);
  return { group, pod, mode, modeReason, decision, warnings, resolvConf, containers, exposure, reach };
}

/**
 * Decides for all groups by the webhook's own rules, using the look-ups' results. Skips malformed Pods, which only manifests
 * can contain.
 */
export async function decideGroups(groups: readonly PodGroup[], options: DecideOptions): Promise<DecidedGroup[]> {
  const { config, facts, lookups, detecting, platform, scanned, respected } = options;
  const verdicts = { platform, ...(detecting && { detector: lookups.detector }) };
  const reach = podReach(options);
  const deciding: Deciding = {
    ...options,
    verdicts,
    reach,
    evaluate: createEvaluate({ config, cluster: () => facts, verdicts, ...(respected && { reach }) }),
    byNode: new Map(scanned.nodes.map((node) => [node.name, node])),
  };
  const decided: DecidedGroup[] = [];
  for (const group of groups) {
    const one = await decideGroup(group, deciding);
    if (one !== undefined) decided.push(one);
  }
  return decided;
}
