import { lookup } from 'node:dns/promises';

import type { LookupContext } from '../../detection/image-source.ts';
import type { Clock } from '../../util/clock.ts';
import type { HostRules } from '../hosts/rules.ts';
import { parseAddress } from '../hosts/address.ts';
import { createConnections, createDispatcher, trustContext } from './dispatcher.ts';
import { createExchange, type Exchange } from './exchange.ts';
import { type BreakerEvent, createHostStates } from './host-state.ts';
import type { RegistryLimits } from './limits.ts';
import { createNames, type Resolve } from './names.ts';
import { createRegistryProxy, type ProxyOptions } from './proxy.ts';

export interface TransportOptions {
  /** Look-ups that talk to one host at a time. */
  readonly concurrency: number;
  /** PEM certificates trusted besides the system's. */
  readonly ca?: string;
  /** Absent: no proxy, whatever the environment says. */
  readonly proxy?: ProxyOptions | undefined;
  readonly userAgent: string;
  readonly clock: Clock;
  /** Default: the system's `getaddrinfo`. */
  readonly resolve?: Resolve;
  /** Threads of Node's pool, which name look-ups share with other work (`UV_THREADPOOL_SIZE`). Default 4, as Node's. */
  readonly threads?: number;
  readonly onBreaker?: (event: BreakerEvent) => void;
}

/** Sends requests over connections of its own. */
export interface Transport {
  readonly exchange: Exchange;
  /** Closes all connections; requests under way reject. */
  readonly close: () => Promise<void>;
}

const systemResolve: Resolve = async (hostname) => await lookup(hostname, { all: true });

/** Opens no connection before the first request. Throws a RangeError for an invalid `ca` or proxy. */
export function createTransport(options: TransportOptions, rules: HostRules, limits: RegistryLimits): Transport {
  const { resolve = systemResolve, threads = 4, userAgent, clock } = options;
  const secureContext = trustContext(options.ca);
  const proxy = options.proxy && createRegistryProxy(options.proxy, { limits, secureContext, userAgent });
  const names = createNames({ getaddrinfo: resolve, threads, limits, clock });
  const shared = { rules, names, limits, secureContext, connections: createConnections(limits), proxy };
  const anywhere = createDispatcher({ ...shared, listedOnly: false });
  const listed = createDispatcher({ ...shared, listedOnly: true });
  const hosts = createHostStates({ ...options, limits });
  const dispatcher = (listedOnly: boolean) => (listedOnly ? listed : anywhere);
  const resolveUrl = async (url: URL, context: LookupContext): Promise<void> => {
    // A proxy looks names up itself.
    if (parseAddress(url.hostname) !== undefined || proxy?.carries(url) === true) return;
    await names.resolve(url.hostname, context);
  };
  return {
    exchange: createExchange({ ...options, rules, limits, hosts, dispatcher, resolve: resolveUrl }),
    close: async () => {
      await Promise.all([anywhere.destroy(), listed.destroy()]);
    },
  };
}
