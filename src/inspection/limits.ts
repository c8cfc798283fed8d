import { lookupAbort } from '../detection/detector.ts';
import type { LookupContext, ReadingBudget } from '../detection/image-source.ts';
import { createFairSlots, type FairSlots, type Release } from '../util/limits/fair-slots.ts';
import { createFairThread, type FairThread } from '../util/limits/fair-thread.ts';
import { type BytePool, createBytePool } from '../util/memory.ts';

/** The cost that inspecting one image may have. */
export interface InspectLimits {
  /** HTTP requests in all, manifest and config included. */
  readonly requests: number;
  /** Layers read even if logins and redirects have used up the requests. */
  readonly leastReads: number;
  /** Bytes from the network in all. */
  readonly bytes: number;
  /** Bytes from the network up to which a static program is searched for marks of its C library. */
  readonly leadBytes: number;
  /** Bytes inflated from all layers. */
  readonly inflatedBytes: number;
  /** Most bytes inflated per byte read. */
  readonly ratio: number;
  /** Entries read from all layers. */
  readonly entries: number;
  /** Bytes of extended headers read from all layers. */
  readonly extendedBytes: number;
  /** Bytes of scripts kept of all layers. */
  readonly scriptBytes: number;
  /** Bytes of other texts that scripts may read, kept of all layers. */
  readonly textBytes: number;
  /** Steps in following the scripts of a container, each a few microseconds. */
  readonly steps: number;
  /** Look-ups of a path in one layer: bounds links that lead from one to the next. */
  readonly lookups: number;
  /** Bytes kept in memory: the index of all layers, a table of contents while it is read, windows of zstd. */
  readonly keptBytes: number;
  /** Milliseconds of the process's thread. Includes a little of what others do meanwhile. */
  readonly threadMs: number;
  /** Layers may be read to their end, not only their beginning, while no look-up that a Pod waits for needs the thread. */
  readonly wholeLayers: boolean;
}

/** Bytes up to which one request reads a whole layer, so that a table of contents or a second window saves nothing. */
export const tinyLayer = 32 * 1024;

/** Bytes that all look-ups of a process together may keep. */
const pooledBytes: number = 64 * 1024 * 1024;

/** For an admission request: 6 requests, 64 KiB if the program leads its layer, 512 KiB at most. */
export const admissionLimits: InspectLimits = {
  requests: 6,
  leastReads: 1,
  bytes: 512 * 1024,
  leadBytes: 44 * 1024,
  inflatedBytes: 16 * 1024 * 1024,
  ratio: 400,
  entries: 20_000,
  extendedBytes: 2 * 1024 * 1024,
  scriptBytes: 256 * 1024,
  textBytes: 128 * 1024,
  steps: 300_000,
  lookups: 500_000,
  keptBytes: 16 * 1024 * 1024,
  threadMs: 5000,
  wholeLayers: false,
};

/** For the background scan, which may read a layer to its end. */
export const backgroundScanLimits: InspectLimits = {
  requests: 40,
  leastReads: 20,
  bytes: 256 * 1024 * 1024,
  leadBytes: 256 * 1024 * 1024,
  inflatedBytes: 2 * 1024 * 1024 * 1024,
  ratio: 400,
  entries: 500_000,
  extendedBytes: 128 * 1024 * 1024,
  scriptBytes: 2 * 1024 * 1024,
  textBytes: 1024 * 1024,
  steps: 1_200_000,
  lookups: 5_000_000,
  keptBytes: 32 * 1024 * 1024,
  threadMs: 20_000,
  wholeLayers: true,
};

/** What all look-ups of a process share. */
export interface SharedResources {
  readonly pool: BytePool;
  readonly thread: FairThread;
  /** Tables of contents that are in memory at once. */
  readonly tables: FairSlots;
}

/** Milliseconds of the thread after which a tenant's look-ups give it to others. */
const sliceMs = 4;

/** Each takes 6 MiB for a moment. A tenant alone gets three of these places. */
const mostTables = 4;

export function createSharedResources(bytes: number = pooledBytes): SharedResources {
  return {
    pool: createBytePool(bytes),
    thread: createFairThread({ sliceMs }),
    tables: createFairSlots({ places: mostTables, queue: 1000, first: 'oldest' }),
  };
}

/** What one look-up uses of its process: memory and thread. */
export interface Resources extends ReadingBudget {
  /** As `ReadingBudget.keep`, for `what`; what did not fit is the `excess` then. */
  keep(bytes: number, what: string): boolean;
  /** Says what the image takes too much of; undefined if it stays within its limits. */
  readonly excess: string | undefined;
  /** Ends the look-up: as its context's signal does, or because others need its memory. */
  readonly signal: AbortSignal;
  /** Waits a moment for other look-ups if they keep most of the memory. Throws `lookupAbort.noMemory` if they go on to. */
  room(): Promise<void>;
  /** Waits for a place among the tables of contents in memory. Throws `lookupAbort.noMemory` if too many wait. */
  table(): Promise<Release>;
  /** Counts everything as no longer kept. */
  close(): void;
}

/** For `Resources.keep`: the names and link targets in an index of layers. */
export const namesOfFiles = 'the names of its files and links';

const waitMs = 500;

/** Returns the resources of a new look-up, which count in `shared` too. */
export function openResources(shared: SharedResources, limits: InspectLimits, context: LookupContext): Resources {
  const { tenant } = context;
  const share = shared.pool.share(limits.keptBytes, tenant);
  const ending = new AbortController();
  share.lost.addEventListener('abort', () => ending.abort(lookupAbort.noMemory()), { once: true });
  const signal = AbortSignal.any([context.signal, ending.signal]);
  const work = shared.thread.work(tenant, limits.wholeLayers ? 'background' : 'prompt', signal);
  let excess: string | undefined;
  return {
    signal,
    get excess() {
      return excess;
    },
    keep(wanted, what) {
      const taken = share.take(wanted);
      if (taken === 'pool') throw lookupAbort.noMemory();
      if (taken === 'share') excess ??= `${what} take too much memory`;
      return taken === 'taken';
    },
    give: (back) => share.give(back),
    due() {
      const turn = work.due();
      if (work.usedMs > limits.threadMs) excess ??= `it takes more than ${limits.threadMs / 1000} s of processor time`;
      return turn;
    },
    async room() {
      if (!(await share.room(waitMs, signal))) throw lookupAbort.noMemory();
    },
    async table() {
      const release = await shared.tables.enter(tenant, signal)?.entered;
      if (release === undefined) throw lookupAbort.noMemory();
      return release;
    },
    close: () => share.close(),
  };
}
