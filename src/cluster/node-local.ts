import { isIP } from 'node:net';

import { z } from 'zod';

import { shaped } from '../kubernetes/lists.ts';
import type { NodeLocalState } from '../policy/model.ts';

const commandWords = z.array(z.string()).default([]);

/** The fields of an apps/v1 DaemonSet that describe a node-local cache. */
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
  /** Its own addresses on the nodes, without the addresses of the DNS Service. */
  readonly addresses: readonly string[];
  /** Describes the state in one sentence. */
  readonly detail: string;
}

interface NodeLocalReader {
  /**
   * Reads a DaemonSet; undefined: it does not exist. `dns` holds the addresses that Pods ask and the DNS Service's.
   * Throws `KubeError` (malformed) if the object is not a DaemonSet.
   */
  read(object: unknown, dns: readonly string[]): NodeLocal;
}

/** Reads successive states of the cache's DaemonSet. `minReady`: the share of its nodes that has to be ready, 0 to 1. */
export function createNodeLocalReader(minReady: number): NodeLocalReader {
  let isReady = createReadiness(minReady);
  return {
    read(object, dns) {
      const found = object === undefined ? undefined : shaped(daemonSet, object, 'DaemonSet');
      if (found === undefined || found.metadata.deletionTimestamp !== undefined) {
        isReady = createReadiness(minReady);
        return { state: 'absent', addresses: [], detail: 'there is no such DaemonSet' };
      }
      const { desiredNumberScheduled: desired, numberReady: ready } = found.status;
      const reachability = reachabilityOf(found, dns);
      const enough = isReady(ready, desired);
      const detail = `${reachability.detail}; ready on ${ready} of ${desired} nodes`;
      return {
        ...reachability,
        detail,
        state: enough || reachability.state === 'unknown' ? reachability.state : 'unready',
      };
    },
  };
}

type Reachability = NodeLocal & { readonly state: 'ready' | 'intercepting' | 'unknown' };

const isLinkLocal = (address: string): boolean => /^(169\.254\.|fe80:)/i.test(address);

/** Returns how Pods can reach the cache, whether or not it is ready. */
function reachabilityOf({ spec }: DaemonSet, dns: readonly string[]): Reachability {
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
  // The documented form is `<own address>,<DNS Service>`; we may not know the Service's address.
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

/** Reports whether `ready` of `desired` nodes are enough. */
type Readiness = (ready: number, desired: number) => boolean;

/**
 * Decides whether enough nodes are ready (`minReady`: 0 to 1; at least one node). Two reads in a row have to agree on a
 * change: a node that joins or a Pod that is replaced is not ready for some seconds, and Pods created in that time would
 * keep their DNS configuration for life. The first read, and a cache that is ready nowhere, count at once.
 */
function createReadiness(minReady: number): Readiness {
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

/** The flags of node-cache that decide how Pods reach it (kubernetes/dns: cmd/node-cache/main.go). */
interface NodeCacheFlags {
  /** `-localip`; undefined: not given, or not a list of IP addresses (an unfilled placeholder). */
  readonly localIps: readonly string[] | undefined;
  /** `-setupinterface`: node-cache adds its addresses to an interface of the node. */
  readonly setupInterface: boolean;
}

interface ContainerCommand {
  readonly command: readonly string[];
  readonly args: readonly string[];
}

/** Reads a flag as Go's flag package does: one or two dashes, the value after `=` or, unless boolean, in the next word. */
function lastValue(words: readonly string[], flag: string, boolean: boolean): string | undefined {
  let found: string | undefined;
  for (const [index, word] of words.entries()) {
    const [, name, value] = /^--?([a-z][a-z.-]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === flag) found = value ?? (boolean ? 'true' : words[index + 1]);
  }
  return found;
}

/** As strconv.ParseBool; node-cache does not start with a value that it refuses. */
const isFalse = (text: string | undefined): boolean => ['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text ?? '');

function addresses(list: string | undefined): readonly string[] | undefined {
  const all = list?.split(',') ?? [];
  return all.length > 0 && all.every((address) => isIP(address) !== 0) ? all : undefined;
}

/** Reads the flags from command and args, and from the words of a shell's command line in either. */
export function nodeCacheFlags({ command, args }: ContainerCommand): NodeCacheFlags {
  const words = [...command, ...args].flatMap((text) => text.split(/\s+/));
  return {
    localIps: addresses(lastValue(words, 'localip', false)),
    setupInterface: !isFalse(lastValue(words, 'setupinterface', true)),
  };
}
