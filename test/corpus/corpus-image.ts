import type { ImageSourceCode, Platform } from '../../src/detection/image-source.ts';
import type { Libc, Resolver } from '../../src/policy/verdict.ts';
import type { BuiltImage } from '../support/image-builder.ts';
import type { Sources } from './sources.ts';

/** What is true of an image, by how its executable was built. */
export type Truth =
  | { readonly resolver: Resolver; readonly libc: Libc | readonly Libc[] }
  | { readonly error: ImageSourceCode };

/**
 * What a look-up may cost (design.md "Numbers to reach"). `program`: the program is among the first entries of its
 * layer. `base`: something must be read through first, at worst a Debian-sized base layer.
 */
export type Budget = 'program' | 'base';

/** An image with known truth. */
export interface CorpusImage {
  /** Its repository's name in the registry. */
  readonly name: string;
  /** What is misleading about it. */
  readonly trap: string;
  readonly truth: Truth;
  readonly budget: Budget;
  readonly platform?: Platform;
  /** The Pod's own. */
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  /** Throws `MissingSource` where this machine lacks what it is made of. */
  readonly build: (sources: Sources) => Promise<BuiltImage>;
}

export const GLIBC: Truth = { resolver: 'glibc', libc: 'glibc' };
export const MUSL: Truth = { resolver: 'musl', libc: 'musl' };
export const GO: Truth = { resolver: 'go', libc: 'none' };
export const OTHER: Truth = { resolver: 'other', libc: 'other' };
