import type { Command } from 'commander';
import { createTwoFilesPatch } from 'diff';

import { listItems, valueAt } from '../manifests/objects.ts';
import { objectPatch, patchedValue, patchManifests, type DocumentPatch } from '../manifests/patch.ts';
import { unnamedImages } from '../manifests/pod-templates.ts';
import { isStandardInput, type Manifest, type ManifestDocument } from '../manifests/read.ts';
import { outputFlag, withFiles } from '../terminal/flags.ts';
import { helpText } from '../terminal/help.ts';
import { CommandError, type Io, type Paint, painter } from '../terminal/io.ts';
import { fileProblem } from '../util/files.ts';
import { asObject, asText } from '../util/json.ts';
import { jsonText, printable, printableLines } from '../util/text.ts';
import {
  addManifestFlags,
  type Explained,
  explainFiles,
  type ManifestFlags,
  refuseFailures,
} from './explain-manifests.ts';
import { objectNames } from './explain.ts';
import type { ManifestCommand } from './terms.ts';

interface InjectFlags extends ManifestFlags {
  readonly output: 'yaml' | 'json' | 'diff' | 'patch' | 'name';
  readonly inPlace?: boolean;
}

const HELP = `
Examples:
  libc-dns inject -f deployment.yaml --context prod | kubectl apply --context prod -f -
  helm template web ./chart | libc-dns inject --node-local on --cluster-dns 10.96.0.10 | kubectl apply -f -
  libc-dns inject manifests/ -o diff
  libc-dns inject deployment.yaml --in-place

Pods, everything with a Pod template and Lists are patched; all else passes through as it is.
Without a cluster (--context) nothing is known of its DNS: standard error says what is assumed.`;

/** Adds `libc-dns inject`, which applies the webhook's patches to manifests. */
export function injectCommand(program: Command, parts: ManifestCommand): void {
  const { io } = parts;
  const command = program
    .command('inject')
    .description('patch manifests as the webhook would patch their Pods')
    .addOption(outputFlag(['yaml', 'json', 'diff', 'patch', 'name']))
    .option('--in-place', 'write the changes into the files, and print their names')
    .addHelpText('after', helpText(HELP));
  addManifestFlags(command).action(async (files: string[], given: InjectFlags) => {
    const flags = withFiles(files, given);
    refuseInPlace(flags);
    const explanation = await explainFiles(parts, flags);
    const { manifests, explained, failed } = explanation;
    if (failed > 0) throw new CommandError('failed', 'nothing was written');
    const patches = patchesOf(explained);
    if (flags.inPlace === true) await writeBack(parts, manifests, patches);
    else if (flags.output === 'yaml') io.out(asYaml(manifests, patches), 'exact');
    if (flags.output === 'json') io.out(asJson(manifests, patches));
    if (flags.output === 'diff') writeDiff(io, manifests, patches, flags.color);
    if (flags.output === 'patch') io.out(asPatch(explained));
    if (flags.output === 'name') io.out(objectNames(explained.filter(isPatched)));
    refuseFailures(explanation, flags);
  });
}

type Patches = ReadonlyMap<ManifestDocument, DocumentPatch>;

function patchesOf(explained: readonly Explained[]): Patches {
  const byDocument = [...Map.groupBy(explained, ({ document }) => document)];
  return new Map(
    byDocument.map(([document, ofIt]) => {
      const templates = ofIt.map(({ template, evaluation: { patch } }) => ({ template, patch }));
      const results = isResourceList(document.value) ? { results: ofIt.flatMap(resultsOf) } : {};
      return [document, { templates, ...results }];
    }),
  );
}

/** The input of a KRM function (https://github.com/kubernetes-sigs/kustomize/blob/master/cmd/config/docs/api-conventions/functions-spec.md). */
const isResourceList = (value: unknown): boolean =>
  asObject(value)['kind'] === 'ResourceList' &&
  asText(asObject(value)['apiVersion']).startsWith('config.kubernetes.io/');

/** Returns what a KRM function says of an object: what was decided, and each warning. */
function resultsOf({ document, template, namespace, evaluation }: Explained): object[] {
  const { decision, patch } = evaluation;
  const object = asObject(valueAt(document.value, template.objectPath));
  const annotations = asObject(asObject(object['metadata'])['annotations']);
  const said = (name: string): string | undefined => {
    const text = asText(
      annotations[`internal.config.kubernetes.io/${name}`] ?? annotations[`config.kubernetes.io/${name}`],
    );
    return text === '' ? undefined : text;
  };
  const [path, index] = [said('path'), Number(said('index') ?? 0)];
  // Made for each result: YAML would write what two share as an alias.
  const result = (severity: 'info' | 'warning', message: string): object => ({
    message,
    severity,
    resourceRef: { apiVersion: asText(object['apiVersion']), kind: template.kind, name: template.name, namespace },
    ...(path !== undefined && { file: { path, ...(Number.isInteger(index) && { index }) } }),
  });
  const told = patch.length === 0 ? 'nothing' : decision.remedy.join(' and ');
  const warnings = [...decision.warnings, ...unnamedImages(decision.containers)];
  return [
    result('info', `applied ${told} (${decision.reason}): ${decision.message}`),
    ...warnings.map((message) => result('warning', message)),
  ];
}

const isPatched = ({ evaluation }: Explained): boolean => evaluation.patch.length > 0;

function refuseInPlace({ inPlace, output, filename = [] }: InjectFlags): void {
  if (inPlace !== true) return;
  if (output !== 'yaml') throw new CommandError('usage', '--in-place writes YAML: leave --output out');
  if (filename.length === 0 || filename.some(isStandardInput)) {
    throw new CommandError('usage', '--in-place needs files: standard input cannot be written to');
  }
}

/** Writes the files that change, each whole or not at all. */
async function writeBack({ io, writeFile }: ManifestCommand, manifests: readonly Manifest[], patches: Patches) {
  const texts = patchManifests(manifests, patches);
  for (const [index, { name, text: before }] of manifests.entries()) {
    const after = texts[index] ?? before;
    if (after === before) continue;
    try {
      await writeFile(name, after);
    } catch (error) {
      throw new CommandError('failed', `${name}: ${fileProblem(error)}`, { cause: error });
    }
    io.out(`${printable(name)}\n`);
  }
}

/** Joins the documents for kubectl. Keeps the text of unchanged documents byte for byte. */
function asYaml(manifests: readonly Manifest[], patches: Patches): string {
  return patchManifests(manifests, patches).reduce((all, text) => {
    if (all === '') return text;
    const end = all.endsWith('\n') ? all : `${all}\n`;
    // A directive may follow nothing but the end of a document.
    if (text.startsWith('%')) return `${end}...\n${text}`;
    return text.startsWith('---') ? end + text : `${end}---\n${text}`;
  }, '');
}

/** Formats one object as itself, several as a v1 List; kubectl would not look into a List in a List. */
function asJson(manifests: readonly Manifest[], patches: Patches): string {
  const objects = manifests
    .flatMap((manifest) => manifest.documents)
    .filter((document) => document.value !== null)
    .map((document) => patchedValue(document.value, patches.get(document) ?? { templates: [] }));
  const items = objects.flatMap((object) => listItems(object)).map(({ object }) => object);
  const value = objects.length === 1 ? objects[0] : { apiVersion: 'v1', kind: 'List', items };
  return jsonText(value);
}

/** Writes a patch that `patch` takes; on a terminal, one for people. */
function writeDiff(io: Io, manifests: readonly Manifest[], patches: Patches, color: boolean): void {
  const diff = asDiff(manifests, patches);
  if (io.stdoutIsTerminal) io.out(paintDiff(printableLines(diff), painter(io, color)), 'styled');
  else io.out(diff, 'exact');
}

function asDiff(manifests: readonly Manifest[], patches: Patches): string {
  const texts = patchManifests(manifests, patches);
  const diffs = manifests.map((manifest, index) => {
    const after = texts[index] ?? '';
    if (after === manifest.text) return '';
    const name = manifest.name.replace(/^standard input$/, 'stdin').replace(/^\//, '');
    const text = createTwoFilesPatch(`a/${name}`, `b/${name}`, manifest.text, after);
    return text.replace(/^=+\n/, '');
  });
  return diffs.join('');
}

function paintDiff(text: string, paint: Paint): string {
  const lines = text.split('\n').map((line) => {
    if (line.startsWith('+')) return paint('green', line);
    if (line.startsWith('-')) return paint('red', line);
    return line.startsWith('@@') ? paint('cyan', line) : line;
  });
  return lines.join('\n');
}

function asPatch(explained: readonly Explained[]): string {
  const entries = explained.filter(isPatched).map(({ template, namespace, evaluation }) => ({
    kind: template.kind,
    namespace,
    name: template.name,
    patch: objectPatch({ template, patch: evaluation.patch }),
  }));
  return jsonText(entries);
}
