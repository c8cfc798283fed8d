import { lookup } from 'node:dns/promises';

import type { Clock } from '../../util/clock.ts';
import type { HostRules } from '../hosts/rules.ts';
import { createDispatcher, type Resolve, trustContext } from './dispatcher.ts';
import { createExchange, type Exchange, type RequestEvent } from './exchange.ts';
import { type BreakerState, createHostStates } from './host-state.ts';
import type { RegistryLimits } from './limits.ts';
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
  readonly onRequest?: (event: RequestEvent) => void;
  readonly onBreaker?: (event: { readonly host: string; readonly state: BreakerState }) => void;
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
  const { resolve = systemResolve, userAgent } = options;
  const secureContext = trustContext(options.ca);
  const proxy = options.proxy && createRegistryProxy(options.proxy, { limits, secureContext, userAgent });
  const shared = { rules, resolve, limits, secureContext, proxy };
  const anywhere = createDispatcher({ ...shared, listedOnly: false });
  const listed = createDispatcher({ ...shared, listedOnly: true });
  const hosts = createHostStates({ ...options, limits });
  const dispatcher = (listedOnly: boolean) => (listedOnly ? listed : anywhere);
  return {
    exchange: createExchange({ ...options, rules, limits, hosts, dispatcher }),
    close: async () => {
      await Promise.all([anywhere.destroy(), listed.destroy()]);
    },
  };
}
