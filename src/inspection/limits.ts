import { lookupAbort } from '../detection/detector.ts';
import type { BytePool } from '../util/memory.ts';

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
  /** Layers may be read to their end, not only their beginning. */
  readonly wholeLayers: boolean;
}

/** Bytes up to which one request reads a whole layer, so that a table of contents or a second window saves nothing. */
export const tinyLayer = 32 * 1024;

/** Bytes that all look-ups of a process together may keep. */
export const pooledBytes: number = 64 * 1024 * 1024;

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
  steps: 150_000,
  lookups: 500_000,
  keptBytes: 16 * 1024 * 1024,
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
  steps: 400_000,
  lookups: 5_000_000,
  keptBytes: 32 * 1024 * 1024,
  wholeLayers: true,
};

/** The memory that one look-up keeps. */
export interface Memory {
  /**
   * Counts bytes that are kept for `what`. Returns false if the image needs more than it may; `excess` is `what` then. Throws
   * `lookupAbort.noMemory` if all look-ups together keep too much.
   */
  keep(bytes: number, what: string): boolean;
  /** Counts bytes as no longer kept. */
  give(bytes: number): void;
  /** What did not fit; undefined if everything did. */
  readonly excess: string | undefined;
  /** Waits a moment for other look-ups if they keep most of the memory. Throws `lookupAbort.noMemory` if they go on to. */
  room(signal: AbortSignal): Promise<void>;
  /** Counts everything as no longer kept. */
  close(): void;
}

/** For `Memory.keep`: the names and link targets in an index of layers. */
export const namesOfFiles = 'the names of its files and links';

/** Milliseconds of parsing after which a look-up gives the thread to others. */
export const sliceMs = 10;

const waitMs = 500;

/** Returns the memory of a new look-up, which counts in `pool` too. */
export function openMemory(pool: BytePool, bytes: number): Memory {
  const share = pool.share(bytes);
  let excess: string | undefined;
  return {
    get excess() {
      return excess;
    },
    keep(wanted, what) {
      const taken = share.take(wanted);
      if (taken === 'pool') throw lookupAbort.noMemory();
      if (taken === 'share') excess ??= what;
      return taken === 'taken';
    },
    give: (back) => share.give(back),
    async room(signal) {
      if (!(await share.room(waitMs, signal))) throw lookupAbort.noMemory();
    },
    close: () => share.close(),
  };
}
