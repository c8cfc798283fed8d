import type { NamespaceView } from '../policy/model.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import type { Backoff } from '../util/abort.ts';
import type { KubeClient } from './client.ts';
import type { KubeError } from './errors.ts';
import { createNamespaceReads, type ModeLabel, modeLabelOf, type NamespaceReadsOptions } from './namespace-reads.ts';
import { resourcePath, RESOURCES } from './objects.ts';
import { createReflector, type ReflectorHooks } from './reflector.ts';

export interface NamespacesHooks extends Pick<ReflectorHooks, 'onLost' | 'onRecovered' | 'onSynced' | 'onError'> {
  /** A namespace that the copy did not have was read by itself. */
  readonly onRead?: (outcome: 'found' | KubeError['code']) => void;
  /** A namespace has come into the copy or left it, or its label has changed. */
  readonly onChange?: (name: string) => void;
}

export interface NamespacesOptions {
  readonly client: KubeClient;
  readonly clock: { now(): number };
  readonly hooks?: NamespacesHooks;
  /** For tests. */
  readonly reads?: Partial<Pick<NamespaceReadsOptions, 'timeoutMs' | 'ttlMs' | 'failureTtlMs' | 'entries'>>;
  /** For tests. */
  readonly backoff?: Backoff;
}

/** The label of every namespace. Implements `admission`'s `Namespaces`. */
export interface ClusterNamespaces {
  /** From the copy; a namespace it does not have is read from the API. Rejects with `KubeError` where that fails. */
  get(name: string): NamespaceView | Promise<NamespaceView>;
  /** From the copy alone; undefined where it does not have it. */
  peek(name: string): NamespaceView | undefined;
  /** Resolves when all have been read once. */
  readonly ready: Promise<void>;
  /** Whether all have been read once; until then each is read when it is asked for. */
  readonly synced: boolean;
  /** Namespaces in the copy. */
  readonly size: number;
  /** When the API server was last heard of, milliseconds since 1970; undefined: never. */
  readonly contactAt: number | undefined;
  close(): Promise<void>;
}

/** A burst in new namespaces is read at this width; the watch brings the rest within milliseconds. */
const READS = { timeoutMs: 5000, ttlMs: 5000, failureTtlMs: 1000, entries: 1000, concurrency: 64 };

const view = (name: string, label: ModeLabel): NamespaceView => ({
  name,
  labels: label === null ? {} : { [MODE_LABEL]: label },
});

/**
 * Our label of every namespace, by a watch on their metadata. The API server admits Pods to a namespace before the watch
 * has brought it here, so one that is not in the copy is read by itself.
 */
export function createNamespaces({ client, clock, hooks = {}, reads, backoff }: NamespacesOptions): ClusterNamespaces {
  const { onRead, onChange, ...reflectorHooks } = hooks;
  const single = createNamespaceReads({ client, clock, ...READS, ...reads, ...(onRead && { onRead }) });
  const reflector = createReflector<ModeLabel>({
    client,
    clock,
    path: resourcePath(RESOURCES.namespaces),
    metadataOnly: true,
    streamed: true,
    keep: modeLabelOf,
    // A list tells of all that are there, changed or not.
    onChange: (name, now, before) => now !== before && onChange?.(name),
    hooks: {
      ...reflectorHooks,
      onRecovered() {
        single.forgetFailures();
        reflectorHooks.onRecovered?.();
      },
    },
    ...(backoff && { backoff }),
  });
  return {
    get(name) {
      const label = reflector.items.get(name);
      return label === undefined ? single.get(name).then((found) => view(name, found)) : view(name, label);
    },
    peek(name) {
      const label = reflector.items.get(name);
      return label === undefined ? undefined : view(name, label);
    },
    ready: reflector.ready,
    get synced() {
      return reflector.synced;
    },
    get size() {
      return reflector.items.size;
    },
    get contactAt() {
      return reflector.contactAt;
    },
    async close() {
      single.close();
      await reflector.close();
    },
  };
}
