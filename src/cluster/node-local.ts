import { isIP } from 'node:net';

import { z } from 'zod';

import { shaped } from '../kubernetes/lists.ts';
import type { NodeLocalState } from '../policy/model.ts';

const commandWords = z.array(z.string()).default([]);

/** apps/v1 DaemonSet, as far as a node-local cache shows in it. */
const daemonSet = z.object({
  metadata: z.object({ deletionTimestamp: z.string().optional() }),
  spec: z.object({
    template: z.object({
      spec: z.object({
        hostNetwork: z.boolean().default(false),
        containers: z.array(z.object({ command: commandWords, args: commandWords })),
      }),
    }),
  }),
  status: z.object({ desiredNumberScheduled: z.int().default(0), numberReady: z.int().default(0) }).prefault({}),
});

type DaemonSet = z.output<typeof daemonSet>;

/** What is known of the node-local cache. */
export interface NodeLocal {
  readonly state: NodeLocalState;
  /** Its own addresses on the nodes: without those of the DNS Service. */
  readonly addresses: readonly string[];
  /** One sentence for people. */
  readonly detail: string;
}

type Shape = NodeLocal & { readonly state: 'ready' | 'intercepting' | 'unknown' };

const isLinkLocal = (address: string): boolean => /^(169\.254\.|fe80:)/i.test(address);

/** How a running cache can be reached, whatever its readiness. */
function shapeOf({ spec }: DaemonSet, dns: readonly string[]): Shape {
  const { hostNetwork, containers } = spec.template.spec;
  const caches = containers.map(nodeCacheFlags);
  const localIps = [...new Set(caches.flatMap(({ localIps: given }) => given ?? []))];
  if (!hostNetwork || caches.some(({ setupInterface }) => !setupInterface)) {
    const detail = 'it sets up no address on the nodes: something else (Cilium: a local redirect) brings Pods to it';
    return { state: 'intercepting', addresses: [], detail };
  }
  if (localIps.length === 0) {
    return {
      state: 'unknown',
      addresses: [],
      detail: 'its -localip is not a list of IP addresses: set nodeLocal.mode',
    };
  }
  // The documented form is `<own address>,<DNS Service>`; the Service's address need not be known to us.
  const isService = (address: string): boolean =>
    !isLinkLocal(address) && (localIps.length > 1 || dns.includes(address));
  const own = localIps.filter((address) => !isService(address));
  if (own.length === localIps.length)
    return { state: 'ready', addresses: own, detail: `it listens on ${own.join(', ')}` };
  return {
    state: 'intercepting',
    addresses: own,
    detail: `it listens on ${localIps.join(', ')}: the DNS Service's own`,
  };
}

/** `ready` of `desired` nodes. */
type Judge = (ready: number, desired: number) => boolean;

/**
 * Whether enough nodes are ready (`minReady`: 0 to 1, and one at least). Two looks in a row have to agree on a change: a
 * node that joins or a Pod that is replaced is not ready for some seconds, and Pods that are created then would keep what
 * they were given for life. The first look, and a cache that is ready nowhere, count at once.
 */
function createJudge(minReady: number): Judge {
  let settled: boolean | undefined;
  let doubted = false;
  return (ready, desired) => {
    const enough = ready > 0 && ready / desired >= minReady;
    if (settled === undefined || ready === 0 || enough === settled || doubted) {
      settled = enough;
      doubted = false;
    } else {
      doubted = true;
    }
    return settled;
  };
}

interface NodeLocalReader {
  /**
   * What a DaemonSet (undefined: there is none) says, `dns` being the addresses that Pods ask and those of the DNS Service.
   * Throws `KubeError` (malformed) for what is no DaemonSet.
   */
  read(object: unknown, dns: readonly string[]): NodeLocal;
}

/** Reads the cache's DaemonSet again and again; `minReady`: the part of its nodes that has to be ready, 0 to 1. */
export function createNodeLocalReader(minReady: number): NodeLocalReader {
  let judge = createJudge(minReady);
  return {
    read(object, dns) {
      const found = object === undefined ? undefined : shaped(daemonSet, object, 'DaemonSet');
      if (found === undefined || found.metadata.deletionTimestamp !== undefined) {
        judge = createJudge(minReady);
        return { state: 'absent', addresses: [], detail: 'there is no such DaemonSet' };
      }
      const { desiredNumberScheduled: desired, numberReady: ready } = found.status;
      const shape = shapeOf(found, dns);
      const enough = judge(ready, desired);
      const detail = `${shape.detail}; ready on ${ready} of ${desired} nodes`;
      return { ...shape, detail, state: enough || shape.state === 'unknown' ? shape.state : 'unready' };
    },
  };
}

/** The flags of node-cache that decide who can reach it (kubernetes/dns: cmd/node-cache/main.go). */
interface NodeCacheFlags {
  /** `-localip`; undefined: not given, or not a list of IP addresses (a placeholder that nobody filled in). */
  readonly localIps: readonly string[] | undefined;
  /** `-setupinterface`: it gives its addresses to an interface of the node. */
  readonly setupInterface: boolean;
}

interface ContainerCommand {
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
