import type { ServerContext } from './commands/serve.ts';
import type { Joined } from './compose-kubernetes.ts';
import {
  createImageLibcStore,
  type ImageLibcHooks,
  type ImageLibcStore,
  type ImageLibcWrite,
} from './image-libc/store.ts';
import type { KubeError } from './kubernetes/errors.ts';
import type { FailureLog } from './telemetry/failure-log.ts';
import { limitedWarnings } from './telemetry/log-limits.ts';
import { systemClock } from './util/clock.ts';

export interface StoreParts {
  /** Once: the store begins to read. */
  readonly open: (canonical: (reference: string) => string) => ImageLibcStore;
  /** Resolves when there is nothing more to wait for. */
  readonly ready: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const READS = 'the ImageLibcs cannot be watched: verdicts stay in the memory of each replica';
const WRITES: Readonly<Record<ImageLibcWrite, string>> = {
  verdict: 'verdicts cannot be written to ImageLibcs',
  use: 'the last use of verdicts cannot be written to ImageLibcs',
  delete: 'unused ImageLibcs cannot be deleted',
};

function hooksOf({ log, metrics }: ServerContext, failures: FailureLog): ImageLibcHooks {
  const limited = limitedWarnings(log, systemClock.monotonic);
  const count = (kind: ImageLibcWrite, error: KubeError): void => metrics.cluster.stored(kind, error.code);
  return {
    reads: {
      onError: ({ code }) => metrics.cluster.apiFailed('imagelibcs', code),
      onLost: (error) => failures.failed(READS, error),
      onRecovered: () => failures.worked(READS),
      onSynced: (items) => log.info({ items }, 'ImageLibcs read'),
    },
    onIgnored: (name, why) => limited('an ImageLibc is not used', { name, why }),
    writes: (kind) => ({
      onWritten: () => metrics.cluster.stored(kind, 'written'),
      onDropped: () => metrics.cluster.stored(kind, 'dropped'),
      onRefused: (name, error) => {
        count(kind, error);
        // Somebody else owns the object: theirs wins, as it should.
        if (error.code !== 'conflict') limited('an ImageLibc was not written', { name, error: error.message });
      },
      onLost: (error) => {
        count(kind, error);
        failures.failed(WRITES[kind], error);
      },
      onRecovered: () => failures.worked(WRITES[kind]),
    }),
  };
}

/** Verdicts in the cluster's own database; undefined where the configuration or a missing cluster says that there are none. */
export function composeStore(context: ServerContext, { client }: Joined, failures: FailureLog): StoreParts | undefined {
  const { config, metrics } = context;
  const { cache } = config.detection;
  if (cache.store !== 'cluster' || client === undefined) return undefined;
  let store: ImageLibcStore | undefined;
  const open = (canonical: (reference: string) => string): ImageLibcStore => {
    const opened = createImageLibcStore({
      client,
      canonical,
      clock: systemClock,
      most: cache.entries,
      tagTtlMs: cache.tagTtl,
      expireMs: cache.unusedAfter,
      hooks: hooksOf(context, failures),
    });
    metrics.cluster.informer('imagelibcs', () => {
      const { detected, declared, synced, contactAt } = opened.stats();
      return { items: detected + declared, synced, contactAt };
    });
    store = opened;
    return opened;
  };
  return { open, ready: async () => await store?.ready, close: async () => await store?.close() };
}
