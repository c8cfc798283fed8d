import { parse } from 'yaml';
import { z } from 'zod';

import { isObject } from '../util/json.ts';
import { nearest } from './options.ts';
import { ownProxy } from './registry-proxy.ts';
import { configSchema } from './schema.ts';

const PREFIX = 'LIBC_DNS_';

/** Names the configuration file; no setting itself. */
const NON_SETTINGS = ['LIBC_DNS_CONFIG'];

/** Variables that Kubernetes sets in every container for a Service called libc-dns-… (enableServiceLinks). */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT(_.{1,63})?|PORT(_\d+_(TCP|UDP)(_.{1,63})?)?)$/;

/** Keys whose value is a mapping, in YAML. */
const MAPPINGS = ['extraOptions', 'detection.registry.mirrors'];

/** Keys whose value is `auto` or a list. */
const LISTS = ['cluster.dns', 'cluster.nodeSearches'];

/** A value from a flag or variable. */
export interface Override {
  /** `server.address`. */
  readonly key: string;
  readonly value: unknown;
  /** Name of the flag or variable, for messages. */
  readonly origin: string;
}

/**
 * Reads the settings in the environment, such as `LIBC_DNS_NODE_LOCAL_MODE=on`: lists separated by commas, mappings in
 * YAML. Warns about unknown variables with our prefix.
 */
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
  const unknown = Object.keys(environment).filter(
    (name) =>
      name.startsWith(PREFIX) && !names.includes(name) && !NON_SETTINGS.includes(name) && !SERVICE_LINK.test(name),
  );
  const warnings = unknown.map((name) => {
    const near = nearest(name, names);
    return `environment variable ${name} is not known and ignored${near === undefined ? '' : `; did you mean ${near}?`}`;
  });
  return { overrides, warnings };
}

/** Returns every key of the configuration, with its environment variable and default. */
export function environmentVariables(): {
  readonly key: string;
  readonly variable: string;
  readonly fallback: unknown;
}[] {
  const found = new Map<string, unknown>();
  collectLeaves(z.encode(configSchema, configSchema.parse({})), '', found);
  return [...found].map(([key, fallback]) => ({ key, variable: variable(key), fallback }));
}

function collectLeaves(node: unknown, path: string, found: Map<string, unknown>): void {
  const branch = isObject(node) && !MAPPINGS.includes(path);
  if (!branch) {
    found.set(path, node);
    return;
  }
  for (const [key, value] of Object.entries(node)) collectLeaves(value, path === '' ? key : `${path}.${key}`, found);
}

const variable = (key: string): string =>
  PREFIX +
  key
    .replaceAll(/[.-]/g, '_')
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
