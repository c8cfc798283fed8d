import type { Behaviour } from '../capture/story.ts';
import type { NodeName } from '../network/plan.ts';
import type { ResolverId } from '../preparation/programs.ts';

/** The declared resolver of a container, which decides what its Pod gets. */
export type Kind = 'glibc' | 'go' | 'other' | 'musl';

/** The DNS settings that the Pod's author, or an injector before us, wrote. */
interface DnsSpec {
  readonly dnsPolicy?: string;
  readonly dnsConfig?: {
    readonly nameservers?: readonly string[];
    readonly searches?: readonly string[];
    readonly options?: readonly { readonly name: string; readonly value?: string }[];
  };
}

/** What is known and configured when the Pod is decided about. */
export interface Knowledge {
  readonly family?: 'v4' | 'v6';
  /** Whether the node-local cache is usable. */
  readonly nodeLocal?: boolean;
  /** Whether a redirected Pod keeps the cluster DNS as second server (the default). */
  readonly fallback?: boolean;
  /** `preflight` (the default): gives use-vc only if the cluster DNS answers over TCP. `assumed`: does not check. */
  readonly overTcp?: 'preflight' | 'assumed';
  /** Whether the scenario's network policy is looked at (the default). */
  readonly policies?: boolean;
}

/** One way to configure the Pods of a scenario. */
export interface Column {
  readonly id: string;
  readonly title: string;
  /** Which resolv.conf of `explain` the Pod gets: without or with our patch. */
  readonly file: 'before' | 'after';
  readonly knowledge?: Knowledge;
  readonly pod?: DnsSpec;
  /**
   * Asks for the cache in the Pod, and runs it: `up`; `dead`: not at all; `alone`: up, and the Pod has no other nameserver, so that
   * all packets that leave it are the cache's.
   */
  readonly sidecar?: 'up' | 'dead' | 'alone';
  /** Resolvers measured in this column. Default: all of the scenario's. */
  readonly only?: readonly ResolverId[];
}

/** What is expected of every look-up. */
export interface Expectation {
  readonly atMostMs?: number;
  readonly atLeastMs?: number;
  /** Of all look-ups. `found` (the default): both addresses. `fails`: an error. `gives up`: no end within the lab's limit. */
  readonly outcome?: 'found' | 'fails' | 'gives up';
  readonly packets?: readonly Behaviour[];
}

/** `ours/musl` is the cell of column `ours` for musl. A resolver's id wins over its kind. */
export type Expectations = Readonly<Record<string, Expectation>>;

export interface Scenario {
  readonly id: string;
  readonly title: string;
  readonly node: NodeName;
  /** Returns the name to look up; its first label is `token`. */
  readonly question: (token: string) => string;
  /** The resolvers in each Pod. Each is declared as its own kind unless `declared` overrides that. */
  readonly pods: readonly (readonly ResolverId[])[];
  /** What detection would find in an image with this program. */
  readonly declared?: Readonly<Partial<Record<ResolverId, Kind>>>;
  /** Whether nothing is declared, so that the resolver is unknown to us. */
  readonly undeclared?: boolean;
  /** What a network policy lets out of the Pods: as it is written, and as it is carried out in their namespaces (nftables). */
  readonly policy?: { readonly egress: readonly object[]; readonly rules: readonly string[] };
  readonly columns: readonly Column[];
  readonly expect: Expectations;
  /** Whether the node-local cache crashes and returns during the look-ups, which are spread over that time. */
  readonly restarts?: boolean;
}

export const FULLY_QUALIFIED = (token: string): string => `${token}.shop.svc.cluster.local.`;
/** Returns the short name of a Service in another namespace; the second search domain finds it. */
export const SERVICE = (token: string): string => `${token}.infra`;
/** Returns a name outside the cluster; all three search domains are tried first. */
export const OUTSIDE = (token: string): string => `${token}.lab.example`;

export const GLIBC: readonly ResolverId[] = ['glibc', 'python', 'node-lookup', 'go-libc'];
export const GO: readonly ResolverId[] = ['go', 'go-cgo'];
export const MUSL: readonly ResolverId[] = ['musl', 'musl-new', 'musl-static'];

export const BEFORE: Column = { id: 'before', title: 'before', file: 'before' };
export const OURS: Column = { id: 'ours', title: 'ours', file: 'after', knowledge: { nodeLocal: false } };
export const OURS_LOCAL: Column = {
  id: 'ours-local',
  title: 'ours, node-local cache',
  file: 'after',
  knowledge: { nodeLocal: true },
};
export const OURS_LOCAL_ONLY: Column = {
  id: 'ours-local-only',
  title: 'ours, node-local cache, no fallback',
  file: 'after',
  knowledge: { nodeLocal: true, fallback: false },
};
