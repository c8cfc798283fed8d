import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';

import { configJsonSchema, leaves, valuesJsonSchema, valuesText, type JsonSchema } from './json-schema.ts';
import { remedyTable } from '../support/remedy-table.ts';
import { ROOT } from './helm.ts';

/** Replaces what stands between `<!-- name -->` and `<!-- end of name -->` in a file; the rest is written by hand. */
function withPart(path: string, name: string, part: string, text = readFileSync(join(ROOT, path), 'utf8')): string {
  const [start, end] = [`<!-- ${name} -->\n`, `<!-- end of ${name} -->`];
  const [from, to] = [text.indexOf(start), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${path}: no ${start.trim()} ... ${end}`);
  return `${text.slice(0, from + start.length)}\n${part}\n${text.slice(to)}`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');

function at(value: unknown, path: string): unknown {
  return path.split('.').reduce((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}

/** docs/configuration.md: the defaults as YAML, and a row for each key. */
function configurationPage(): string {
  const path = 'docs/configuration.md';
  const schema = configJsonSchema();
  const defaults: Record<string, unknown> = {};
  for (const [key, leaf] of leaves(schema)) assign(defaults, key.split('.'), leaf.default);
  const rows = leaves(schema).map(([key, leaf]) => `| \`${key}\` | ${cell(leaf.description ?? '')} |`);
  const table = ['| key | |', '| --- | --- |', ...rows].join('\n');
  const yaml = `\`\`\`yaml\n${stringify(defaults, { singleQuote: true })}\`\`\``;
  return withPart(path, 'keys', table, withPart(path, 'defaults', yaml));
}

function assign(target: Record<string, unknown>, [key = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    if (value !== undefined) target[key] = value;
    return;
  }
  assign((target[key] ??= {}) as Record<string, unknown>, rest, value);
}

/** Rows for a key and those under it, in the order of values.yaml; a key that only holds others has a row where it is explained. */
function valueRows(schema: JsonSchema, value: unknown, path: string): string[] {
  const text = cell(schema.description ?? '');
  if (schema.properties === undefined) {
    const shown = value ?? schema.default;
    return [`| \`${path}\` | ${shown === undefined ? '' : `\`${cell(JSON.stringify(shown))}\``} | ${text} |`];
  }
  const given = Object.keys(value ?? {});
  const keys = [...given, ...Object.keys(schema.properties).filter((key) => !given.includes(key))];
  const rows = keys.flatMap((key) => valueRows(schema.properties?.[key] ?? {}, at(value, key), `${path}.${key}`));
  return text === '' ? rows : [`| **\`${path}\`** | | ${text} |`, ...rows];
}

/** The chart's README: a row for each value, from values.schema.json. The configuration's keys have a page of their own. */
function chartReadme(): string {
  const values = parse(valuesText()) as Record<string, unknown>;
  const { config, ...schemas } = valuesJsonSchema().properties ?? {};
  const rows = Object.keys(values)
    .filter((key) => key !== 'config')
    .flatMap((key) => valueRows(schemas[key] ?? {}, values[key], key));
  const first = `| **\`config\`** | | ${cell(config?.description ?? '')} |`;
  const table = ['| value | default | |', '| --- | --- | --- |', first, ...rows].join('\n');
  return withPart('charts/libc-dns-webhook/README.md', 'values', table);
}

/** docs/architecture.md: what is done, by the resolvers in a Pod and what is known of the cluster. */
function architecturePage(): string {
  const [head = [], ...rows] = remedyTable();
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.map(cell).join(' | ')} |`);
  return withPart('docs/architecture.md', 'remedies', lines.join('\n'));
}

/** The documents made of schemas and of decisions: path from the project's folder on, and text. */
export function renderDocuments(): Map<string, string> {
  return new Map([
    ['charts/libc-dns-webhook/values.schema.json', `${JSON.stringify(valuesJsonSchema(), undefined, 2)}\n`],
    ['charts/libc-dns-webhook/README.md', chartReadme()],
    ['docs/configuration.md', configurationPage()],
    ['docs/architecture.md', architecturePage()],
  ]);
}
