import { isIP } from 'node:net';

/** The flags of node-cache that decide who can reach it (kubernetes/dns: cmd/node-cache/main.go). */
export interface NodeCacheFlags {
  /** `-localip`; undefined: not given, or not a list of IP addresses (a placeholder that nobody filled in). */
  readonly localIps: readonly string[] | undefined;
  /** `-setupinterface`: it gives its addresses to an interface of the node. */
  readonly setupInterface: boolean;
}

export interface ContainerCommand {
  readonly command: readonly string[];
  readonly args: readonly string[];
}

/** Go's flag package: one or two dashes, the value behind `=` or, unless it is a boolean, in the next word. */
function lastValue(words: readonly string[], flag: string, boolean: boolean): string | undefined {
  let found: string | undefined;
  for (const [index, word] of words.entries()) {
    const [, name, value] = /^--?([a-z][a-z.-]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === flag) found = value ?? (boolean ? 'true' : words[index + 1]);
  }
  return found;
}

/** strconv.ParseBool; what it refuses would have kept node-cache from starting. */
const isFalse = (text: string | undefined): boolean => ['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text ?? '');

function addresses(list: string | undefined): readonly string[] | undefined {
  const all = list?.split(',') ?? [];
  return all.length > 0 && all.every((address) => isIP(address) !== 0) ? all : undefined;
}

/** Reads the flags wherever they stand: arguments, command, or the words of a shell's command line in either. */
export function nodeCacheFlags({ command, args }: ContainerCommand): NodeCacheFlags {
  const words = [...command, ...args].flatMap((text) => text.split(/\s+/));
  return {
    localIps: addresses(lastValue(words, 'localip', false)),
    setupInterface: !isFalse(lastValue(words, 'setupinterface', true)),
  };
}
