import type { Span } from '../telemetry/tracing.ts';

/**
 * The interface through which detection reads images. `registry/` implements it for OCI registries and OCI layout
 * directories.
 */

/** OCI image-spec platform, for example `linux/arm64/v8`. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** OCI image-spec descriptor, as far as detection uses it. */
export interface Descriptor {
  readonly mediaType: string;
  /** `sha256:<hex>` or `sha512:<hex>`. */
  readonly digest: string;
  /** Size of the (compressed) blob in bytes, as the manifest claims: it may be wrong. */
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An image's manifest for one platform. */
export interface ImageManifest {
  /** Digest of this platform's manifest, not of the index that lists it. */
  readonly digest: string;
  /** Digest of what the reference names: this manifest, or the index that lists it. Absent: the source has no tags that move. */
  readonly named?: string;
  readonly platform: Platform;
  readonly config: Descriptor;
  /** Base layer first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** What a reference was seen to stand for. */
export interface SeenTag {
  /** Digest of the platform's manifest. */
  readonly digest: string;
  /** Digest of what the reference names: that manifest, or the index that lists it. */
  readonly named: string;
}

/** The parts of an image's configuration that tell what runs and how the image was built (OCI image-spec config.md). */
export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=value` lines. */
  readonly env: readonly string[];
  readonly workingDir: string;
  /** A name or number, with or without `:group`; absent or empty: root. */
  readonly user?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Oldest first. `emptyLayer` entries have no layer. */
  readonly history: readonly { readonly createdBy: string; readonly emptyLayer: boolean }[];
}

/** A container registry login: Basic credentials, or an identity token for the token server. */
export interface Credential {
  readonly username: string;
  readonly password: string;
  /** OAuth2 refresh token (`identitytoken` in a docker config file). */
  readonly identityToken?: string;
  /** Bearer token, sent unchanged (`registrytoken`). */
  readonly registryToken?: string;
}

/** Counts what one look-up has cost so far; sources add to it. */
export interface Meter {
  /** HTTP requests sent, token requests and redirects included. */
  requests: number;
  /** Response body bytes read off the wire. */
  bytes: number;
}

/** What one look-up may use of the process that it reads in. */
export interface ReadingBudget {
  /**
   * Counts bytes as kept in memory. Returns false if the look-up may not keep so many. Throws `LookupEnded` if all look-ups
   * together keep too much.
   */
  keep(bytes: number, what: string): boolean;
  /** Counts bytes as no longer kept. */
  give(bytes: number): void;
  /** Returns a promise to wait for if it is others' turn to use the thread. Call it before and during long work. */
  due(): Promise<void> | undefined;
}

/** One HTTP request of a look-up, without its redirects, for traces. It holds no login, and no path or query of a place that a registry chose. */
export interface RequestRecord {
  readonly kind: 'manifest' | 'config' | 'blob' | 'token' | 'ping';
  /** Scheme, host and port. */
  readonly origin: string;
  readonly repository: string;
  /** The tag or digest that the registry itself was asked for. */
  readonly reference?: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Milliseconds to the end of the answer. */
  readonly ms: number;
  /** Of the answer's body, off the wire. */
  readonly bytes: number;
  readonly status?: number;
  readonly error?: ImageSourceCode;
}

/** Passed to every call of one look-up. */
export interface LookupContext {
  /** Ends the look-up. Sources reject with the signal's reason. */
  readonly signal: AbortSignal;
  readonly meter: Meter;
  /** The namespace that the look-up is for: places at a host and name look-ups are shared out among namespaces. */
  readonly tenant?: string;
  /** Absent: the look-up is alone in its process. */
  readonly budget?: ReadingBudget;
  /** The Pod's own credentials by registry host, most specific first; tried before the configured ones. */
  readonly credentials?: readonly { readonly host: string; readonly credential: Credential }[];
  /** The span that the look-up is part of. */
  readonly span?: Span | undefined;
  /** Receives each request when it has ended. Absent: nobody traces the look-up. */
  readonly onRequest?: ((request: RequestRecord) => void) | undefined;
}

export interface BlobReader {
  /**
   * Reads `[offset, offset + length)` of a blob with one request; fewer bytes mean that the blob ends there. Leaving the
   * stream early stops the transfer.
   */
  read(blob: Descriptor, offset: number, length: number, context: LookupContext): AsyncIterable<Uint8Array>;
}

/** One place that holds images. All methods reject with an `ImageSourceError`, or with the signal's reason. */
export interface ImageSource extends BlobReader {
  /** Resolves `reference`'s tag or digest to the manifest for `platform`. */
  manifest(platform: Platform, context: LookupContext): Promise<ImageManifest>;
  config(manifest: ImageManifest, context: LookupContext): Promise<ImageConfig>;
  /**
   * Reports whether `reference` still names the manifest or index of this digest, for less than `manifest` costs. False: it does not,
   * or only `manifest` can tell. Absent: never.
   */
  stillNames?(digest: string, context: LookupContext): Promise<boolean>;
}

export interface ImageSources {
  /** Opens the source of a reference such as `nginx:1.29` or `ghcr.io/a/b@sha256:…`. Throws `ImageSourceError`. */
  open(reference: string): ImageSource;
  /** Returns a canonical name for caches, for example `docker.io/library/nginx:1.29`. Throws `ImageSourceError`. */
  canonical(reference: string): string;
}

/**
 * Why a source could not answer.
 * `invalid-reference` the name is not a reference · `forbidden-host` our own allow, deny and address rules ·
 * `unauthorized` credentials missing or refused · `not-found` · `no-platform` nothing for this platform ·
 * `not-an-image` schema 1, Helm charts and other artifacts · `rate-limited` · `unavailable` the host failed ·
 * `invalid-answer` a wrong digest, a malformed or oversized answer · `shed` our own limits: too many others were before it.
 */
export type ImageSourceCode =
  | 'invalid-reference'
  | 'forbidden-host'
  | 'unauthorized'
  | 'not-found'
  | 'no-platform'
  | 'not-an-image'
  | 'rate-limited'
  | 'unavailable'
  | 'invalid-answer'
  | 'shed';

/** Says what failed. The message never holds a credential. */
export class ImageSourceError extends Error {
  override readonly name = 'ImageSourceError';
  readonly code: ImageSourceCode;

  constructor(code: ImageSourceCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
