import type { ContainerVerdict, PodView, Remedy } from './model.ts';
import type { Reason } from './reasons.ts';
import { type Libc, type Resolver, resolverName, type Verdict } from './verdict.ts';

/** Declares the libc of all containers of a Pod; with `.<container>` appended, of one container. */
export const LIBC_ANNOTATION = 'libc-dns.dev/libc';

/** Asks for the cache in the Pod: `sidecar`, its only value. */
const REMEDY_ANNOTATION = 'libc-dns.dev/remedy';

/** Our decision on a patched Pod, as compact JSON: see {@link encodeDecision}. */
export const DECISION_ANNOTATION = 'libc-dns.dev/decision';

/** Most containers named in the decision annotation; the rest is given as a number. */
const NAMED_CONTAINERS = 32;

/** Characters of a container's name; the API server refuses a longer one (RFC 1123 label). */
const MOST_NAME = 63;

/** Characters of {@link DECISION_ANNOTATION}. Ours has 32 names of 63 characters and less than a kilobyte besides. */
const LONGEST_DECISION = 16 * 1024;

/** Warnings about annotations, after which no further annotation is read. An API server shows 10 of them. */
const MOST_WARNINGS = 32;

const DECLARABLE: Readonly<Record<string, { resolver: Resolver; libc: Libc }>> = {
  glibc: { resolver: 'glibc', libc: 'glibc' },
  musl: { resolver: 'musl', libc: 'musl' },
  go: { resolver: 'go', libc: 'unknown' },
  other: { resolver: 'other', libc: 'other' },
};

export interface Declared {
  /**
   * Returns the verdict that the user declared for a container: by its own annotation, else the Pod's; undefined if
   * none.
   */
  readonly verdictFor: (container: string) => Verdict | undefined;
  /** Whether the user asks for the cache in the Pod. */
  readonly sidecar: boolean;
  /** Messages about invalid values, which are ignored, and about annotations for containers that do not exist. */
  readonly warnings: readonly string[];
}

const NOTHING_DECLARED: Declared = { verdictFor: () => undefined, sidecar: false, warnings: [] };

/** Reads the user's annotations: `libc-dns.dev/libc` and `libc-dns.dev/remedy`. */
export function readDeclared(pod: PodView): Declared {
  // Called several times for each Pod; hardly any has such an annotation.
  const keys = Object.keys(pod.annotations).filter(
    (key) => key.startsWith(LIBC_ANNOTATION) || key === REMEDY_ANNOTATION,
  );
  return keys.length === 0 ? NOTHING_DECLARED : readAnnotations(pod, keys);
}

function readAnnotations(pod: PodView, keys: readonly string[]): Declared {
  const warnings: string[] = [];
  const names = new Set(pod.containers.map((container) => container.name));
  const single = new Map<string, Verdict>();
  let all: Verdict | undefined;
  for (const key of keys) {
    if (warnings.length >= MOST_WARNINGS) break;
    const value = pod.annotations[key] ?? '';
    if (key === LIBC_ANNOTATION) all = declaration(key, value, warnings);
    if (!key.startsWith(`${LIBC_ANNOTATION}.`)) continue;
    const name = key.slice(LIBC_ANNOTATION.length + 1);
    if (!names.has(name)) warnings.push(`annotation ${key} names no container of this Pod`);
    const verdict = declaration(key, value, warnings);
    if (verdict !== undefined) single.set(name, verdict);
  }
  const remedy = pod.annotations[REMEDY_ANNOTATION];
  const sidecar = remedy === 'sidecar';
  if (remedy !== undefined && !sidecar) {
    warnings.push(`annotation ${REMEDY_ANNOTATION} is ${JSON.stringify(remedy)}: ignored; use sidecar`);
  }
  return { verdictFor: (container) => single.get(container) ?? all, sidecar, warnings };
}

function declaration(annotation: string, value: string, warnings: string[]): Verdict | undefined {
  const known = Object.hasOwn(DECLARABLE, value) ? DECLARABLE[value] : undefined;
  if (known === undefined) {
    warnings.push(`annotation ${annotation} is ${JSON.stringify(value)}: ignored; use glibc, musl, go or other`);
    return undefined;
  }
  return {
    ...known,
    evidence: { source: 'annotation', detail: `annotation ${annotation}: ${value}`, confidence: 1 },
  };
}

/**
 * Returns the value of {@link DECISION_ANNOTATION}:
 * `{"reason":…,"remedy":[…],"resolvers":{"<container>":"<resolver>"}}`, with `go+musl` where several may be at work.
 */
export function encodeDecision(
  reason: Reason,
  remedy: readonly Remedy[],
  containers: readonly Pick<ContainerVerdict, 'name' | 'resolver' | 'resolvers'>[],
): string {
  const named = containers.slice(0, NAMED_CONTAINERS).map((one) => [one.name.slice(0, MOST_NAME), resolverName(one)]);
  const more = containers.length - named.length;
  return JSON.stringify({ reason, remedy, resolvers: Object.fromEntries(named), ...(more > 0 && { more }) });
}

type Annotated = Pick<PodView, 'annotations'>;

/** Reports whether an earlier call wrote the Pod's nameservers. Another webhook may have added containers since. */
export const redirectedByUs = (pod: Annotated): boolean => wasGiven(pod, 'redirect') || sidecarByUs(pod);

/** Reports whether an earlier call added the cache to the Pod. */
export const sidecarByUs = (pod: Annotated): boolean => wasGiven(pod, 'sidecar');

function wasGiven(pod: Annotated, one: Remedy): boolean {
  const { remedy } = earlierDecision(pod);
  return Array.isArray(remedy) && remedy.includes(one);
}

/** Reports whether the Pod held only musl when an earlier call redirected it: its nameservers are in musl's order. */
export function redirectedForMuslAlone(pod: PodView): boolean {
  return redirectedByUs(pod) && earlierDecision(pod).reason === ('MuslRedirected' satisfies Reason);
}

function earlierDecision(pod: Annotated): { readonly reason?: unknown; readonly remedy?: unknown } {
  const text = pod.annotations[DECISION_ANNOTATION] ?? 'null';
  // Ours is shorter. Of another text a parser may take seconds: no API server has looked at its size yet.
  if (text.length > LONGEST_DECISION) return {};
  try {
    const decision: unknown = JSON.parse(text);
    return typeof decision === 'object' && decision !== null ? decision : {};
  } catch {
    return {};
  }
}
