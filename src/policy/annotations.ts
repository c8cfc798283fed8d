import type { ContainerVerdict, PodView, Remedy } from './model.ts';
import type { Reason } from './reasons.ts';
import type { Libc, Resolver, Verdict } from './verdict.ts';

/** For all containers of a Pod, or with `.<container>` behind it for one. */
export const LIBC_ANNOTATION = 'libc-dns.dev/libc';

/** What we write on a patched Pod: compact JSON, see {@link encodeDecision}. */
export const DECISION_ANNOTATION = 'libc-dns.dev/decision';

/** Containers named in the decision annotation; a Pod with more gets the count of the rest. */
const NAMED_CONTAINERS = 32;

const DECLARABLE: Readonly<Record<string, { resolver: Resolver; libc: Libc }>> = {
  glibc: { resolver: 'glibc', libc: 'glibc' },
  musl: { resolver: 'musl', libc: 'musl' },
  go: { resolver: 'go', libc: 'unknown' },
  other: { resolver: 'other', libc: 'other' },
};

export interface Declared {
  /** The verdict for a container, where the user has declared one: its own annotation, else the Pod's. */
  readonly verdictFor: (container: string) => Verdict | undefined;
  /** Values that are not valid (they are ignored), and annotations for containers that are not there. */
  readonly warnings: readonly string[];
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

/** Reads the user's `libc-dns.dev/libc` annotations. */
export function readDeclared(pod: PodView): Declared {
  // Read several times for each Pod, and hardly any has one.
  const keys = Object.keys(pod.annotations).filter((key) => key.startsWith(LIBC_ANNOTATION));
  return keys.length === 0 ? NOTHING_DECLARED : readAnnotations(pod, keys);
}

const NOTHING_DECLARED: Declared = { verdictFor: () => undefined, warnings: [] };

function readAnnotations(pod: PodView, keys: readonly string[]): Declared {
  const warnings: string[] = [];
  const names = new Set(pod.containers.map((container) => container.name));
  const single = new Map<string, Verdict>();
  let all: Verdict | undefined;
  for (const key of keys) {
    const value = pod.annotations[key] ?? '';
    if (key === LIBC_ANNOTATION) all = declaration(key, value, warnings);
    if (!key.startsWith(`${LIBC_ANNOTATION}.`)) continue;
    const name = key.slice(LIBC_ANNOTATION.length + 1);
    if (!names.has(name)) warnings.push(`annotation ${key} names no container of this Pod`);
    const verdict = declaration(key, value, warnings);
    if (verdict !== undefined) single.set(name, verdict);
  }
  return { verdictFor: (container) => single.get(container) ?? all, warnings };
}

/** The value of {@link DECISION_ANNOTATION}: `{"reason":…,"remedy":[…],"resolvers":{"<container>":"<resolver>"}}`. */
export function encodeDecision(
  reason: Reason,
  remedy: readonly Remedy[],
  containers: readonly Pick<ContainerVerdict, 'name' | 'resolver'>[],
): string {
  const named = containers.slice(0, NAMED_CONTAINERS).map(({ name, resolver }) => [name, resolver] as const);
  const more = containers.length - named.length;
  return JSON.stringify({ reason, remedy, resolvers: Object.fromEntries(named), ...(more > 0 && { more }) });
}

function earlierDecision(pod: PodView): { readonly reason?: unknown; readonly remedy?: unknown } {
  try {
    const decision: unknown = JSON.parse(pod.annotations[DECISION_ANNOTATION] ?? 'null');
    return typeof decision === 'object' && decision !== null ? decision : {};
  } catch {
    return {};
  }
}

/** Whether an earlier call of this webhook has redirected the Pod: another webhook may since have added containers. */
export function redirectedByUs(pod: PodView): boolean {
  const { remedy } = earlierDecision(pod);
  return Array.isArray(remedy) && remedy.includes('redirect');
}

/** Whether it held musl alone then, so that its nameservers are in musl's order. */
export function redirectedForMuslAlone(pod: PodView): boolean {
  return redirectedByUs(pod) && earlierDecision(pod).reason === ('MuslRedirected' satisfies Reason);
}
