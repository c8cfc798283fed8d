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
import { createTokenBucket } from '../util/token-bucket.ts';
import { createLibcCopy, type LibcCopy } from './copy.ts';
import { type DetectedLibc, type HeldLibc, imageLibcName, storedVerdict } from './object.ts';
import { expired, isStorable, planDelete, planPut, type WritePlan } from './writes.ts';

/** What is written: a verdict, its last use, or its end. */
type ImageLibcWrite = 'verdict' | 'use' | 'delete';

const UNWRITTEN: Readonly<Record<ImageLibcWrite, string>> = {
  verdict: 'verdicts cannot be written to ImageLibcs',
  use: 'the last use of verdicts cannot be written to ImageLibcs',
  delete: 'unused ImageLibcs cannot be deleted',
};

export interface ImageLibcStoreOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** The canonical name of a reference; throws where it is none. */
  readonly canonical: (reference: string) => string;
  /** Most objects that are written. Twice as many are read. */
  readonly most: number;
  /** Milliseconds for which a tag is taken to stand for the same image. */
  readonly tagTtlMs: number;
  /** Milliseconds without use after which an object is deleted. Default 30 days. */
  readonly expireMs?: number;
  /** Milliseconds between looks for what is to be deleted; the first one comes sooner. Default one hour. */
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
  /** When the API server was last heard of, milliseconds since 1970; undefined: never. */
  readonly contactAt: number | undefined;
}

export interface ImageLibcStore extends VerdictStore {
  /**
   * Resolves when the first list is complete, when it fails, or after 5 s. Never rejects: a store that is not there
   * costs look-ups, and readiness should wait for it, not depend on it.
   */
  readonly ready: Promise<void>;
  stats(): ImageLibcStats;
  /** Writes what was found just now, two seconds at most, and ends. */
  close(): Promise<void>;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const GRACE_MS = 2000;

/** Of each kind. A cluster of ten thousand new images is written in half an hour. */
const PACE = { perSecond: 5, burst: 50 };
const MOST_WAITING = 1000;

const SETTLES: Readonly<Record<ImageLibcWrite, ReadonlySet<KubeErrorCode>>> = {
  // Where nothing is found, the resource is not installed: apply creates objects.
  verdict: new Set(['conflict', 'invalid']),
  use: new Set(['conflict', 'invalid', 'not-found']),
  delete: new Set(['conflict', 'invalid', 'not-found']),
};

const READY_MS = 5000;

async function settled({ reflector, lost }: LibcCopy): Promise<void> {
  await Promise.race([reflector.ready, lost, sleep(READY_MS, undefined, { ref: false })]);
}

/** Verdicts as ImageLibc objects, for all replicas: docs/image-libc.md. */
export function createImageLibcStore(options: ImageLibcStoreOptions): ImageLibcStore {
  const { clock, tagTtlMs, most } = options;
  const copy = createLibcCopy(options);
  const { index, reflector, state } = copy;
  const queues = createQueues(options, copy);
  // Each replica writes uses after another time, so that most are written by one alone.
  const limits = { most, recheckMs: tagTtlMs / 2, reuseMs: DAY_MS * (0.5 + Math.random() / 2) };
  const plan = (key: StoreKey, verdict: StoredVerdict): WritePlan | undefined =>
    planPut(key, verdict, state, { ...limits, now: clock.now() });
  const remove = (name: string, isToGo: (held: DetectedLibc) => boolean): void =>
    queues.delete.add(name, () => planDelete(name, state, isToGo));
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
      queues[kind].add(imageLibcName(key), () => {
        const planned = plan(key, verdict);
        if (planned?.kind !== kind) return undefined;
        if (kind === 'verdict') copy.expect(key);
        return planned.request;
      });
    },
    forget({ image, platform, runs }) {
      for (const run of runs) {
        const name = imageLibcName({ image, platform, run });
        if (reflector.items.has(name)) remove(name, ({ version }) => version <= DETECTOR_VERSION);
      }
    },
    stats() {
      const waiting = Object.values(queues).reduce((sum, queue) => sum + queue.waiting, 0);
      return { ...index.size(), waiting, synced: reflector.synced, contactAt: reflector.contactAt };
    },
    async close() {
      stopSweeps();
      await Promise.all([queues.verdict.close(GRACE_MS), queues.use.close(0), queues.delete.close(0)]);
      await reflector.close();
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
      settles: SETTLES[kind],
      ...(backoff && { backoff }),
      trouble: reporter.trouble(UNWRITTEN[kind]),
      count: (result) => reporter.metrics.cluster.stored(kind, result),
      onRefused(name, error) {
        if (kind === 'verdict') copy.giveUp(name);
        // Somebody else owns the object: theirs wins, as it should.
        if (error.code !== 'conflict') warn('an ImageLibc was not written', { name, error: error.message });
      },
    });
  return { verdict: queue('verdict'), use: queue('use'), delete: queue('delete') };
}

/** Deletes now and then what nobody uses. Every replica does: who comes second finds it gone. Returns the end of it. */
function startSweeps(
  { clock, most, expireMs = 30 * DAY_MS, sweepMs = HOUR_MS }: ImageLibcStoreOptions,
  reflector: Reflector<HeldLibc>,
  remove: (name: string, isToGo: (held: DetectedLibc) => boolean) => void,
): () => void {
  const sweep = (): void => {
    const unused = reflector.synced ? expired(reflector.items, { most, expireMs, now: clock.now() }) : [];
    for (const { name, lastUsedAt } of unused.slice(0, MOST_WAITING)) {
      remove(name, (held) => held.lastUsedAt === lastUsedAt);
    }
    timer = setTimeout(sweep, sweepMs * (0.75 + Math.random() / 2)).unref();
  };
  let timer = setTimeout(sweep, (sweepMs / 10) * (0.5 + Math.random())).unref();
  return () => clearTimeout(timer);
}
