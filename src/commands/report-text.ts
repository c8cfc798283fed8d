import type { Evaluation, ResolvConfs } from '../admission/evaluate.ts';
import type { Decision, ResolvConf } from '../policy/model.ts';
import type { Resolver } from '../policy/verdict.ts';
import { readByGlibc, readByGo, readByMusl, type ReaderView } from '../resolv-conf/resolvers.ts';
import type { Paint } from '../terminal/io.ts';
import { printable } from '../util/text.ts';
import { sideBySide } from './side-by-side.ts';

const READERS: Readonly<Partial<Record<Resolver, (file: ResolvConf) => ReaderView>>> = {
  glibc: readByGlibc,
  musl: readByMusl,
  go: readByGo,
};

const seconds = (milliseconds: number): string => `${milliseconds / 1000} s`;

const manner = ({ tcp, atOnce }: ReaderView): string => {
  if (tcp) return 'A and AAAA over TCP';
  return atOnce ? 'A and AAAA at once from one socket' : 'A and AAAA one after the other, or from two sockets';
};

const step = (before: string, after: string): string => (before === after ? before : `${before} -> ${after}`);

/** What changes for a resolver between two files, in a line. */
function behaviour(old: ReaderView, now: ReaderView): string {
  const again = step(seconds(old.resendMs), seconds(now.resendMs));
  return `${step(manner(old), manner(now))}; asks again after ${again}`;
}

/** Rows as aligned columns; the last one is not padded. */
export function table(rows: readonly (readonly string[])[], indent = '  '): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  const line = (row: readonly string[]): string =>
    row.map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0))).join('  ');
  return rows.map((row) => `${indent}${line(row).trimEnd()}\n`).join('');
}

function containersTable(decision: Decision): string {
  const rows = decision.containers.map(({ name, image, resolver, evidence }) => [
    printable(name),
    printable(image) || '-',
    resolver,
    `${printable(evidence.detail)} (${evidence.source}, ${evidence.confidence})`,
  ]);
  return table([['CONTAINER', 'IMAGE', 'RESOLVER', 'EVIDENCE'], ...rows]);
}

function readersTable(decision: Decision, { before, after }: ResolvConfs): string {
  const resolvers = [...new Set(decision.containers.map((container) => container.resolver))].toSorted();
  const rows = resolvers.flatMap((resolver) => {
    const reader = READERS[resolver];
    if (reader === undefined) return [];
    return [[`${resolver}:`, behaviour(reader(before), reader(after))]];
  });
  return table(rows);
}

const REMEDY_STYLE = { enforce: 'green', audit: 'yellow', off: 'gray' } as const;

/** One Pod's decision for a person: what, why, from which evidence, and resolv.conf before and after. */
export function decisionText(title: string, evaluation: Evaluation, paint: Paint): string {
  const { decision } = evaluation;
  const { mode, reason, remedy, message, change } = decision;
  const done = remedy.length === 0 ? 'nothing to change' : remedy.join(' + ');
  const shown = mode === 'audit' && remedy.length > 0 ? `would be: ${done}` : done;
  const head = `${paint('bold', printable(title))}  ${mode}  ${paint(REMEDY_STYLE[mode], shown)}  ${reason}\n`;
  const text = `  ${printable(message)}\n`;
  if (decision.containers.length === 0) return head + text;
  const containers = `\n${containersTable(decision)}`;
  if (change === undefined) return head + text + containers;
  const resolvConf = evaluation.resolvConf();
  const files = sideBySide(resolvConf.before, resolvConf.after, paint);
  return `${head}${text}${containers}\n${files}\n${readersTable(decision, resolvConf)}`;
}
