import { type Command, Option } from 'commander';

import type { Evaluation, ResolvConfs } from '../admission/evaluate.ts';
import type { PodTemplate } from '../manifests/pod-templates.ts';
import type { Decision, ResolvConf } from '../policy/model.ts';
import { candidatesOf, type Resolver, resolversOf } from '../policy/verdict.ts';
import { readByGlibc, readByGo, readByMusl, type ReaderView } from '../resolv-conf/resolvers.ts';
import { type Paint, painter } from '../terminal/io.ts';
import { table } from '../terminal/layout.ts';
import { jsonText, printable } from '../util/text.ts';
import {
  addManifestFlags,
  type Explained,
  explainFiles,
  type ManifestFlags,
  refuseFailures,
} from './explain-manifests.ts';
import type { ManifestCommand } from './terms.ts';

interface ExplainFlags extends ManifestFlags {
  readonly output: 'text' | 'json';
}

const HELP = `
Examples:
  libc-dns explain -f deployment.yaml --context prod
  kubectl get deployment web -o yaml | libc-dns explain --node-local on --cluster-dns 10.96.0.10
  libc-dns explain -f manifests/ -o json | jq '.[] | {name, reason}'`;

/** Adds `libc-dns explain`, which prints what the webhook would decide for each Pod of a manifest, and why. */
export function explainCommand(program: Command, parts: ManifestCommand): void {
  const { io } = parts;
  const command = program
    .command('explain')
    .description('say for each Pod of a manifest what would be done, and why')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
    .addHelpText('after', HELP);
  addManifestFlags(command).action(async (flags: ExplainFlags) => {
    const explanation = await explainFiles(parts, flags);
    const { explained } = explanation;
    if (flags.output === 'json') io.out(jsonText(explained.map((one) => entry(one, explained))));
    else io.out(explainedText(explained, painter(io, flags.color)), 'styled');
    refuseFailures(explanation, flags);
  });
}

function explainedText(explained: readonly Explained[], paint: Paint): string {
  const texts = explained.map((one) => decisionText(titleOf(one, explained), one.evaluation, paint));
  return texts.length === 0 ? 'No Pods and no Pod templates in the input.\n' : texts.join('\n');
}

/** Names a template: by its place too, if its object has several. */
function titleOf({ template, namespace }: Explained, all: readonly Explained[]): string {
  const { kind, name, podPath } = template;
  return `${kind} ${namespace}/${name}${isOneOfSeveral(template, all) ? ` ${podPath.join('.')}` : ''}`;
}

/** The templates of one object, and of no other, have the same `objectPath`. */
const isOneOfSeveral = ({ objectPath }: PodTemplate, all: readonly Explained[]): boolean =>
  all.filter(({ template }) => template.objectPath === objectPath).length > 1;

/** Returns an entry of `explain -o json`: see docs/cli.md. */
function entry({ template, namespace, evaluation }: Explained, all: readonly Explained[]): Record<string, unknown> {
  const { mode, containers, remedy, reason, message } = evaluation.decision;
  return {
    kind: template.kind,
    namespace,
    name: template.name,
    ...(isOneOfSeveral(template, all) && { path: template.podPath.join('.') }),
    mode,
    containers: containers.map(({ name, image, ...verdict }) => ({
      name,
      image,
      resolver: verdict.resolver,
      libc: verdict.libc,
      evidence: verdict.evidence,
      resolvers: candidatesOf(verdict).map((one) => ({
        resolver: one.resolver,
        libc: one.libc,
        executable: one.executable ?? null,
        evidence: one.evidence,
      })),
    })),
    remedy,
    reason,
    message,
    resolvConf: evaluation.resolvConf(),
    patch: evaluation.patch,
  };
}

const REMEDY_STYLE = { enforce: 'green', audit: 'yellow', off: 'gray' } as const;

/** Formats a Pod's decision: what, why, by which evidence, and resolv.conf before and after. */
function decisionText(title: string, evaluation: Evaluation, paint: Paint): string {
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

function containersTable(decision: Decision): string {
  const rows = decision.containers.flatMap(({ name, image, ...verdict }) =>
    candidatesOf(verdict).map(({ resolver, evidence }, index) => [
      index === 0 ? printable(name) : '',
      index === 0 ? printable(image) || '-' : '',
      resolver,
      `${printable(evidence.detail)} (${evidence.source}, ${evidence.confidence})`,
    ]),
  );
  return table([['CONTAINER', 'IMAGE', 'RESOLVER', 'EVIDENCE'], ...rows]);
}

const READERS: Readonly<Partial<Record<Resolver, (file: ResolvConf) => ReaderView>>> = {
  glibc: readByGlibc,
  musl: readByMusl,
  go: readByGo,
};

function readersTable(decision: Decision, { before, after }: ResolvConfs): string {
  const resolvers = [...new Set(decision.containers.flatMap(resolversOf))].toSorted();
  const rows = resolvers.flatMap((resolver) => {
    const reader = READERS[resolver];
    if (reader === undefined) return [];
    return [[`${resolver}:`, behaviour(reader(before), reader(after))]];
  });
  return table(rows);
}

/** Describes in a line how a resolver's behaviour changes between two files. */
function behaviour(old: ReaderView, now: ReaderView): string {
  const again =
    old.resendMs > 0 && now.resendMs > 0
      ? `asks again after ${changed(seconds(old.resendMs), seconds(now.resendMs))}`
      : changed(resending(old), resending(now));
  return `${changed(transport(old), transport(now))}; ${again}`;
}

const transport = ({ tcp, atOnce }: ReaderView): string => {
  if (tcp) return 'A and AAAA over TCP';
  return atOnce ? 'A and AAAA at once from one socket' : 'A and AAAA one after the other, or from two sockets';
};

const changed = (before: string, after: string): string => (before === after ? before : `${before} -> ${after}`);

/** `attempts:0` and `timeout:0` leave no time. */
const resending = ({ resendMs }: ReaderView): string =>
  resendMs > 0 ? `asks again after ${seconds(resendMs)}` : 'resolves no name';

const seconds = (milliseconds: number): string => `${milliseconds / 1000} s`;

const COLUMN = 36;

/**
 * Formats two resolv.confs side by side, with a line for each domain and option, and paints new lines. Fits 80 columns
 * unless a domain is very long. Each line begins with `indent`.
 */
export function sideBySide(before: ResolvConf, after: ResolvConf, paint: Paint, indent = '  '): string {
  const known = new Set([...before.servers, ...before.searches, ...before.options].map(shownWord));
  const lines = [`${'before'.padEnd(COLUMN)} | after`, `${'-'.repeat(COLUMN)} | ${'-'.repeat(COLUMN)}`];
  const right = blocks(after);
  for (const [index, left] of blocks(before).entries()) {
    const other = right[index] ?? [];
    for (let row = 0; row < Math.max(left.length, other.length); row += 1) {
      const text = other[row] ?? '';
      const shown = isNew(other[row], known) ? paint('green', text) : text;
      lines.push(`${(left[row] ?? '').padEnd(COLUMN)} | ${shown}`.trimEnd());
    }
  }
  return lines.map((line) => `${indent}${line}\n`).join('');
}

/** The Pod's author writes all of it, and the API server has not checked it yet. */
const blocks = ({ servers, searches, options }: ResolvConf): string[][] => [
  block('search', searches.map(shownWord), false),
  block('nameserver', servers.map(shownWord), true),
  block('options', options.map(shownWord), false),
];

const shownWord = (word: string): string => printable(word);

function block(keyword: string, items: readonly string[], onePerLine: boolean): string[] {
  if (onePerLine) return items.map((item) => `${keyword} ${item}`);
  return items.map((item, index) => `${index === 0 ? keyword : ' '.repeat(keyword.length)} ${item}`);
}

/** Reports whether a line's last word is not in `before`. */
function isNew(line: string | undefined, before: ReadonlySet<string>): boolean {
  return line !== undefined && !before.has(line.trim().split(/\s+/).at(-1) ?? '');
}
