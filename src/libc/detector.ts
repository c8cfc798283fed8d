import type { Verdict } from '../policy/verdict.ts';
import type { Credential, ImageSource, ImageSourceCode, LookupContext, Meter, Platform } from './image-source.ts';

/** Registry logins and the registries they are for, most specific first. */
export type Logins = readonly { readonly host: string; readonly credential: Credential }[];

/** What a container runs: its image, and the Pod's own `command` and `args` (empty: the image's). */
export interface DetectRequest {
  readonly reference: string;
  readonly platform: Platform;
  readonly command: readonly string[];
  readonly args: readonly string[];
  /** Or how to get them, which is done only where a registry is asked: an image that is known waits for no login. */
  readonly credentials?: Logins | (() => Promise<Logins>);
  /** A rehearsal (admission's dryRun): what is found may be remembered, but not written anywhere. */
  readonly dryRun?: boolean;
  /** Nobody waits for the answer (warm-up): what is known is answered, however old, and costs nothing. */
  readonly ahead?: boolean;
}

/** What looking into one image found. */
export interface Inspection {
  readonly verdict: Verdict;
  /** Digest of the platform's manifest. */
  readonly digest: string;
  readonly platform: Platform;
  /** Absolute path of the program inside the image that the verdict is about, where it is known. */
  readonly executable?: string;
  /**
   * What alone led to this, where no other word of the command line had a part in it: the image's Entrypoint, or the first
   * of the Pod's own words (`command`, else `args`). Absent: all words count, as with wrappers, shells and scripts.
   */
  readonly decidedBy?: 'entrypoint' | 'first-word';
  /** Found by an older version of the rules (`DETECTOR_VERSION`): it answers until it has been looked up afresh. */
  readonly outdated?: true;
}

/** Looks into an image. Rejects with `ImageSourceError` or with the context's abort reason; never for what the image holds. */
export type Inspect = (source: ImageSource, request: DetectRequest, context: LookupContext) => Promise<Inspection>;

/** Why a detection has no verdict: the source's code, or one of our own. */
export type DetectionFailure = ImageSourceCode | 'deadline' | 'shed' | 'disabled' | 'internal';

export interface Detection extends Partial<Omit<Inspection, 'verdict'>> {
  readonly verdict: Verdict;
  /** Who answered. */
  readonly from: 'memory' | 'store' | 'registry' | 'none';
  readonly failure?: { readonly code: DetectionFailure; readonly message: string };
  /** What this answer cost, look-ups shared with others included once they are done. */
  readonly meter: Meter;
}

/** Finds the resolver in an image. */
export interface Detector {
  /**
   * Never rejects: what cannot be found out in time is `unknown` with a `failure`. A look-up that outlives
   * `deadline` goes on in the background, within its own limits, for the next Pod.
   */
  detect(request: DetectRequest, deadline: AbortSignal): Promise<Detection>;
  /** What `detect` would answer without waiting for anything: most Pods' images, which then cost no timer and no promise. */
  recall?(request: DetectRequest): Detection | undefined;
}
