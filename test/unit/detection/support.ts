import { afterAll, beforeAll, expect } from 'vitest';

import type { DetectRequest, Inspect, Inspection } from '../../../src/detection/detector.ts';
import type { ImageDetector } from '../../../src/detection/image-detector.ts';
import {
  type Credential,
  type ImageManifest,
  type ImageSourceCode,
  ImageSourceError,
  type ImageSources,
  type LookupContext,
  type Platform,
} from '../../../src/detection/image-source.ts';
import type { Resolver, Verdict } from '../../../src/policy/verdict.ts';
import { localDetector, type LocalDetectorOptions } from '../../support/local-detector.ts';

export const amd64: Platform = { os: 'linux', architecture: 'amd64' };

export const request = (reference: string, more: Partial<DetectRequest> = {}): DetectRequest => ({
  reference,
  platform: amd64,
  command: [],
  args: [],
  ...more,
});

export const login = (host: string, password: string): { host: string; credential: Credential } => ({
  host,
  credential: { username: 'robot', password },
});

export const within = (milliseconds: number): AbortSignal => AbortSignal.timeout(milliseconds);
export const noDeadline = new AbortController().signal;

/** Resolves after `milliseconds`, rejects with the signal's reason when that comes first. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    if (signal?.aborted === true) stop();
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Fails a test file in which a promise rejects with nobody watching. */
export function expectNothingUnhandled(): void {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  beforeAll(() => void process.on('unhandledRejection', note));
  afterAll(async () => {
    await sleep(10);
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
  });
}

/** An image that the fake registry holds. All can be changed between look-ups. */
export interface FakeImage {
  digest: string;
  resolver: Resolver;
  /** Milliseconds each of manifest and inspection takes. */
  delay: number;
  /** Thrown by `manifest`, or by the inspection. */
  failure?: { stage: 'manifest' | 'layers'; error: unknown };
  decidedBy?: NonNullable<Inspection['decidedBy']>;
  /** The only password it is given out for. */
  password?: string;
}

export const sourceError = (code: ImageSourceCode, message: string): ImageSourceError =>
  new ImageSourceError(code, message);

/** A registry and an inspector in memory that count what is asked of them. */
export class FakeRegistry implements ImageSources {
  readonly images = new Map<string, FakeImage>();
  readonly manifestsOf: string[] = [];
  readonly inspectionsOf: string[] = [];
  /** Most look-ups that were under way at once: in all, and for one image and command line. */
  most = 0;
  mostForOneKey = 0;
  readonly #running = new Map<string, number>();

  add(reference: string, image: Partial<FakeImage> = {}): FakeImage {
    const full: FakeImage = { digest: `sha256:${reference}`, resolver: 'musl', delay: 0, ...image };
    this.images.set(this.canonical(reference), full);
    return full;
  }

  canonical(reference: string): string {
    if (reference.includes(' ')) throw sourceError('invalid-reference', `"${reference}" is not an image reference`);
    const named = reference.includes('/') ? reference : `docker.io/library/${reference}`;
    return /[@:][^/]*$/u.test(named) ? named : `${named}:latest`;
  }

  open(reference: string) {
    const name = this.canonical(reference);
    return {
      manifest: async (platform: Platform, context: LookupContext): Promise<ImageManifest> => {
        this.manifestsOf.push(name);
        const image = await this.#answer(name, context, 100);
        if (image.password !== undefined && context.credentials?.[0]?.credential.password !== image.password) {
          throw sourceError('unauthorized', 'registry docker.io refused the credentials');
        }
        if (image.failure?.stage === 'manifest') throw image.failure.error;
        return {
          digest: image.digest,
          platform,
          config: { mediaType: '', digest: '', size: 0 },
          layers: [],
          annotations: {},
        };
      },
      config: () => Promise.reject(new Error('not here')),
      read: () => {
        throw new Error('not here');
      },
    };
  }

  readonly inspect: Inspect = async (source, wanted, context) => {
    const name = this.canonical(wanted.reference);
    const key = JSON.stringify([name, wanted.command, wanted.args]);
    this.#count(key, 1);
    try {
      const { digest, platform } = await source.manifest(wanted.platform, context);
      this.inspectionsOf.push(key);
      const image = await this.#answer(name, context, 1000);
      if (image.failure?.stage === 'layers') throw image.failure.error;
      const { resolver, decidedBy } = image;
      const libc = resolver === 'musl' ? 'musl' : resolver === 'glibc' ? 'glibc' : 'unknown';
      const confidence = resolver === 'unknown' ? 0 : 0.99;
      const evidence = { source: 'executable' as const, detail: `/bin/x of ${digest}`, confidence };
      const verdict: Verdict = { resolver, libc, evidence };
      return { verdict, digest, platform, executable: '/bin/x', ...(decidedBy !== undefined && { decidedBy }) };
    } finally {
      this.#count(key, -1);
    }
  };

  async #answer(name: string, { meter, signal }: LookupContext, bytes: number): Promise<FakeImage> {
    const image = this.images.get(name);
    meter.requests += 1;
    await sleep(image?.delay ?? 0, signal);
    if (image === undefined) throw sourceError('not-found', `${name} is not there`);
    meter.bytes += bytes;
    return image;
  }

  #count(key: string, step: 1 | -1): void {
    this.#running.set(key, (this.#running.get(key) ?? 0) + step);
    this.mostForOneKey = Math.max(this.mostForOneKey, this.#running.get(key) ?? 0);
    this.most = Math.max(
      this.most,
      [...this.#running.values()].reduce((sum, count) => sum + count, 0),
    );
  }
}

/** A clock that goes when it is told to. */
export function handClock(): { now(): number; advance(milliseconds: number): void } {
  let now = 1_700_000_000_000;
  return {
    now: () => now,
    advance(milliseconds) {
      now += milliseconds;
    },
  };
}

export const minute = 60_000;

export function detectorFor(registry: FakeRegistry, options: Partial<LocalDetectorOptions> = {}): ImageDetector {
  return localDetector({
    sources: registry,
    inspect: registry.inspect,
    entries: 1000,
    tagTtlMs: 10 * minute,
    failureTtlMs: minute,
    clock: { now: () => Date.now() },
    ...options,
  });
}
