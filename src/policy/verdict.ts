/** The resolver of a program. `go`: Go's own, whatever the program is linked to. */
export type Resolver = 'glibc' | 'musl' | 'go' | 'other' | 'unknown';

/** The libc that a program is linked to. `none`: a static program without a libc. */
export type Libc = 'glibc' | 'musl' | 'none' | 'other' | 'unknown';

/** Where a verdict comes from, most trusted first. */
type EvidenceSource = 'annotation' | 'store' | 'executable' | 'base-layer' | 'history' | 'label' | 'none';

export interface Evidence {
  readonly source: EvidenceSource;
  /** One sentence for people, for example `/usr/sbin/nginx: interpreter /lib/ld-musl-x86_64.so.1`. */
  readonly detail: string;
  /** 0 (nothing is known) to 1 (said by the user). */
  readonly confidence: number;
}

/** A program that may run in a container, with its resolver. */
export interface Candidate {
  readonly resolver: Resolver;
  readonly libc: Libc;
  readonly evidence: Evidence;
  /** Absolute path inside the image; undefined if it is not known. */
  readonly executable?: string;
}

/**
 * The resolver and libc of the program that stays in a container's foreground, and the evidence for them; `unknown` where it
 * is not certain which program that is.
 */
export interface Verdict extends Candidate {
  /** All programs that may resolve names in the container, the one in the foreground first. Absent if it is the only one. */
  readonly resolvers?: readonly Candidate[];
}

/** Returns all programs that may resolve names, the one in the foreground first. */
export function candidatesOf({ resolver, libc, evidence, executable, resolvers }: Verdict): readonly Candidate[] {
  return resolvers ?? [{ resolver, libc, evidence, ...(executable !== undefined && { executable }) }];
}

type Judged = Pick<Candidate, 'resolver' | 'libc' | 'evidence'>;

function libcOfGo<T extends Judged>(one: T, because: string): T {
  const { resolver, libc, evidence } = one;
  if (resolver !== 'go' || (libc !== 'glibc' && libc !== 'musl')) return one;
  const detail = `${evidence.detail}, resolves through its libc because of ${because}`;
  return { ...one, resolver: libc, evidence: { ...evidence, detail } };
}

/** Returns the verdict with every Go program resolving through the libc that it is linked to, if to one. `because` says why it does. */
export function throughLibc<T extends Verdict>(verdict: T, because: string): T {
  const { resolvers } = verdict;
  const own = libcOfGo(verdict, because);
  return resolvers === undefined ? own : { ...own, resolvers: resolvers.map((one) => libcOfGo(one, because)) };
}

/** Returns the resolvers that may be at work, each once. */
export function resolversOf({ resolver, resolvers }: Pick<Verdict, 'resolver' | 'resolvers'>): readonly Resolver[] {
  return resolvers === undefined ? [resolver] : [...new Set(resolvers.map((one) => one.resolver))];
}

/** Reports whether this resolver may be at work. */
export const mayResolveWith = (verdict: Pick<Verdict, 'resolver' | 'resolvers'>, resolver: Resolver): boolean =>
  resolversOf(verdict).includes(resolver);

/** Names the resolvers that may be at work: `go`, `go+musl`. */
export const resolverName = (verdict: Pick<Verdict, 'resolver' | 'resolvers'>): string =>
  resolversOf(verdict).join('+');

/** Returns the verdict for an image about which nothing is known; `detail` says why. */
export function unknownVerdict(detail: string): Verdict {
  return { resolver: 'unknown', libc: 'unknown', evidence: { source: 'none', detail, confidence: 0 } };
}
