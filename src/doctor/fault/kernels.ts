import type { FixState } from '../../exposure/kernel-fixes.ts';
import { judgeKernel, type KernelLevel } from '../../exposure/kernels.ts';
import { compareText, counted } from '../../util/text.ts';
import { listed, ok, type Outcome, skipped, warning } from '../check.ts';
import type { NodeSeen } from '../view/view.ts';

interface KernelSeen {
  readonly kernel: string;
  readonly nodes: readonly string[];
  readonly level: KernelLevel;
  readonly fixes: Readonly<Record<string, FixState>>;
  /** What is missing or not known of it, one line. */
  readonly text: string;
}

function seenOn(kernel: string, nodes: readonly string[]): KernelSeen {
  const { level, fixes } = judgeKernel(kernel);
  const named = (state: FixState): string =>
    fixes
      .filter((fix) => !fix.onlyWithNfqueue && fix.state === state)
      .map(({ commit, how }) => `${commit} (${how})`)
      .join(', ');
  const [lacking, partial, unknown] = [named('missing'), named('partial'), named('unknown')];
  const where = `${kernel || 'kernel not given'}, ${counted(nodes.length, 'node')} (${listed(nodes, 3)})`;
  const parts = [
    ...(lacking === '' ? [] : [`lacks ${lacking}`]),
    ...(partial === '' ? [] : [`has only a first version of ${partial}`]),
    ...(unknown === '' ? [] : [`its number does not tell whether it has ${unknown}`]),
  ];
  return {
    kernel,
    nodes,
    level,
    fixes: Object.fromEntries(fixes.map(({ race, state }) => [race, state])),
    text: `${where}: ${parts.join('; ') || 'has the fixes of all three races'}`,
  };
}

const RANK: Readonly<Record<KernelLevel, number>> = { exposed: 0, unknown: 1, fixed: 2 };

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
    .map(([kernel, on]) => seenOn(kernel, on.map(({ name }) => name).toSorted(compareText)))
    .toSorted((left, right) => RANK[left.level] - RANK[right.level] || compareText(left.kernel, right.kernel));
  const on = (level: KernelLevel): number =>
    kernels.filter((kernel) => kernel.level === level).reduce((sum, kernel) => sum + kernel.nodes.length, 0);
  const data = {
    nodes: linux.length,
    exposed: on('exposed'),
    unknown: on('unknown'),
    kernels: kernels.map(({ kernel, nodes: names, level, fixes }) => ({ kernel, nodes: names, level, fixes })),
  };
  const details = kernels.filter(({ level }) => level !== 'fixed').map(({ text }) => text);
  const some = (number: number): string =>
    `${number} of ${counted(linux.length, 'Linux node')} ${number === 1 ? 'runs' : 'run'} a`;
  if (on('exposed') > 0) {
    const seen = `${some(on('exposed'))} kernel that lacks a fix of the race: the fault is possible there`;
    return warning(seen, { details, data, advice: [UPDATE] });
  }
  if (on('unknown') > 0) {
    const seen = `${some(on('unknown'))} kernel that may lack a fix of the race: its version does not tell`;
    return warning(seen, { details, data, advice: [MEASURE] });
  }
  const withNfqueue = kernels.some(({ fixes }) => fixes['nfqueue'] !== 'present');
  const all = linux.length === 1 ? 'the one Linux node runs a kernel' : `all ${linux.length} Linux nodes run kernels`;
  return ok(`${all} with the fixes of all three races`, { data, details: withNfqueue ? [NFQUEUE] : [] });
}
