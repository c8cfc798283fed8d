import type { NodeName } from '../network/plan.ts';
import type { Program, ResolverId } from '../preparation/programs.ts';
import type { Column, Kind, Scenario } from '../scenarios/scenario.ts';

/** A Pod of a scenario, in one of its columns. It becomes a manifest, a resolv.conf and measurements. */
export interface PodPlan {
  readonly name: string;
  readonly scenario: Scenario;
  readonly column: Column;
  readonly node: NodeName;
  readonly containers: readonly { readonly program: Program; readonly kind: Kind }[];
}

/** Returns the Pods of the scenarios for which this machine has the programs. */
export function planPods(scenarios: readonly Scenario[], programs: readonly Program[], hasCoreDns = true): PodPlan[] {
  const known = new Map<ResolverId, Program>(programs.map((program) => [program.id, program]));
  const plans: PodPlan[] = [];
  for (const scenario of scenarios) {
    for (const column of scenario.columns) {
      if (column.sidecar !== undefined && !hasCoreDns) continue;
      for (const [index, ids] of scenario.pods.entries()) {
        const containers = ids
          .filter((id) => column.only?.includes(id) ?? true)
          .map((id) => known.get(id))
          .filter((program) => program !== undefined)
          .map((program) => ({ program, kind: scenario.declared?.[program.id] ?? program.declared }));
        const name = `${scenario.id}-${column.id}-${index}`;
        if (containers.length > 0) plans.push({ name, scenario, column, node: scenario.node, containers });
      }
    }
  }
  return plans;
}

/** Returns the Pod as its author or an injector wrote it. Its resolvers are declared, because there is no image. */
export function manifestOf({ name, scenario, containers, column }: PodPlan): Record<string, unknown> {
  const declarations = containers.map(({ program, kind }) => [`libc-dns.dev/libc.${program.id}`, kind] as const);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'shop',
      labels: { scenario: scenario.id },
      annotations: {
        ...Object.fromEntries(scenario.undeclared ? [] : declarations),
        ...(column.sidecar !== undefined && { 'libc-dns.dev/remedy': 'sidecar' }),
      },
    },
    spec: {
      containers: containers.map(({ program }) => ({ name: program.id, image: `lab/${program.id}` })),
      ...column.pod,
    },
  };
}

/** Returns the NetworkPolicy of a scenario's Pods; empty if it has none. */
export function policyOf({ id, policy }: Scenario): readonly Record<string, unknown>[] {
  if (policy === undefined) return [];
  const podSelector = { matchLabels: { scenario: id } };
  return [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: id, namespace: 'shop' },
      spec: { podSelector, policyTypes: ['Egress'], egress: policy.egress },
    },
  ];
}
