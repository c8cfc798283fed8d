import { parse } from 'yaml';
import { z } from 'zod';

import { isObject } from '../util/json.ts';
import { nearest } from './options.ts';
import { ownProxy } from './registry-proxy.ts';
import { configSchema } from './schema.ts';

const PREFIX = 'LIBC_DNS_';

/** Read by main.ts, not part of the configuration itself. */
const OTHERS = ['LIBC_DNS_CONFIG'];

/** What Kubernetes puts into every container for a Service called libc-dns-… (enableServiceLinks). */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP)(_.+)?)?)$/;

/** Keys whose value is a mapping: written as YAML. */
const MAPPINGS = ['extraOptions', 'detection.registry.mirrors'];

/** Keys that take `auto` or a list. */
const LISTS = ['cluster.dns', 'cluster.nodeSearches'];

function leaves(node: unknown, path: string, found: Map<string, unknown>): void {
  const branch = isObject(node) && !MAPPINGS.includes(path);
  if (!branch) {
    found.set(path, node);
    return;
  }
  for (const [key, value] of Object.entries(node)) leaves(value, path === '' ? key : `${path}.${key}`, found);
}

const variable = (key: string): string =>
  PREFIX +
  key
    .replaceAll('.', '_')
    .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
    .toUpperCase();

function readValue(key: string, fallback: unknown, text: string): unknown {
  const list = Array.isArray(fallback) || (LISTS.includes(key) && text !== 'auto');
  if (list) return text === '' ? [] : text.split(',').map((item) => item.trim());
  if (key === 'detection.registry.proxy') return ownProxy(text);
  if (typeof fallback === 'string') return text;
  try {
    return parse(text);
  } catch {
    return text;
  }
}

/** Every key of the configuration with its environment variable and default. */
export function environmentVariables(): {
  readonly key: string;
  readonly variable: string;
  readonly fallback: unknown;
}[] {
  const found = new Map<string, unknown>();
  leaves(z.encode(configSchema, configSchema.parse({})), '', found);
  return [...found].map(([key, fallback]) => ({ key, variable: variable(key), fallback }));
}

/** The settings in the environment: `LIBC_DNS_NODE_LOCAL_MODE=on`, lists separated by commas, mappings as YAML. */
export function readEnvironment(environment: Readonly<Record<string, string | undefined>>): {
  readonly overrides: readonly Override[];
  readonly warnings: readonly string[];
} {
  const known = environmentVariables();
  const names = known.map((item) => item.variable);
  const overrides = known.flatMap(({ key, variable: name, fallback }) => {
    const text = environment[name];
    return text === undefined ? [] : [{ key, value: readValue(key, fallback, text), origin: name }];
  });
  const strangers = Object.keys(environment).filter(
    (name) => name.startsWith(PREFIX) && !names.includes(name) && !OTHERS.includes(name) && !SERVICE_LINK.test(name),
  );
  const warnings = strangers.map((name) => {
    const near = nearest(name, names);
    return `environment variable ${name} is not known and ignored${near === undefined ? '' : `; did you mean ${near}?`}`;
  });
  return { overrides, warnings };
}

/** One value from a flag: its dotted key and the name to blame. */
export interface Override {
  readonly key: string;
  readonly value: unknown;
  readonly origin: string;
}
