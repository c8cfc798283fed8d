import { setTimeout as sleep } from 'node:timers/promises';

import { DETECTOR_VERSION } from '../detection/detector.ts';
import { platformName } from '../detection/platform.ts';
import type { StoredVerdict, StoreKey, VerdictStore } from '../detection/verdict-store.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import type { KubeErrorCode } from '../kubernetes/errors.ts';
import type { Reflector } from '../kubernetes/reflector.ts';
import { createWriteQueue, type WriteQueue } from '../kubernetes/write-queue.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import type { Backoff } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import { createTokenBucket } from '../util/limits/token-bucket.ts';
import { createLibcCopy, type LibcCopy } from './copy.ts';
import { type HeldLibc, imageLibcName, quarantineName, storedVerdict } from './object.ts';
import {
  expired,
  isNameable,
  isStorable,
  lastUsed,
  type OwnLibc,
  planDelete,
  planPut,
  planQuarantine,
  type WritePlan,
} from './writes.ts';

/** What is written: a verdict, its last use, that an image ended a process that read it, or a deletion. */
type ImageLibcWrite = 'verdict' | 'use' | 'quarantine' | 'delete';

const TROUBLES: Readonly<Record<ImageLibcWrite, string>> = {
  verdict: 'verdicts cannot be written to ImageLibcs',
  use: 'the last use of verdicts cannot be written to ImageLibcs',
  quarantine: 'images that are not read again cannot be written to ImageLibcs',
  delete: 'unused ImageLibcs cannot be deleted',
};

export interface ImageLibcStoreOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** Returns the canonical name of a reference; throws if it is not one. */
  readonly canonical: (reference: string) => string;
  /** Most objects that are written; twice as many are read. */
  readonly most: number;
  /** Milliseconds without use after which an object is deleted. Default 30 days. */
  readonly expireMs?: number;
  /** Milliseconds between sweeps for unused objects; the first sweep comes sooner. Default one hour. */
  readonly sweepMs?: number;
  readonly backoff?: Backoff;
  readonly reporter?: Reporter;
}

interface ImageLibcStats {
  readonly detected: number;
  readonly declared: number;
  /** Writes that wait. */
  readonly waiting: number;
  readonly synced: boolean;
  /** When the API server last answered, milliseconds since 1970; undefined: never. */
  readonly contactAt: number | undefined;
}

export interface ImageLibcStore extends VerdictStore {
  /**
   * Resolves when the first list is complete, when it fails, or after 5 s. Never rejects: readiness waits for the store but
   * does not depend on it, for a missing store only costs look-ups.
   */
  readonly ready: Promise<void>;
  stats(): ImageLibcStats;
  /** Writes waiting verdicts, for two seconds at most, and ends. */
  close(): Promise<void>;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const GRACE_MS = 2000;

/** For each kind of write. Ten thousand new images are written in half an hour. */
const PACE = { perSecond: 5, burst: 50 };
const MOST_WAITING = 1000;

const REFUSALS: Readonly<Record<ImageLibcWrite, ReadonlySet<KubeErrorCode>>> = {
  // Without not-found: apply creates objects, so it means that the resource is not installed.
  verdict: new Set(['conflict', 'invalid']),
  use: new Set(['conflict', 'invalid', 'not-found']),
  quarantine: new Set(['conflict', 'invalid']),
  delete: new Set(['conflict', 'invalid', 'not-found']),
};

const READY_MS = 5000;

const isOfTheseRules = (held: OwnLibc): boolean => held.kind === 'detected' && held.version <= DETECTOR_VERSION;

async function settled({ reflector, lost }: LibcCopy): Promise<void> {
  await Promise.race([reflector.ready, lost, sleep(READY_MS, undefined, { ref: false })]);
}

/** Keeps verdicts as ImageLibc objects, for all replicas: docs/image-libc.md. */
export function createImageLibcStore(options: ImageLibcStoreOptions): ImageLibcStore {
  const { clock, most } = options;
  const copy = createLibcCopy(options);
  const { index, reflector, state } = copy;
  const queues = createQueues(options, copy);
  // Each replica has another interval, so that one of them writes most uses for all.
  const limits = { most, reuseMs: DAY_MS * (0.5 + Math.random() / 2) };
  const plan = (key: StoreKey, verdict: StoredVerdict): WritePlan | undefined =>
    planPut(key, verdict, state, { ...limits, now: clock.now() });
  const remove: Remove = (name, shouldDelete) => queues.delete.add(name, () => planDelete(name, state, shouldDelete));
  const stopSweeps = startSweeps(options, reflector, remove);
  return {
    ready: settled(copy),
    declared: ({ image, platform, runs }) => index.declared(image, platformName(platform), runs)?.verdict,
    get({ image, platform, runs }) {
      const held = index.detected(image, platformName(platform), runs);
      return held && storedVerdict(held, platform);
    },
    put(key, verdict) {
      if (!isStorable(key, verdict)) return;
      const kind = reflector.synced ? plan(key, verdict)?.kind : 'verdict';
      if (kind === undefined) return;
      const name = imageLibcName(key);
      queues[kind].add(name, () => {
        const planned = plan(key, verdict);
        if (planned?.kind !== kind) return undefined;
        if (kind === 'verdict') copy.expect(name, key);
        return planned.request;
      });
    },
    forget({ image, platform, runs }) {
      for (const run of runs) {
        const name = imageLibcName({ image, platform, run });
        if (reflector.items.has(name)) remove(name, isOfTheseRules);
      }
    },
    ...createQuarantineStore(copy, queues.quarantine, { most, remove }),
    stats() {
      const waiting = Object.values(queues).reduce((sum, queue) => sum + queue.waiting, 0);
      return { ...index.size(), waiting, synced: reflector.synced, contactAt: reflector.contactAt };
    },
    async close() {
      stopSweeps();
      const last = [queues.verdict.close(GRACE_MS), queues.quarantine.close(GRACE_MS)];
      await Promise.all([...last, queues.use.close(0), queues.delete.close(0)]);
      await reflector.close();
    },
  };
}

type Remove = (name: string, shouldDelete: (held: OwnLibc) => boolean) => void;

/** The part of the store that is about images whose reading ended a process. */
function createQuarantineStore(
  copy: LibcCopy,
  queue: WriteQueue,
  { most, remove }: { readonly most: number; readonly remove: Remove },
): Pick<VerdictStore, 'quarantined' | 'quarantine' | 'release'> {
  const { index, reflector, state } = copy;
  return {
    quarantined: (subject) => index.quarantined(subject),
    quarantine(subject, entry) {
      if (!isNameable(subject)) return;
      const name = quarantineName(subject);
      queue.add(name, () => {
        const planned = planQuarantine(subject, entry, state, { most });
        if (planned !== undefined) copy.expect(name, subject);
        return planned;
      });
    },
    release(subject) {
      const name = quarantineName(subject);
      if (reflector.items.has(name)) remove(name, ({ kind }) => kind === 'quarantined');
    },
  };
}

type Queues = Readonly<Record<ImageLibcWrite, WriteQueue>>;

function createQueues(options: ImageLibcStoreOptions, copy: LibcCopy): Queues {
  const { client, clock, backoff, reporter = silentReporter } = options;
  const warn = reporter.warnings();
  const queue = (kind: ImageLibcWrite): WriteQueue =>
    createWriteQueue({
      client,
      ready: copy.reflector.ready,
      pace: createTokenBucket({ ...PACE, clock }),
      most: MOST_WAITING,
      refusals: REFUSALS[kind],
      ...(backoff && { backoff }),
      trouble: reporter.trouble(TROUBLES[kind]),
      count: (result) => reporter.metrics.cluster.stored(kind, result),
      trace: (name) =>
        reporter.tracer?.start('write ImageLibc', {
          kind: 'client',
          attributes: { 'k8s.object.name': name, 'libc_dns.write': kind },
        }),
      onRefused(name, error) {
        if (kind !== 'use') copy.giveUp(name);
        // Conflicts are expected: somebody else owns a field, and keeps it.
        if (error.code !== 'conflict') warn('an ImageLibc was not written', { name, error: error.message });
      },
    });
  return { verdict: queue('verdict'), use: queue('use'), quarantine: queue('quarantine'), delete: queue('delete') };
}

/** Deletes unused objects from time to time. Every replica does: the second finds them deleted. Returns a function that ends it. */
function startSweeps(
  { clock, most, expireMs = 30 * DAY_MS, sweepMs = HOUR_MS }: ImageLibcStoreOptions,
  reflector: Reflector<HeldLibc>,
  remove: Remove,
): () => void {
  const sweep = (): void => {
    const unused = reflector.synced ? expired(reflector.items, { most, expireMs, now: clock.now() }) : [];
    for (const { name, lastUsedAt } of unused.slice(0, MOST_WAITING)) {
      remove(name, (held) => lastUsed(held) === lastUsedAt);
    }
    timer = setTimeout(sweep, sweepMs * (0.75 + Math.random() / 2)).unref();
  };
  let timer = setTimeout(sweep, (sweepMs / 10) * (0.5 + Math.random())).unref();
  return () => clearTimeout(timer);
}
