import type { Command } from 'commander';

import type { ResolvConfs } from '../admission/evaluate.ts';
import { type AppliedDecision, appliedDecision } from '../audit/decided.ts';
import { type PodTemplate, resourceName } from '../manifests/pod-templates.ts';
import { valueAt } from '../manifests/objects.ts';
import { DECISION_ANNOTATION } from '../policy/annotations.ts';
import type { Decision, ResolvConf } from '../policy/model.ts';
import { readPod } from '../policy/read-pod.ts';
import { candidatesOf, type Resolver, resolversOf } from '../policy/verdict.ts';
import { readByGlibc, readByGo, readByMusl, type ReaderView } from '../resolv-conf/resolvers.ts';
import { outputFlag, withFiles } from '../terminal/flags.ts';
import { helpText } from '../terminal/help.ts';
import { type Paint, painter, textWidth } from '../terminal/io.ts';
import { evidenceText, wrapped, wrappedLines, wrappedTable } from '../terminal/layout.ts';
import { structuredText } from '../terminal/structured.ts';
import { asObject, asText } from '../util/json.ts';
import { printable } from '../util/text.ts';
import {
  addManifestFlags,
  type Explained,
  type Explanation,
  explainFiles,
  type ManifestFlags,
  refuseFailures,
} from './explain-manifests.ts';
import type { ManifestCommand } from './terms.ts';

interface ExplainFlags extends ManifestFlags {
  readonly output: 'text' | 'json' | 'yaml' | 'name';
}

const HELP = `
Examples:
  libc-dns explain deployment.yaml --context prod
  kubectl get deployment web -o yaml | libc-dns explain --node-local on --cluster-dns 10.96.0.10
  libc-dns explain manifests/ -o json | jq '.[] | {name, reason}'`;

/** Adds `libc-dns explain`, which prints what the webhook would decide for each Pod of a manifest, and why. */
export function explainCommand(program: Command, parts: ManifestCommand): void {
  const { io } = parts;
  const command = program
    .command('explain')
    .description('show for each Pod of a manifest what would be done, and why')
    .addOption(outputFlag(['text', 'json', 'yaml', 'name']))
    .addHelpText('after', helpText(HELP));
  addManifestFlags(command).action(async (files: string[], given: ExplainFlags) => {
    const flags = withFiles(files, given);
    const { output } = flags;
    const explanation = await explainFiles(parts, flags);
    const { explained } = explanation;
    const isNothing = explained.length === 0 && explanation.failed === 0;
    if (output === 'text' && isNothing) io.out(wrapped(nothingText(explanation, flags), textWidth(io)));
    else if (output === 'text') io.out(explainedText(explained, painter(io, flags.color), textWidth(io)), 'styled');
    else if (output === 'name') io.out(objectNames(explained));
    else
      io.out(
        structuredText(
          explained.map((one) => entry(one, explained)),
          output,
        ),
      );
    refuseFailures(explanation, flags);
  });
}

function explainedText(explained: readonly Explained[], paint: Paint, width: number): string {
  const texts = explained.map((one) => decisionText(titleOf(one, explained), one, { paint, width }));
  return texts.join('\n');
}

/** Says that there is nothing to explain, and why. */
function nothingText({ manifests }: Explanation, { namespace, kinds }: ManifestFlags): string {
  if (manifests.every(({ text }) => text.trim() === '')) {
    return 'The input is empty: name manifests, or pipe them in. For the Pods of a cluster: libc-dns audit';
  }
  const filters = Object.entries({ namespace, kinds }).flatMap(([flag, of]) =>
    of ? [`--${flag} ${of.join(',')}`] : [],
  );
  return `No Pods and no Pod templates in the input${filters.length > 0 ? ` for ${printable(filters.join(' '))}` : ''}.`;
}

/** Names a template: by its place too, if its object has several. */
function titleOf({ template, namespace }: Explained, all: readonly Explained[]): string {
  const { kind, name, podPath } = template;
  return `${kind} ${namespace}/${name}${isOneOfSeveral(template, all) ? ` ${podPath.join('.')}` : ''}`;
}

/** The templates of one object, and of no other, have the same `objectPath`. */
const isOneOfSeveral = ({ objectPath }: PodTemplate, all: readonly Explained[]): boolean =>
  all.filter(({ template }) => template.objectPath === objectPath).length > 1;

/** Says what the webhook did when it admitted the Pod, by its annotation; undefined if there is none. */
function appliedText({ pod }: PodTemplate): string | undefined {
  const applied = appliedOf(pod);
  if (applied === undefined) return undefined;
  const { reason, remedy } = applied;
  const done = remedy.length === 0 ? 'changed nothing in it before' : `patched it before: ${remedy.join(' + ')}`;
  return `The webhook has ${done} (${reason}), by its annotation ${DECISION_ANNOTATION}.`;
}

function appliedOf(pod: unknown): AppliedDecision | undefined {
  return appliedDecision(readPod(pod).annotations);
}

/** Lists objects as `kubectl get -o name` does, each once. */
export function objectNames(explained: readonly Explained[]): string {
  const names = explained.map(({ document, template }) => {
    const { apiVersion } = asObject(valueAt(document.value, template.objectPath));
    return resourceName(asText(apiVersion), template);
  });
  return [...new Set(names)].map((name) => `${printable(name)}\n`).join('');
}

/** Returns an entry of `explain -o json`: see docs/cli.md. */
function entry({ template, namespace, evaluation }: Explained, all: readonly Explained[]): Record<string, unknown> {
  const { mode, containers, remedy, reason, message } = evaluation.decision;
  const applied = appliedOf(template.pod);
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
    ...(applied && { applied }),
    resolvConf: evaluation.resolvConf(),
    patch: evaluation.patch,
  };
}

/** Joins words by two spaces, each in its style; breaks between them if they do not fit. */
function headLine(
  words: readonly string[],
  styles: readonly (Parameters<Paint>[0] | undefined)[],
  options: TextOptions,
): string {
  const { paint, width } = options;
  let at = 0;
  const shown = words.map((word, index) => {
    const fits = at === 0 || at + 2 + word.length <= width;
    const before = at === 0 ? '' : fits ? '  ' : '\n  ';
    at = fits ? at + before.length + word.length : 2 + word.length;
    const style = styles[index];
    return before + (style === undefined ? word : paint(style, word));
  });
  return `${shown.join('')}\n`;
}

const REMEDY_STYLE = { enforce: 'green', audit: 'yellow', off: 'gray' } as const;

interface TextOptions {
  readonly paint: Paint;
  /** Characters of a line. */
  readonly width: number;
}

/** Formats a Pod's decision: what, why, by which evidence, and resolv.conf before and after. */
function decisionText(title: string, { template, evaluation }: Explained, { paint, width }: TextOptions): string {
  const { decision } = evaluation;
  const { mode, reason, remedy, message, change } = decision;
  const done = remedy.length === 0 ? 'nothing to change' : remedy.join(' + ');
  const shown = mode === 'audit' && remedy.length > 0 ? `would be: ${done}` : done;
  const head = headLine([printable(title), mode, shown, reason], ['bold', undefined, REMEDY_STYLE[mode]], {
    paint,
    width,
  });
  const before = appliedText(template);
  const sentences = before === undefined ? [message] : [message, before];
  const text = sentences.map((sentence) => wrapped(printable(sentence), width, '  ')).join('');
  if (decision.containers.length === 0) return head + text;
  const containers = `\n${containersTable(decision, width)}`;
  if (change === undefined) return head + text + containers;
  const resolvConf = evaluation.resolvConf();
  const files = sideBySide(resolvConf.before, resolvConf.after, paint, { width });
  const readers = wrappedLines(readersText(decision, resolvConf), width);
  return `${head}${text}${containers}\n${files}\n${readers}`;
}

function containersTable(decision: Decision, width: number): string {
  const rows = decision.containers.flatMap(({ name, image, ...verdict }) =>
    candidatesOf(verdict).map(({ resolver, evidence }, index) => [
      index === 0 ? printable(name) : '',
      index === 0 ? printable(image) || '-' : '',
      resolver,
      evidenceText(evidence),
    ]),
  );
  return wrappedTable([['CONTAINER', 'IMAGE', 'RESOLVER', 'EVIDENCE'], ...rows], width);
}

const READERS: Readonly<Partial<Record<Resolver, (file: ResolvConf) => ReaderView>>> = {
  glibc: readByGlibc,
  musl: readByMusl,
  go: readByGo,
};

function readersText(decision: Decision, { before, after }: ResolvConfs): string {
  const resolvers = [...new Set(decision.containers.flatMap(resolversOf))].toSorted();
  const rows = resolvers.flatMap((resolver) => {
    const reader = READERS[resolver];
    if (reader === undefined) return [];
    return [{ name: `${resolver}:`, text: behaviour(reader(before), reader(after)) }];
  });
  const longest = Math.max(0, ...rows.map(({ name }) => name.length));
  return rows.map(({ name, text }) => `  ${name.padEnd(longest)}  ${text}\n`).join('');
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

interface SideOptions {
  readonly width: number;
  /** Each line begins with it. */
  readonly indent?: string;
}

/**
 * Formats two resolv.confs side by side, with a line for each domain and option, and paints new lines. Fits 80 columns
 * unless a domain is very long. One stands below the other if `width` has no room for both.
 */
export function sideBySide(
  before: ResolvConf,
  after: ResolvConf,
  paint: Paint,
  { width, indent = '  ' }: SideOptions,
): string {
  const known = new Set([...before.servers, ...before.searches, ...before.options].map(shownWord));
  if (width < indent.length + 2 * COLUMN + 3) return oneBelowTheOther(before, after, { paint, indent, known });
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

interface BelowOptions {
  readonly paint: Paint;
  readonly indent: string;
  readonly known: ReadonlySet<string>;
}

function oneBelowTheOther(before: ResolvConf, after: ResolvConf, { paint, indent, known }: BelowOptions): string {
  const painted = blocks(after)
    .flat()
    .map((line) => (isNew(line, known) ? paint('green', line) : line));
  const lines = ['before', '------', ...blocks(before).flat(), '', 'after', '-----', ...painted];
  return lines
    .map((line) => `${indent}${line}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('');
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
