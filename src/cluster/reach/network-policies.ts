import { NETWORK_POLICIES, POLICY_KINDS, type PolicyKind } from '../../exposure/policies/kinds.ts';
import type { KubeClient } from '../../kubernetes/client.ts';
import type { KubeError } from '../../kubernetes/errors.ts';
import { resourcePath } from '../../kubernetes/objects.ts';
import { createReflector, type Reflector } from '../../kubernetes/reflector.ts';
import { type Reporter, silentReporter, type Trouble } from '../../telemetry/reporter.ts';
import type { Backoff } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import {
  BOUNDS,
  createPolicyIndex,
  type Kept,
  type KnownPolicies,
  type PolicyBounds,
  type PolicyIndex,
  unreadKind,
} from './policy-index.ts';

interface NetworkPoliciesOptions {
  readonly client: KubeClient;
  readonly clock: Pick<Clock, 'now'>;
  readonly reporter?: Reporter;
  /** For tests. */
  readonly backoff?: Backoff;
  /** For tests. */
  readonly bounds?: Partial<PolicyBounds>;
}

/** The egress policies of the cluster, of all installed kinds, kept up to date. */
interface ClusterPolicies extends KnownPolicies {
  /** Resolves when each kind was read, was forbidden or is not installed. Never rejects. */
  readonly ready: Promise<void>;
  readonly synced: boolean;
  /** Policies in memory. */
  readonly size: number;
  /** The oldest last contact of all kinds, milliseconds since 1970; undefined if there was none. */
  readonly contactAt: number | undefined;
  close(): Promise<void>;
}

type KindState = 'unread' | 'read' | 'forbidden' | 'absent';

interface Kind {
  readonly reflector: Reflector<Kept>;
  readonly isCilium: boolean;
  readonly state: KindState;
  /** Resolves when the state is known. */
  readonly known: Promise<void>;
}

/** Milliseconds. A kind that is not installed costs a request every five minutes. */
const FOREIGN_BACKOFF: Backoff = { first: 1000, most: 300_000 };

const PAGE = 100;

interface Shared {
  readonly options: NetworkPoliciesOptions;
  readonly bounds: PolicyBounds;
  readonly index: PolicyIndex;
  readonly reporter: Reporter;
  /** Kinds that are forbidden; there is one warning for all of them. */
  readonly forbidden: Set<PolicyKind>;
  readonly refused: Trouble;
}

/** Follows the state of a kind. A forbidden kind is unknown; after any other failure the last list stays in use. */
function createState(kind: PolicyKind, { reporter, refused, forbidden }: Shared) {
  let state: KindState = 'unread';
  const { promise: known, resolve } = Promise.withResolvers<void>();
  const become = (next: KindState): void => {
    if (next !== 'forbidden' && forbidden.delete(kind) && forbidden.size === 0) refused.recovered();
    state = next;
    resolve();
  };
  return {
    known,
    get now() {
      return state;
    },
    // A list without a watch is soon out of date: only an open watch ends `forbidden`.
    listed(): void {
      if (state !== 'forbidden') become('read');
    },
    watched: () => become('read'),
    failed(error: KubeError): void {
      if (error.code !== 'not-found') reporter.metrics.cluster.apiFailed('networkpolicies', error.code);
      const found = unreadKind(kind, error);
      if (found === 'absent') become(found);
      else if (found === 'forbidden') {
        forbidden.add(kind);
        refused.lost(error);
        become(found);
      }
    },
  };
}

function followKind(kind: PolicyKind, shared: Shared): Kind {
  const { options, index, bounds } = shared;
  const { client, clock, backoff } = options;
  const state = createState(kind, shared);
  const reflector: Reflector<Kept> = createReflector<Kept>({
    client,
    clock,
    path: resourcePath(kind),
    pageSize: PAGE,
    streamed: true,
    most: bounds.entries,
    onTooMany: (key) => index.crowd(kind, key),
    keep(object) {
      const { namespace, name: own, resourceVersion } = object.metadata;
      const before = reflector.items.get(namespace === undefined ? own : `${namespace}/${own}`);
      return before !== undefined && before.version === resourceVersion ? before : index.keep(kind, object);
    },
    onChange(key, now, before) {
      if (before !== undefined && before !== now) {
        index.release(before);
        index.delete(kind, key, before);
      }
      if (now !== undefined) index.set(kind, key, now);
    },
    trouble: { lost: () => {}, recovered: state.watched },
    onSynced(items) {
      if (items < bounds.entries) index.uncrowd(kind);
      state.listed();
    },
    onError(error) {
      state.failed(error);
      if (state.now === 'absent') for (const [key, kept] of reflector.items) index.delete(kind, key, kept);
    },
    backoff: backoff ?? (kind === NETWORK_POLICIES ? { first: 500, most: 30_000 } : FOREIGN_BACKOFF),
  });
  return {
    reflector,
    isCilium: kind.group === 'cilium.io',
    known: state.known,
    get state() {
      return state.now;
    },
  };
}

const FORBIDDEN =
  'network policies cannot be read: no Pod gets use-vc (docs/security.md has the rights; networkPolicies: false turns this off)';

/** Watches NetworkPolicies, and policies of other kinds if they are installed. */
export function createNetworkPolicies(options: NetworkPoliciesOptions): ClusterPolicies {
  const { reporter = silentReporter } = options;
  const bounds = { ...BOUNDS, ...options.bounds };
  const warn = reporter.warnings();
  const tooMany = (namespace: string): void =>
    warn('more network policies than are kept: Pods of the namespace get no use-vc', { namespace });
  const index = createPolicyIndex(bounds, tooMany);
  const refused = reporter.trouble(FORBIDDEN);
  const shared = { options, bounds, index, reporter, forbidden: new Set<PolicyKind>(), refused };
  const kinds = POLICY_KINDS.map((kind) => followKind(kind, shared));
  const has = (state: KindState): boolean => kinds.some((kind) => kind.state === state);
  const policies: ClusterPolicies = {
    of(namespace) {
      if (has('forbidden')) return 'forbidden';
      return has('unread') ? 'unread' : index.of(namespace);
    },
    get cilium() {
      return kinds.some(({ isCilium, state }) => isCilium && state === 'read');
    },
    ready: Promise.all(kinds.map(({ known }) => known)).then(() => undefined),
    get synced() {
      return !has('unread') && !has('forbidden');
    },
    get size() {
      return index.size;
    },
    get contactAt() {
      const followed = kinds.filter(({ state }) => state === 'read').map(({ reflector }) => reflector.contactAt ?? 0);
      return followed.length === 0 ? undefined : Math.min(...followed);
    },
    async close() {
      await Promise.all(kinds.map(({ reflector }) => reflector.close()));
    },
  };
  reporter.metrics.cluster.informer('networkpolicies', () => {
    const { synced, size: items, contactAt } = policies;
    return { synced, items, contactAt };
  });
  return policies;
}
