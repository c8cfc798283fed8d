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

/** The resolver and libc of an image, and the evidence for them. */
export interface Verdict {
  readonly resolver: Resolver;
  readonly libc: Libc;
  readonly evidence: Evidence;
}

/** Returns the verdict for an image about which nothing is known; `detail` says why. */
export function unknownVerdict(detail: string): Verdict {
  return { resolver: 'unknown', libc: 'unknown', evidence: { source: 'none', detail, confidence: 0 } };
}
