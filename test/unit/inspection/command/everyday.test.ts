import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

import { describe, expect, it } from 'vitest';

import { elf, leads, type Files, type Setting } from '../../../support/followed.ts';

/** `case.json` beside the scripts of an image, which are in `rootfs`. */
interface Case extends Setting {
  readonly argv: readonly string[];
  /** Paths of ELF programs. */
  readonly programs: readonly string[];
  readonly links: Readonly<Record<string, string>>;
  /** The programs that may stay in the foreground. */
  readonly stays: readonly string[];
}

const folder = new URL('../../../fixtures/entrypoints/', import.meta.url).pathname;

function scriptsOf(root: string): Files {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = entries.map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(paths.map((path) => [relative(root, path), readFileSync(path, 'utf8')]));
}

describe('entry points in the shape of the most pulled images', () => {
  it.each(readdirSync(folder))('%s', (name) => {
    const { argv, programs, links, stays, ...setting } = JSON.parse(
      readFileSync(join(folder, name, 'case.json'), 'utf8'),
    ) as Case;
    const files: Files = {
      ...scriptsOf(join(folder, name, 'rootfs')),
      ...Object.fromEntries(programs.map((path) => [path, elf])),
      ...Object.fromEntries(Object.entries(links).map(([path, target]) => [path, `->${target}`])),
    };
    const [foreground = ''] = leads(argv, { ...setting, files }).split(/ [&<] /u);
    expect(foreground.split(' ')).toEqual(stays);
  });
});
