import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { cli } from '../../support/cli.ts';
import { kubectlReading, type Reading } from '../../support/kubectl-reading.ts';
import { manifestTexts } from './arbitrary-manifests.ts';
import { ODD_TEXTS } from './odd-texts.ts';
import { STYLES } from './styles.ts';

const FIXTURES = `${import.meta.dirname}/../../fixtures/manifests`;

const FILES = readdirSync(FIXTURES, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(?:yaml|json)$/.test(file))
  .toSorted();

const FLAGS = ['inject', '--offline', '--node-local', 'on', '--cluster-dns', '10.96.0.10'];

const read = kubectlReading();

interface Case {
  readonly name: string;
  readonly text: string;
  readonly objects: number;
}

/** Refused by us on purpose: kubectl reads it, and the API server would refuse a Pod in it, or it was never rendered. */
const REFUSED = /^field\/(?:pod-shapes|unrendered)\.yaml/;

/** Of the odd texts: kubectl drops a part of them without a word, or reads no objects. */
const REFUSED_ODD =
  /^(?:indented top then out|ls folded|ls sep|seq doc|scalar doc|sep scalar|sep folded|json array|json then garbage)$/;

/** Styles that add an object. */
const ANOTHER = /mark behind|another/;

/** The objects of a text: those of a List on their own, with the kind that the items of a typed list lack. */
const objectsOf = ({ documents }: Reading): unknown[] => documents.flatMap(itemsOf);

function itemsOf(value: unknown): unknown[] {
  const { apiVersion, kind, items } = value as { apiVersion?: unknown; kind?: unknown; items?: object[] };
  if (typeof kind !== 'string' || !kind.endsWith('List') || !Array.isArray(items)) return [value];
  const common = kind === 'List' ? {} : { apiVersion, kind: kind.replace(/List$/, '') };
  return items.flatMap((item) => itemsOf({ ...common, ...item }));
}

/** Returns a value without what `inject` may change: DNS settings and the annotations of ours, the cache that one asks for included. */
function withoutOurs(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.filter((item) => (item as { name?: unknown } | null)?.name !== 'libc-dns-cache').map(withoutOurs);
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(([key]) => !/^(?:dnsConfig|dnsPolicy|libc-dns\.dev\/(?:decision|corefile))$/.test(key))
    .map(([key, item]) => [key, withoutOurs(item)] as const);
  // What held nothing before may hold something of ours now.
  const kept = entries.filter(
    ([key, item]) => !/^(?:metadata|podMetadata|annotations)$/.test(key) || Object.keys(item ?? {}).length > 0,
  );
  return Object.fromEntries(kept);
}

/** Leaves out what kubectl does not read, like a comment in JSON, or not in whole: of JSON objects behind a byte order mark only the first. */
function readable(cases: readonly Case[], kubectl: (texts: readonly string[]) => Reading[]): Case[] {
  const readings = kubectl(cases.map(({ text }) => text));
  return cases.filter(({ objects }, index) => {
    const { error, documents = [] } = readings[index] ?? {};
    return error === undefined && documents.length >= objects;
  });
}

/** Runs `inject` on each case and compares what kubectl reads before and after. Returns how many it changed. */
async function judge(cases: readonly Case[], kubectl: (texts: readonly string[]) => Reading[]): Promise<number> {
  const before = kubectl(cases.map(({ text }) => text));
  const outputs: { yaml: string; json: string }[] = [];
  for (const { name, text } of cases) {
    const [yaml, json] = [await cli(FLAGS, { stdin: text }), await cli([...FLAGS, '-o', 'json'], { stdin: text })];
    expect([name, text, yaml.code, json.code, yaml.err]).toEqual([
      name,
      text,
      0,
      0,
      expect.not.stringContaining('unexpected'),
    ]);
    outputs.push({ yaml: yaml.out, json: json.out });
  }
  const after = kubectl(outputs.map(({ yaml }) => yaml));
  const asJson = kubectl(outputs.map(({ json }) => json));
  let changed = 0;
  for (const [index, { name, text }] of cases.entries()) {
    const [old, now, json] = [before[index], after[index], asJson[index]];
    if (old === undefined || now === undefined || json === undefined) throw new Error('a text was not read');
    const where = { name, text, errors: [old.error, now.error, json.error] };
    expect(where).toEqual({ name, text, errors: [undefined, undefined, undefined] });
    expect({ ...where, objects: withoutOurs(objectsOf(now)) }).toEqual({
      ...where,
      objects: withoutOurs(objectsOf(old)),
    });
    expect({ ...where, objects: objectsOf(json) }).toEqual({ ...where, objects: objectsOf(now) });
    if (outputs[index]?.yaml !== text) changed += 1;
  }
  return changed;
}

describe.skipIf(read === undefined)('what kubectl reads before and after inject', () => {
  const kubectl = read ?? (() => []);
  const files = FILES.filter((file) => !REFUSED.test(file)).map((file) => ({
    name: file,
    text: readFileSync(`${FIXTURES}/${file}`, 'utf8'),
  }));

  it('differs by DNS settings alone, however a manifest is written', { timeout: 240_000 }, async () => {
    const readings = kubectl(files.map(({ text }) => text));
    const written = files.flatMap(({ name, text }, index) =>
      Object.entries(STYLES).map(([style, write]) => ({
        name: `${name} ${style}`,
        text: write(text, readings[index]?.documents ?? []),
        objects: style === 'as a List' ? 1 : (readings[index]?.documents.length ?? 0) + (ANOTHER.test(style) ? 1 : 0),
      })),
    );
    const cases = readable(written, kubectl);
    expect(cases.length).toBeGreaterThan(400);
    expect(await judge(cases, kubectl)).toBeGreaterThan(300);
  });

  it('differs by DNS settings alone, in odd texts', { timeout: 240_000 }, async () => {
    const written = Object.entries(ODD_TEXTS).map(([name, text]) => ({ name, text, objects: 1 }));
    const cases = readable(written, kubectl).filter(({ name }) => !REFUSED_ODD.test(name));
    expect(cases.length).toBeGreaterThan(250);
    expect(await judge(cases, kubectl)).toBeGreaterThan(200);
  });

  it('differs by DNS settings alone, in manifests made at random', { timeout: 240_000 }, async () => {
    const written = fc
      .sample(manifestTexts, { numRuns: 300, seed: 24 })
      .map((text, index) => ({ name: `sample ${index}`, text, objects: 1 }));
    const cases = readable(written, kubectl);
    expect(cases.length).toBeGreaterThan(200);
    expect(await judge(cases, kubectl)).toBeGreaterThan(100);
  });
});
