import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Definition {
  properties?: Record<string, Definition>;
  additionalProperties?: unknown;
  format?: string;
  type?: unknown;
  $ref?: string;
  'x-kubernetes-group-version-kind'?: readonly { group: string; version: string; kind: string }[];
  [keyword: string]: unknown;
}

/** The answer of an API server to GET /openapi/v2, as far as it is used here. */
export interface OpenApi {
  readonly definitions: Readonly<Record<string, Definition>>;
}

/** OpenAPI says string for a number or a string, and nothing of fields that are not known. */
function strict(definition: Definition): Definition {
  if (definition.format === 'int-or-string') {
    return { oneOf: [{ type: 'string' }, { type: 'integer' }] };
  }
  const closed = definition.properties !== undefined && definition.additionalProperties === undefined;
  return closed ? { ...definition, additionalProperties: false } : definition;
}

/** What a definition leads to, itself included. */
function reachable(all: OpenApi['definitions'], name: string, found = new Set<string>()): Set<string> {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, next = ''] of JSON.stringify(all[name]).matchAll(/"#\/definitions\/([^"]+)"/g)) {
    reachable(all, next, found);
  }
  return found;
}

/**
 * Writes JSON schemas as kubeconform looks for them, from what an API server says of its own API: a file for each kind, in which
 * unknown fields are refused. Returns the value for `-schema-location`.
 */
export function writeKubeSchemas({ definitions }: OpenApi, folder: string): string {
  mkdirSync(folder, { recursive: true });
  for (const [name, definition] of Object.entries(definitions)) {
    const kinds = definition['x-kubernetes-group-version-kind'] ?? [];
    if (kinds.length !== 1) continue;
    const parts = [...reachable(definitions, name)].map((part) => [part, strict(definitions[part] ?? {})] as const);
    const schema = { $ref: `#/definitions/${name}`, definitions: Object.fromEntries(parts) };
    for (const { group, version, kind } of kinds) {
      // kubeconform takes the version for the group where there is none.
      const file = `${kind}_${group || version}_${version}.json`.toLowerCase();
      writeFileSync(join(folder, file), JSON.stringify(schema));
    }
  }
  return join(folder, '{{ .ResourceKind }}_{{ .Group }}_{{ .ResourceAPIVersion }}.json');
}
