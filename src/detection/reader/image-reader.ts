import type { Clock } from '../../util/clock.ts';
import { createManifestMemory, type SeenManifest } from '../caches.ts';
import type { DetectRequest, Inspect, Inspection } from '../detector.ts';
import type { ImageSource, ImageSources, LookupContext, SeenTag } from '../image-source.ts';
import { imageKeys } from '../keys.ts';

/** The part of a request that reading its image depends on. Logins are in the context. */
export interface ReadRequest extends Omit<DetectRequest, 'credentials' | 'dryRun' | 'ahead' | 'span'> {
  /** Nothing has to be read if the reference still stands for this. */
  readonly seen?: SeenTag;
}

/** What to do once the image's digest is known. */
export type AfterManifest = 'continue' | 'stop';

export interface ReadOptions {
  /** Reads more of the image than a Pod can wait for. Only if the reader `readsMore`. */
  readonly more?: boolean;
  /** Shares a process with no other image: this one may end it. */
  readonly alone?: boolean;
  /** Reports whether the image has ended a process before: its namespace is not blamed for it once more. */
  readonly again?: () => boolean;
  /**
   * Called with the digest of the image's manifest before more of the image is read; `seenAt` is when the reference was seen to
   * stand for it, in milliseconds since 1970. After `stop` the read rejects. May be called again if the image is read anew.
   */
  readonly onManifest?: OnManifest;
}

/** `named`: see {@link SeenTag}; undefined if the source has no tags that move. */
type OnManifest<T = AfterManifest> = (digest: string, seenAt: number, named?: string) => T;

/** Reads images: everything that strangers' bytes go through, from the registry's answers to the program's headers. */
export interface ImageReader {
  /** Reports whether it can read with wider limits (`ReadOptions.more`). */
  readonly readsMore: boolean;
  /** Returns a canonical name for caches. Throws `ImageSourceError`. */
  canonical(reference: string): string;
  /** Gets ready for a read that will come soon: starts the process if none runs. */
  wake(): void;
  /**
   * Finds the resolver in an image. Rejects with `ImageSourceError`, with the context's abort reason, or with `ReaderEnded` if the
   * image ended the process that read it, or with `ReaderUnavailable`.
   */
  read(request: ReadRequest, context: LookupContext, options?: ReadOptions): Promise<Inspection>;
  /** Reads under way reject. */
  close(): Promise<void>;
}

/** Why a process that read images ended: its memory, no answer, a read that did not end when told to, or by itself. */
export type ReaderEnd = 'memory' | 'unresponsive' | 'stuck' | 'exit';

/** Reading one image alone ended the process that read it. */
export class ReaderEnded extends Error {
  override readonly name = 'ReaderEnded';
  readonly end: ReaderEnd;

  constructor(end: ReaderEnd) {
    super(`the reader process ended (${end})`);
    this.end = end;
  }
}

/** The process that reads images cannot be started now. */
export class ReaderUnavailable extends Error {
  override readonly name = 'ReaderUnavailable';
}

/** Thrown by a read after `onManifest` has returned `stop`. */
export class ReadStopped extends Error {
  override readonly name = 'ReadStopped';

  constructor() {
    super('the manifest is known: there is nothing to inspect');
  }
}

interface ImageReaderOptions {
  readonly sources: ImageSources;
  readonly inspect: Inspect;
  /** Inspects with wider limits. Absent: the reader does not read more. */
  readonly inspectMore?: Inspect;
  /** Milliseconds for which a tag is assumed to stand for the same manifest. */
  readonly tagTtlMs: number;
  readonly clock: Pick<Clock, 'now'>;
}

/** A reader in this process. */
export interface LocalReader extends ImageReader {
  read(
    request: ReadRequest,
    context: LookupContext,
    options?: Omit<ReadOptions, 'onManifest'> & {
      readonly onManifest?: OnManifest<AfterManifest | Promise<AfterManifest>>;
    },
  ): Promise<Inspection>;
}

/** Reads images in this process. Remembers the manifests of recent ones. Its creator closes `sources`. */
export function createImageReader(options: ImageReaderOptions): LocalReader {
  const { sources, inspect, inspectMore = inspect, tagTtlMs, clock } = options;
  const manifests = createManifestMemory(tagTtlMs, clock);
  return {
    readsMore: options.inspectMore !== undefined,
    canonical: (reference) => sources.canonical(reference),
    wake: () => {},
    async read(request, context, { more = false, onManifest = () => 'continue' } = {}) {
      const keys = imageKeys(request.platform, sources.canonical(request.reference));
      const source = sources.open(request.reference);
      let stopped = false;
      const tell: OnManifest<Promise<void>> = async (...found) => {
        stopped = (await onManifest(...found)) === 'stop';
        if (stopped) throw new ReadStopped();
      };
      const stale = async (checkedAt: number, of: LookupContext): Promise<SeenManifest | undefined> => {
        const old = manifests.peek(keys);
        const named = old?.manifest.named ?? request.seen?.named;
        if (named === undefined || (await source.stillNames?.(named, of)) !== true) return undefined;
        if (old === undefined && request.seen !== undefined) await tell(request.seen.digest, checkedAt, named);
        return old && { ...old, checkedAt };
      };
      const manifest: ImageSource['manifest'] = async (platform, of) => {
        const checkedAt = clock.now();
        const known = more ? undefined : (manifests.find(keys) ?? (await stale(checkedAt, of)));
        const seen = known ?? { manifest: await source.manifest(platform, of), checkedAt };
        manifests.remember(keys, seen);
        await tell(seen.manifest.digest, seen.checkedAt, seen.manifest.named);
        return seen.manifest;
      };
      const watched: ImageSource = {
        manifest,
        config: async (of, configContext) => await source.config(of, configContext),
        read: (blob, offset, length, readContext) => source.read(blob, offset, length, readContext),
      };
      try {
        return await (more ? inspectMore : inspect)(watched, request, context);
      } catch (error) {
        // The tag may have moved, and the layers of the old manifest may be gone.
        if (!stopped) manifests.forget(keys);
        throw error;
      }
    },
    close: async () => {},
  };
}
