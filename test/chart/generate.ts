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

/** Every generated file: path from the project's folder on, and the text it has to have. */
export function generatedFiles(): Map<string, string> {
  const files = [...renderDocuments(), ...renderManifests(), ...renderGolden()];
  return new Map(files.map(([path, text]) => [path, formatted(path, text)]));
}

/** The text of a file now; undefined where there is none. */
export function currentText(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), 'utf8');
  } catch {
    return undefined;
  }
}

function main(check: boolean): void {
  for (const [path, text] of generatedFiles()) {
    if (currentText(path) === text) continue;
    process.stdout.write(`${path} ${check ? 'is not current: run npm run generate' : 'written'}\n`);
    if (check) {
      process.exitCode = 1;
      continue;
    }
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), text);
  }
}

if (import.meta.main) main(process.argv.includes('--check'));
