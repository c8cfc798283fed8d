import { kernelFixes, type FixState } from '../../audit/kernel-fixes.ts';
import { count, listed, ok, skipped, warning, type Outcome } from '../check.ts';
import type { NodeSeen } from '../cluster-view.ts';

type Level = 'exposed' | 'unknown' | 'fixed';

interface KernelSeen {
  readonly kernel: string;
  readonly nodes: readonly string[];
  readonly level: Level;
  readonly fixes: Readonly<Record<string, FixState>>;
  /** What is missing or not known of it, one line. */
  readonly text: string;
}

function judgeKernel(kernel: string, nodes: readonly string[]): KernelSeen {
  const all = kernelFixes(kernel);
  const always = all.filter(({ fix }) => !fix.onlyWithNfqueue);
  const lacking = always.filter(({ state }) => state === 'missing' || state === 'partial');
  const unknown = always.filter(({ state }) => state === 'unknown');
  const named = (some: typeof all): string => some.map(({ fix }) => `${fix.commit} (${fix.how})`).join(', ');
  const where = `${kernel || 'kernel not given'}, ${count(nodes.length, 'node')} (${listed(nodes, 3)})`;
  const parts = [
    ...(lacking.length > 0 ? [`lacks ${named(lacking)}`] : []),
    ...(unknown.length > 0 ? [`its number does not tell whether it has ${named(unknown)}`] : []),
  ];
  return {
    kernel,
    nodes,
    level: lacking.length > 0 ? 'exposed' : unknown.length > 0 ? 'unknown' : 'fixed',
    fixes: Object.fromEntries(all.map(({ fix, state }) => [fix.race, state])),
    text: `${where}: ${parts.join('; ') || 'has the fixes of all three races'}`,
  };
}

const RANK: Readonly<Record<Level, number>> = { exposed: 0, unknown: 1, fixed: 2 };

const UPDATE = {
  text: 'Kernels from 5.9 on have all three fixes. Until the nodes are updated, the webhook keeps Pods out of the race.',
};
const MEASURE = {
  text: 'Ask the distribution whether it has taken these commits over, or measure: see dns-race.',
};
const NFQUEUE = 'before 6.12, network policies that use NFQUEUE bring the loss back (kubernetes-sigs/kind#3713)';

/** Whether the nodes' kernels have the fixes of the race. */
export function judgeKernels(nodes: readonly NodeSeen[]): Outcome {
  const linux = nodes.filter(({ os }) => os !== 'windows');
  if (linux.length === 0) return skipped('the cluster has no Linux nodes');
  const byKernel = Map.groupBy(linux, ({ kernel }) => kernel);
  const kernels = [...byKernel]
    .map(([kernel, on]) => judgeKernel(kernel, on.map(({ name }) => name).toSorted()))
    .toSorted((left, right) => RANK[left.level] - RANK[right.level] || left.kernel.localeCompare(right.kernel));
  const on = (level: Level): number =>
    kernels.filter((kernel) => kernel.level === level).reduce((sum, kernel) => sum + kernel.nodes.length, 0);
  const data = {
    nodes: linux.length,
    exposed: on('exposed'),
    unknown: on('unknown'),
    kernels: kernels.map(({ kernel, nodes: names, level, fixes }) => ({ kernel, nodes: names, level, fixes })),
  };
  const details = kernels.filter(({ level }) => level !== 'fixed').map(({ text }) => text);
  const some = (number: number): string =>
    `${number} of ${count(linux.length, 'Linux node')} ${number === 1 ? 'runs' : 'run'} a`;
  if (on('exposed') > 0) {
    const seen = `${some(on('exposed'))} kernel that lacks a fix of the race: the fault is possible there`;
    return warning(seen, { details, data, advice: [UPDATE] });
  }
  if (on('unknown') > 0) {
    const seen = `${some(on('unknown'))} distribution's kernel whose number does not tell whether it has the fixes`;
    return warning(seen, { details, data, advice: [MEASURE] });
  }
  const withNfqueue = kernels.some(({ fixes }) => fixes['nfqueue'] !== 'present');
  const all = linux.length === 1 ? 'the one Linux node runs a kernel' : `all ${linux.length} Linux nodes run kernels`;
  return ok(`${all} with the fixes of all three races`, { data, details: withNfqueue ? [NFQUEUE] : [] });
}
