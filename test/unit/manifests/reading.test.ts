import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';

import { readManifests } from '../../../src/manifests/read.ts';
import { readTextStream } from '../../../src/terminal/input.ts';
import type { Io } from '../../../src/terminal/io.ts';
import { isObject } from '../../../src/util/json.ts';
import { kubectlReading } from '../../support/kubectl-reading.ts';
import { ODD_TEXTS } from './odd-texts.ts';

const kubectl = kubectlReading();

/** We read more than kubectl does. It refuses the text that `inject` writes for them, too. */
const REFUSED_BY_KUBECTL_ALONE: readonly string[] = [
  String.raw`value "\"\\x41\\/\\e\""`,
  String.raw`value "\"\\ud83d\\ude00\""`,
  String.raw`value "|\n      \tlit\n"`,
  'mapping: long key',
  'mapping: long quoted key',
  'mapping: tab only line',
  'sep content',
  'bom before sep',
  'directive',
  'directive 1.2',
  'directive 2',
  'tag directive',
  'two directives',
  'reserved directive',
  'tab seq',
  'tagged sep',
  'sep anchor',
  'only dots',
  'dots dots',
];

/** kubectl drops a part of these without a word, or we cannot tell what it reads. */
const REFUSED_BY_US_ALONE: readonly string[] = ['indented top then out', 'ls folded', 'ls sep'];

/** JSON has no integers of 64 bits. */
const asJson = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_key, one: unknown) => (typeof one === 'bigint' ? Number(one) : one)));

/** Returns the objects that we read in a text; undefined if something in it cannot be read. */
async function ours(text: string): Promise<unknown[] | undefined> {
  const io = { stdinIsTerminal: false, readStdin: () => readTextStream(Readable.from([Buffer.from(text)])) };
  const [manifest] = await readManifests(io as unknown as Io, []);
  if (manifest === undefined || manifest.problems.length > 0) return undefined;
  return manifest.documents
    .map(({ value }) => value)
    .filter((value) => value !== null)
    .map(asJson);
}

describe.skipIf(kubectl === undefined)('texts as kubectl reads them', () => {
  const names = Object.keys(ODD_TEXTS);
  const readings = kubectl?.(Object.values(ODD_TEXTS)) ?? [];

  it.each(names.map((name, index) => [name, index] as const))('%s', async (name, index) => {
    const { documents, error } = readings[index] ?? { documents: [] };
    const expected = error === undefined && documents.every(isObject) ? documents.map(asJson) : undefined;
    const read = await ours(ODD_TEXTS[name] ?? '');
    if (REFUSED_BY_KUBECTL_ALONE.includes(name)) expect([expected, read]).toEqual([undefined, expect.anything()]);
    else if (REFUSED_BY_US_ALONE.includes(name)) expect([expected, read]).toEqual([expect.anything(), undefined]);
    else expect(read).toEqual(expected);
  });
});
