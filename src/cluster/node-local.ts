import { isIP } from 'node:net';

import { z } from 'zod';

import { shaped } from '../kubernetes/lists.ts';
import type { NodeLocalState } from '../policy/model.ts';
import { isLinkLocal } from '../util/ip.ts';

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

export type CacheDaemonSet = z.output<typeof daemonSet>;

/** Parses a DaemonSet. Throws `KubeError` (malformed) if the object is no DaemonSet. */
export const readDaemonSet = (object: unknown): CacheDaemonSet => shaped(daemonSet, object, 'DaemonSet');

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
   * Returns the state of a cache by all its DaemonSets; `absent` if there is none. `dns` holds the addresses that Pods ask and
   * the DNS Service's. `localRedirect`: see {@link redirectsDns}; undefined: not known.
   */
  read(daemonSets: readonly CacheDaemonSet[], dns: readonly string[], localRedirect?: boolean): NodeLocal;
}

/** Reads successive states of the cache's DaemonSets. `minReady`: the share of all their nodes that has to be ready, 0 to 1. */
export function createNodeLocalReader(minReady: number): NodeLocalReader {
  let isReady = createReadiness(minReady);
  return {
    read(daemonSets, dns, localRedirect) {
      const found = daemonSets.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      if (found.length === 0) {
        isReady = createReadiness(minReady);
        return { state: 'absent', addresses: [], detail: 'there is no such DaemonSet' };
      }
      const desired = sum(found.map(({ status }) => status.desiredNumberScheduled));
      const ready = sum(found.map(({ status }) => status.numberReady));
      const reachability = together(found.map((one) => reachabilityOf(one, dns, localRedirect)));
      const enough = isReady(ready, desired);
      const of = found.length === 1 ? '' : `${found.length} DaemonSets: `;
      return {
        ...reachability,
        detail: `${of}${reachability.detail}; ready on ${ready} of ${desired} nodes`,
        state: enough || reachability.state === 'unknown' ? reachability.state : 'unready',
      };
    },
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

/**
 * Puts together what the DaemonSets of one cache say, each of which serves nodes of its own. A Pod may come to any of these
 * nodes: a redirect has to work on all of them.
 */
function together(all: readonly Reachability[]): Reachability {
  const unknown = all.find(({ state }) => state === 'unknown');
  if (unknown !== undefined) return unknown;
  const addresses = [...new Set(all.flatMap((one) => one.addresses))];
  const detail = [...new Set(all.map((one) => one.detail))].join('; ');
  if (all.every(({ state }) => state === 'intercepting')) return { state: 'intercepting', addresses, detail };
  if (all.every((one) => one.addresses.length > 0)) return { state: 'ready', addresses, detail };
  return { state: 'unknown', addresses: [], detail: `not all of them need a redirect: ${detail}` };
}

type Reachability = NodeLocal & { readonly state: 'ready' | 'intercepting' | 'unknown' };

/** Reports whether the cache gives the nodes no address of its own, so that Pods reach it only by a local redirect. */
export function reliesOnRedirect({ spec }: CacheDaemonSet): boolean {
  const { hostNetwork, containers } = spec.template.spec;
  return !hostNetwork || containers.some((one) => !nodeCacheFlags(one).setupInterface);
}

/** Returns how Pods can reach the cache, whether or not it is ready. */
function reachabilityOf(found: CacheDaemonSet, dns: readonly string[], localRedirect?: boolean): Reachability {
  const { hostNetwork, containers } = found.spec.template.spec;
  const caches = containers.map(nodeCacheFlags);
  const localIps = [...new Set(caches.flatMap(({ localIps: given }) => given ?? []))];
  const relies = reliesOnRedirect(found);
  if (relies && localRedirect === true) {
    return { state: 'intercepting', addresses: [], detail: 'a CiliumLocalRedirectPolicy brings Pods to it' };
  }
  // Rules without an interface of its own: they take the DNS Service's packets out of conntrack, so that no DNS would work
  // unless something else had given the nodes the address.
  const ownsRules = hostNetwork && caches.every(({ setupIptables }) => setupIptables);
  if (relies && !(ownsRules && localIps.some((address) => dns.includes(address)))) {
    const why =
      localRedirect === undefined
        ? 'whether a CiliumLocalRedirectPolicy brings Pods to it is not known'
        : 'no CiliumLocalRedirectPolicy names the DNS Service, so that nothing is known to bring Pods to it';
    return { state: 'unknown', addresses: [], detail: `it sets up no address on the nodes, and ${why}` };
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
  /** `-setupiptables`: node-cache takes packets to its addresses out of conntrack. */
  readonly setupIptables: boolean;
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

function ipList(list: string | undefined): readonly string[] | undefined {
  const all = list?.split(',') ?? [];
  return all.length > 0 && all.every((address) => isIP(address) !== 0) ? all : undefined;
}

/** Reads the flags from command and args, and from the words of a shell's command line in either. */
export function nodeCacheFlags({ command, args }: ContainerCommand): NodeCacheFlags {
  const words = [...command, ...args].flatMap((text) => text.split(/\s+/));
  return {
    localIps: ipList(lastValue(words, 'localip', false)),
    setupInterface: !isFalse(lastValue(words, 'setupinterface', true)),
    setupIptables: !isFalse(lastValue(words, 'setupiptables', true)),
  };
}

/** The fields of a list of cilium.io/v2 CiliumLocalRedirectPolicies that name what is redirected. */
const localRedirects = z.object({
  items: z.array(
    z.object({
      spec: z
        .object({
          redirectFrontend: z
            .object({
              serviceMatcher: z.object({ serviceName: z.string(), namespace: z.string() }).partial().nullish(),
              addressMatcher: z.object({ ip: z.string() }).partial().nullish(),
            })
            .nullish(),
        })
        .nullish(),
    }),
  ),
});

/**
 * Reports whether a list of CiliumLocalRedirectPolicies has one for the DNS Service (`namespace/name`) or one of its addresses.
 * `list` is undefined if Cilium is not there. Throws `KubeError` (malformed) if the object is not such a list.
 */
export function redirectsDns(list: unknown, service: string, dns: readonly string[]): boolean {
  if (list === undefined) return false;
  const { items } = shaped(localRedirects, list, 'list of CiliumLocalRedirectPolicies');
  return items.some(({ spec }) => {
    const { serviceMatcher, addressMatcher } = spec?.redirectFrontend ?? {};
    return (
      `${serviceMatcher?.namespace ?? ''}/${serviceMatcher?.serviceName ?? ''}` === service ||
      dns.includes(addressMatcher?.ip ?? '')
    );
  });
}
