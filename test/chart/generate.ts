// Writes the files that follow from others: `npm run generate`. With `--check` nothing is written, and the exit status is 1
// where a file is not current.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { renderDocuments } from './documents.ts';
import { renderGolden } from './golden.ts';
import { ROOT } from './helm.ts';
import { renderManifests } from './manifests.ts';

/** Formatted as everything else is, so that the format check has no exceptions. */
function formatted(path: string, text: string): string {
  if (path.endsWith('.diff')) return text;
  const oxfmt = join(ROOT, 'node_modules/.bin/oxfmt');
  return execFileSync(oxfmt, [`--stdin-filepath=${path}`], { encoding: 'utf8', input: text, cwd: ROOT });
}

/** Paths from the project's folder on, and texts. Each kind is made with the help of those before it: helm reads the schema. */
type Rendered = Iterable<readonly [path: string, text: string]>;
const KINDS: readonly (() => Rendered)[] = [renderDocuments, renderManifests, renderGolden];

const formattedFiles = (render: () => Rendered): [string, string][] =>
  Array.from(render(), ([path, text]) => [path, formatted(path, text)]);

/** Every generated file: path from the project's folder on, and the text it has to have. */
export function generatedFiles(): Map<string, string> {
  return new Map(KINDS.flatMap(formattedFiles));
}

/** The text of a file now; undefined where there is none. */
export function currentText(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}

function put(path: string, text: string, check: boolean): void {
  if (currentText(path) === text) return;
  process.stdout.write(`${path} ${check ? 'is not current: run npm run generate' : 'written'}\n`);
  if (check) {
    process.exitCode = 1;
    return;
  }
  mkdirSync(dirname(join(ROOT, path)), { recursive: true });
  writeFileSync(join(ROOT, path), text);
}

function main(check: boolean): void {
  for (const render of KINDS) for (const [path, text] of formattedFiles(render)) put(path, text, check);
}

if (import.meta.main) main(process.argv.includes('--check'));
