import { baseName, type Invocation } from '../invocation.ts';
import { argvOf, optionValue } from './launchers.ts';

/** A launcher whose configuration file may name what it starts, in a block `exec`. */
interface Shape {
  readonly verb?: string;
  /** Mostly it is given one that does: if the file is out of reach, it may start anything. */
  readonly mostly: boolean;
}

const shapes: Readonly<Record<string, Shape>> = {
  // https://github.com/hashicorp/consul-template/blob/main/docs/configuration.md
  'consul-template': { mostly: true },
  // https://github.com/hashicorp/envconsul#configuration-file-format
  envconsul: { mostly: true },
  // https://developer.hashicorp.com/vault/docs/agent-and-proxy/agent/process-supervisor
  vault: { verb: 'agent', mostly: false },
  // https://openbao.org/docs/agent-and-proxy/agent/process-supervisor
  bao: { verb: 'agent', mostly: false },
};

/** A configuration file in HCL or JSON. */
export interface LauncherConfiguration {
  /** As the command line has it. */
  readonly path: string;
  readonly mostly: boolean;
}

/** Returns the configuration file that a launcher of the table is given; undefined for any other program, and without one. */
export function configurationOf({ argv }: Invocation): LauncherConfiguration | undefined {
  const [program = '', ...words] = argv;
  const name = baseName(program);
  const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
  if (shape === undefined || (shape.verb !== undefined && !words.includes(shape.verb))) return undefined;
  const path = optionValue(words, '-config') ?? '';
  return path === '' ? undefined : { path, mostly: shape.mostly };
}

/**
 * Returns the command line of a configuration's block `exec`; undefined without one; null if it cannot be read. A text with
 * what only shells know is for one.
 */
export function execOf(configuration: string): readonly string[] | null | undefined {
  const text = configuration.replaceAll(/^[ \t]*(?:#|\/\/).*$/gmu, '');
  const block = /(?:^|[\s{,])"?exec"?[ \t]*[:=]?[ \t]*\{/u.exec(text);
  if (block === null) return undefined;
  const rest = text.slice(block.index + block[0].length);
  const value = /(?:^|[\s{,])"?command"?[ \t]*[:=][ \t]*(?<value>\[[^\]]{0,2000}\]|"(?:[^"\\\n]|\\.){0,2000}")/u.exec(
    rest,
  );
  return value?.groups?.['value'] === undefined ? null : commandOf(value.groups['value']);
}

function commandOf(value: string): readonly string[] | null {
  let command: unknown;
  try {
    // HCL's lists may end in a comma; its strings are JSON's.
    command = JSON.parse(value.replace(/,\s*\]$/u, ']'));
  } catch {
    return null;
  }
  const words: readonly unknown[] = Array.isArray(command) ? command : [command];
  if (!words.every((word) => typeof word === 'string')) return null;
  const [only = ''] = words;
  return words.length === 1 ? argvOf(only) : words;
}
