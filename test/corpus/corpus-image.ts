import type { ImageSourceCode, Platform } from '../../src/detection/image-source.ts';
import type { ContainerRun } from '../../src/detection/detector.ts';
import type { Libc, Resolver } from '../../src/policy/verdict.ts';
import type { BuiltImage } from '../support/image-builder.ts';
import type { Sources } from './sources.ts';

/** The truth about an image, known from how its executable was built. */
export type Truth =
  | { readonly resolver: Resolver; readonly libc: Libc | readonly Libc[] }
  | { readonly error: ImageSourceCode };

/**
 * What a look-up may cost. `program`: the program is among the first entries of its layer. `base`: more must be read first, at
 * worst a base layer of Debian's size.
 */
export type Budget = 'program' | 'base';

/** In which way an image misleads. */
export type Kind =
  | 'everyday'
  | 'launcher'
  | 'wrapper'
  | 'shell text'
  | 'entry script'
  | 'the Pod'
  | 'supervisor'
  | 'interpreter'
  | 'linking'
  | 'layers'
  | 'stand-in'
  | 'distribution'
  | 'platform'
  | 'no image';

/** An image whose truth is known, and how the Pod runs it. */
export interface CorpusImage extends Partial<ContainerRun> {
  /** The name of its repository. */
  readonly name: string;
  readonly kind: Kind;
  /** What is misleading about it. */
  readonly trap: string;
  readonly truth: Truth;
  readonly budget: Budget;
  readonly platform?: Platform;
  /** Builds the image. Rejects with `MissingSource` if this machine lacks a part. */
  readonly build: (sources: Sources) => Promise<BuiltImage>;
}

export const GLIBC: Truth = { resolver: 'glibc', libc: 'glibc' };
export const MUSL: Truth = { resolver: 'musl', libc: 'musl' };
export const GO: Truth = { resolver: 'go', libc: 'none' };
export const OTHER: Truth = { resolver: 'other', libc: 'other' };
