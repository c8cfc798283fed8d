import { compareText } from '../util/text.ts';
import { type FixState, kernelFixes, type Race } from './kernel-fixes.ts';

export type KernelLevel = KernelEntry['level'];

/** Nodes with the same kernel. */
export interface KernelEntry {
  /** node.status.nodeInfo.kernelVersion. */
  readonly kernel: string;
  /** node.status.nodeInfo.osImage of the first node by name. */
  readonly osImage: string;
  readonly nodes: number;
  /** The first five by name. */
  readonly nodeNames: readonly string[];
  /** Pods on these nodes. */
  readonly pods: number;
  /** `exposed`: a fix is missing. `fixed`: all fixes are present. */
  readonly level: 'exposed' | 'unknown' | 'fixed';
  readonly fixes: readonly KernelFix[];
  /** One sentence. */
  readonly detail: string;
}

/** One of the races, and whether the kernel has its fix. */
export interface KernelFix {
  readonly race: Race;
  readonly state: FixState;
  /** The upstream commit; null if several commits make up the fix. */
  readonly commit: string | null;
  /** How the race happens, in words. */
  readonly how: string;
  /** The first mainline release with the complete fix, such as `5.9`. */
  readonly since: string;
  /** Whether the race needs packets that pass through NFQUEUE; `level` ignores it then. */
  readonly onlyWithNfqueue: boolean;
}

export interface ScannedNode {
  readonly name: string;
  /** `linux` or `windows`. */
  readonly os: string;
  readonly kernel: string;
  readonly osImage: string;
}

/** Number of Pods by node name. */
interface Spread {
  readonly nodes: ReadonlyMap<string, number>;
}

const MOST_NAMES = 5;

const RACE_NUMBER: Readonly<Record<string, number>> = { 'no-entry-yet': 1, 'one-confirmed': 2, 'two-endpoints': 3 };

function fixesOf(kernel: string): KernelFix[] {
  return kernelFixes(kernel).map(({ fix, state }) => ({
    race: fix.race,
    state,
    commit: fix.commit ?? null,
    how: fix.how,
    since: (fix.wholeSince ?? fix.since).slice(0, 2).join('.'),
    onlyWithNfqueue: fix.onlyWithNfqueue,
  }));
}

const numbers = (fixes: readonly KernelFix[]): string =>
  fixes.map(({ race }) => RACE_NUMBER[race] ?? race).join(', ') || 'none';

/** Names the fixes of some races; a reader of a report knows of "the race", not of its numbers, where all three are meant. */
function fixesNamed(fixes: readonly KernelFix[]): string {
  if (fixes.length === 3) return 'fixes of all three races';
  return fixes.length === 1 ? `fix of race ${numbers(fixes)}` : `fixes of races ${numbers(fixes)}`;
}

/** Judges a kernel by its fixes. Ignores the fix for NFQUEUE, which only some network policies use. */
export function judgeKernel(kernel: string): Pick<KernelEntry, 'level' | 'detail' | 'fixes'> {
  const fixes = fixesOf(kernel);
  const counted = fixes.filter(({ onlyWithNfqueue }) => !onlyWithNfqueue);
  const missing = counted.filter(({ state }) => state === 'missing');
  if (missing.length > 0) {
    return { level: 'exposed', fixes, detail: `It lacks the ${fixesNamed(missing)}.` };
  }
  const unsure = counted.filter(({ state }) => state !== 'present');
  if (unsure.length === 0) return { level: 'fixed', fixes, detail: 'It has the fixes of all three races.' };
  const partial = unsure.every(({ state }) => state === 'partial');
  const detail = partial
    ? `Of race ${numbers(unsure)} it has a first version of the fix, completed in ${unsure[0]?.since ?? ''}.`
    : `Its version does not show whether it has the ${fixesNamed(unsure)}: distributions carry fixes back.`;
  return { level: 'unknown', fixes, detail };
}

const ORDER: readonly KernelLevel[] = ['exposed', 'unknown', 'fixed'];

/** Groups nodes by kernel, the worst first. Skips Windows nodes, which do not have the fault. */
export function kernelEntries(nodes: readonly ScannedNode[], groups: readonly Spread[]): KernelEntry[] {
  const pods = new Map<string, number>();
  for (const group of groups) {
    for (const [node, count] of group.nodes) pods.set(node, (pods.get(node) ?? 0) + count);
  }
  const linux = nodes.filter(({ os }) => os !== 'windows').toSorted((a, b) => compareText(a.name, b.name));
  const entries: KernelEntry[] = [];
  for (const [kernel, sameKernel] of Map.groupBy(linux, (node) => node.kernel)) {
    entries.push({
      kernel,
      osImage: sameKernel[0]?.osImage ?? '',
      nodes: sameKernel.length,
      nodeNames: sameKernel.slice(0, MOST_NAMES).map(({ name }) => name),
      pods: sameKernel.reduce((sum, { name }) => sum + (pods.get(name) ?? 0), 0),
      ...judgeKernel(kernel),
    });
  }
  return entries.toSorted((a, b) => ORDER.indexOf(a.level) - ORDER.indexOf(b.level) || compareText(a.kernel, b.kernel));
}

/** Returns the worst kernel that a group's Pods run on; a node that was not read counts as `unknown`. */
export function worstKernel(
  group: Spread,
  byNode: ReadonlyMap<string, ScannedNode>,
): { readonly level: KernelLevel; readonly kernel: string | undefined } {
  let worst: { level: KernelLevel; kernel: string | undefined } | undefined;
  for (const name of [...group.nodes.keys()].toSorted(compareText)) {
    const kernel = byNode.get(name)?.kernel;
    const level = kernel === undefined ? 'unknown' : judgeKernel(kernel).level;
    if (worst === undefined || ORDER.indexOf(level) < ORDER.indexOf(worst.level)) worst = { level, kernel };
  }
  return worst ?? { level: 'unknown', kernel: undefined };
}
