import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, isScalar, parse, parseDocument, type YAMLMap } from 'yaml';
import { z } from 'zod';

import { configSchema } from '../../src/config/schema.ts';
import { CHART, ROOT } from './helm.ts';
import { valuesSchema } from './values-schema.ts';

/** As much of a JSON schema as is used here. */
export interface JsonSchema {
  description?: string;
  default?: unknown;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: unknown;
  [keyword: string]: unknown;
}

/** The explanations of the configuration's keys: `glibc.options` to a sentence. */
export const keyTexts = (): Record<string, string> =>
  parse(readFileSync(join(ROOT, 'docs/configuration-keys.yaml'), 'utf8')) as Record<string, string>;

export const valuesText = (): string => readFileSync(join(CHART, 'values.yaml'), 'utf8');

/** Every key that has no keys of its own, in order. */
export function leaves(schema: JsonSchema, path = ''): [path: string, schema: JsonSchema][] {
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length === 0) return [[path, schema]];
  return properties.flatMap(([key, value]) => leaves(value, path === '' ? key : `${path}.${key}`));
}

/** The schema of the configuration file, each key with its explanation. */
export function configJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-7' }) as JsonSchema;
  const texts = keyTexts();
  for (const [path, leaf] of leaves(schema)) leaf.description = texts[path] ?? '';
  return schema;
}

const sentence = (comment: string | null | undefined): string | undefined =>
  comment
    ?.split(/\n\s*\n/)
    .at(-1)
    ?.split('\n')
    .map((line) => line.trim())
    .join(' ');

/** What stands above each key of a YAML mapping, by path; the comment above the first is the mapping's own. */
function comments(map: YAMLMap, path: string, found: Map<string, string>): void {
  for (const [index, { key, value }] of map.items.entries()) {
    if (!isScalar(key)) continue;
    const here = path === '' ? String(key.value) : `${path}.${String(key.value)}`;
    const text = sentence(key.commentBefore ?? (index === 0 ? map.commentBefore : undefined));
    if (text !== undefined) found.set(here, text);
    if (isMap(value)) comments(value, here, found);
  }
}

/** The comments of values.yaml: `webhook.failurePolicy` to what stands above it. */
export function valueComments(): Map<string, string> {
  const found = new Map<string, string>();
  const { contents } = parseDocument(valuesText());
  if (isMap(contents)) comments(contents, '', found);
  return found;
}

function describe(schema: JsonSchema, path: string, texts: ReadonlyMap<string, string>): void {
  const text = texts.get(path);
  if (text !== undefined) schema.description = text;
  for (const [key, value] of Object.entries(schema.properties ?? {})) {
    describe(value, path === '' ? key : `${path}.${key}`, texts);
  }
}

/** values.schema.json: the types of values-schema.ts, explained by the comments of values.yaml. */
export function valuesJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(valuesSchema, { io: 'input', target: 'draft-7' }) as JsonSchema;
  const texts = new Map(Object.entries(keyTexts()).map(([key, text]) => [`config.${key}`, text] as const));
  describe(schema, '', new Map([...texts, ...valueComments()]));
  return schema;
}
