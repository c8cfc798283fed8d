import type { Behaviour } from '../capture/story.ts';
import type { NodeName } from '../network/plan.ts';
import type { ResolverId } from '../preparation/programs.ts';

/** How the resolver of a container is declared, and so what its Pod is given. */
export type Kind = 'glibc' | 'go' | 'other' | 'musl';

/** The part of a Pod that its author, or an injector before us, wrote. */
interface DnsSpec {
  readonly dnsPolicy?: string;
  readonly dnsConfig?: {
    readonly nameservers?: readonly string[];
    readonly searches?: readonly string[];
    readonly options?: readonly { readonly name: string; readonly value?: string }[];
  };
}

/** What is known of the cluster, and configured, when the Pod is decided about. */
export interface Knowledge {
  readonly family?: 'v4' | 'v6';
  /** Whether the node-local cache is usable. */
  readonly nodeLocal?: boolean;
  /** Whether a redirected Pod keeps the cluster DNS beside it (the default). */
  readonly fallback?: boolean;
  /** `preflight`: use-vc where the cluster DNS answers over TCP (the default); `assumed`: without looking. */
  readonly overTcp?: 'preflight' | 'assumed';
}

/** A way to configure the Pods of a scenario. */
export interface Column {
  readonly id: string;
  readonly title: string;
  /** Which of explain's two files the Pod gets: as the Pod was, or as our patch makes it. */
  readonly file: 'before' | 'after';
  readonly knowledge?: Knowledge;
  readonly pod?: DnsSpec;
  /** Resolvers that this column is measured with; absent: all of the scenario's. */
  readonly only?: readonly ResolverId[];
}

/** What has to come out, of every look-up. */
export interface Expectation {
  readonly atMostMs?: number;
  readonly atLeastMs?: number;
  /** Default: every look-up finds both addresses. `fails`: none does; `gives up`: none ends within the lab's limit. */
  readonly outcome?: 'found' | 'fails' | 'gives up';
  readonly packets?: readonly Behaviour[];
}

/** `ours/musl` is the cell of column `ours` for musl; a resolver's own name wins over its kind's. */
export type Expectations = Readonly<Record<string, Expectation>>;

export interface Scenario {
  readonly id: string;
  readonly title: string;
  readonly node: NodeName;
  /** The name that is looked up, of which `token` is the first label. */
  readonly question: (token: string) => string;
  /**
   * Resolvers in Pods of their own, one Pod for each list. The declared kind is the resolver's own, unless `declared`
   * says what an image with this program in it would be found to be.
   */
  readonly pods: readonly (readonly ResolverId[])[];
  readonly declared?: Readonly<Partial<Record<ResolverId, Kind>>>;
  /** Nothing is declared and no image is there: what resolves is unknown to us. */
  readonly undeclared?: boolean;
  readonly columns: readonly Column[];
  readonly expect: Expectations;
  /** The node-local cache crashes and comes back while look-ups go on: they are spread over that time. */
  readonly restarts?: boolean;
}

export const FULLY_QUALIFIED = (token: string): string => `${token}.shop.svc.cluster.local.`;
/** A Service of another namespace by its short name: the second of the searches finds it. */
export const SERVICE = (token: string): string => `${token}.infra`;
/** A name of the world outside: all three searches are tried before it. */
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
