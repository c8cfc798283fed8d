import type { ReaderEnd } from '../detection/reader/image-reader.ts';
import type { Candidate, Libc } from '../policy/verdict.ts';

const RESOLVERS = ['glibc', 'musl', 'go', 'other'] as const;
const CAUSES = ['memory', 'unresponsive', 'stuck', 'exit'] as const satisfies readonly ReaderEnd[];
const LIBCS = ['glibc', 'musl', 'none', 'other', 'unknown'] as const satisfies readonly Libc[];
const SOURCES = ['declared', 'executable', 'base-layer', 'history', 'label'] as const;
const CANDIDATE_RESOLVERS = [...RESOLVERS, 'unknown'] as const;
const CANDIDATE_SOURCES = ['executable', 'base-layer', 'history', 'label', 'none'] as const;
const DECIDED_BY = ['entrypoint', 'first-word'] as const;

/** An image whose reading ended a process: there is no resolver. */
export interface QuarantineSpec {
  readonly image: string;
  readonly platform: string;
  readonly quarantine: LibcQuarantine;
}

interface LibcQuarantine {
  /** Absent: whatever the Pod's command line. */
  readonly run: string | undefined;
  /** Whether only reading more than a Pod can wait for did it. */
  readonly more: boolean;
  readonly ends: number;
  readonly cause: ReaderEnd;
  readonly seenAt: number;
  readonly until: number;
}

export interface LibcSpec {
  readonly image: string;
  readonly platform: string | undefined;
  readonly resolver: (typeof RESOLVERS)[number];
  readonly libc: (typeof LIBCS)[number] | undefined;
  readonly evidence: LibcEvidence | undefined;
  readonly resolvers: readonly Candidate[] | undefined;
  readonly detection: LibcDetection | undefined;
}

/** Most programs that an object names. */
export const MOST_CANDIDATES = 16;

interface LibcEvidence {
  readonly source: (typeof SOURCES)[number];
  readonly detail: string;
  readonly confidencePercent: number;
}

export interface LibcDetection {
  readonly digest: string;
  /** Absent: the tag named the manifest itself, or an older version wrote the object. */
  readonly indexDigest: string | undefined;
  readonly run: string;
  readonly decidedBy: (typeof DECIDED_BY)[number] | undefined;
  readonly executable: string | undefined;
  readonly detectorVersion: number;
  /** Milliseconds since 1970, as are all times here; NaN if the text is not a time. */
  readonly seenAt: number;
}

export interface LibcStatus {
  readonly checkedAt: number | undefined;
  readonly lastUsedAt: number | undefined;
}

/** A field is invalid. The message names it, and never holds its value. */
export class LibcFieldError extends Error {
  override readonly name = 'LibcFieldError';
}

type Fields = Readonly<Record<string, unknown>>;

function fail(path: string, expected: string): never {
  throw new LibcFieldError(`${path}: expected ${expected}`);
}

const fieldsOf = (value: unknown, path: string): Fields =>
  typeof value === 'object' && value !== null ? (value as Fields) : fail(path, 'an object');

const textOf = (value: unknown, path: string, most: number): string =>
  typeof value === 'string' && value.length <= most ? value : fail(path, `at most ${most} characters of text`);

const optionalText = (value: unknown, path: string, most: number): string | undefined =>
  value === undefined ? undefined : textOf(value, path, most);

const numberOf = (value: unknown, path: string, most: number): number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most
    ? (value as number)
    : fail(path, `a whole number from 0 to ${most}`);

const oneOf = <T extends string>(value: unknown, path: string, known: readonly T[]): T =>
  known.includes(value as T) ? (value as T) : fail(path, `one of ${known.join(', ')}`);

const timeOf = (value: unknown, path: string): number => Date.parse(textOf(value, path, 40));

const optionalTime = (value: unknown, path: string): number | undefined =>
  value === undefined ? undefined : timeOf(value, path);

function evidenceOf(value: unknown): LibcEvidence {
  const { source, detail = '', confidencePercent = 0 } = fieldsOf(value, 'spec.evidence');
  return {
    source: oneOf(source, 'spec.evidence.source', SOURCES),
    detail: textOf(detail, 'spec.evidence.detail', 1024),
    confidencePercent: numberOf(confidencePercent, 'spec.evidence.confidencePercent', 100),
  };
}

function candidateOf(value: unknown, index: number): Candidate {
  const path = `spec.resolvers[${index}]`;
  const { resolver, libc, executable, source, detail = '', confidencePercent = 0 } = fieldsOf(value, path);
  const program = optionalText(executable, `${path}.executable`, 4096);
  return {
    resolver: oneOf(resolver, `${path}.resolver`, CANDIDATE_RESOLVERS),
    libc: oneOf(libc, `${path}.libc`, LIBCS),
    ...(program !== undefined && { executable: program }),
    evidence: {
      source: oneOf(source, `${path}.source`, CANDIDATE_SOURCES),
      detail: textOf(detail, `${path}.detail`, 1024),
      confidence: numberOf(confidencePercent, `${path}.confidencePercent`, 100) / 100,
    },
  };
}

function candidatesOf(value: unknown): readonly Candidate[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.length > MOST_CANDIDATES) {
    fail('spec.resolvers', `a list of at most ${MOST_CANDIDATES}`);
  }
  return value.length < 2 ? undefined : value.map(candidateOf);
}

const DIGEST = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/u;

export const isDigest = (text: string): boolean => DIGEST.test(text);

function digestOf(value: unknown, path: string): string {
  const text = textOf(value, path, 135);
  return isDigest(text) ? text : fail(path, 'a digest');
}

function detectionOf(value: unknown): LibcDetection {
  const { digest, indexDigest, run, decidedBy, executable, detectorVersion, seenAt } = fieldsOf(
    value,
    'spec.detection',
  );
  return {
    digest: digestOf(digest, 'spec.detection.digest'),
    indexDigest: indexDigest === undefined ? undefined : digestOf(indexDigest, 'spec.detection.indexDigest'),
    run: textOf(run, 'spec.detection.run', 44),
    decidedBy: decidedBy === undefined ? undefined : oneOf(decidedBy, 'spec.detection.decidedBy', DECIDED_BY),
    executable: optionalText(executable, 'spec.detection.executable', 4096),
    detectorVersion: numberOf(detectorVersion, 'spec.detection.detectorVersion', Number.MAX_SAFE_INTEGER),
    seenAt: timeOf(seenAt, 'spec.detection.seenAt'),
  };
}

function quarantineOf(value: unknown): LibcQuarantine {
  const { run, more = false, ends, cause, seenAt, until } = fieldsOf(value, 'spec.quarantine');
  return {
    run: optionalText(run, 'spec.quarantine.run', 44),
    more: more === true,
    ends: numberOf(ends, 'spec.quarantine.ends', 1_000_000),
    cause: oneOf(cause, 'spec.quarantine.cause', CAUSES),
    seenAt: timeOf(seenAt, 'spec.quarantine.seenAt'),
    until: timeOf(until, 'spec.quarantine.until'),
  };
}

/**
 * Reads the spec of an ImageLibc. Checks the bounds of charts/libc-dns-webhook/files/imagelibcs.yaml itself, for the cluster may
 * have another version of that file. Written without zod, which takes four times as long: a replica reads tens of thousands
 * before it is ready. Throws {@link LibcFieldError}.
 */
export function readLibcSpec(value: unknown): LibcSpec | QuarantineSpec {
  const { image: name, platform, resolver, libc, evidence, resolvers, detection, quarantine } = fieldsOf(value, 'spec');
  const image = textOf(name, 'spec.image', 1024) || fail('spec.image', 'the name of an image');
  if (quarantine !== undefined) {
    return { image, platform: textOf(platform, 'spec.platform', 64), quarantine: quarantineOf(quarantine) };
  }
  return {
    image,
    platform: optionalText(platform, 'spec.platform', 64),
    resolver: oneOf(resolver, 'spec.resolver', RESOLVERS),
    libc: libc === undefined ? undefined : oneOf(libc, 'spec.libc', LIBCS),
    evidence: evidence === undefined ? undefined : evidenceOf(evidence),
    resolvers: candidatesOf(resolvers),
    detection: detection === undefined ? undefined : detectionOf(detection),
  };
}

/** Reads the status of an ImageLibc. Throws {@link LibcFieldError}. */
export function readLibcStatus(value: unknown): LibcStatus {
  const { checkedAt, lastUsedAt } = value === undefined ? {} : fieldsOf(value, 'status');
  return {
    checkedAt: optionalTime(checkedAt, 'status.checkedAt'),
    lastUsedAt: optionalTime(lastUsedAt, 'status.lastUsedAt'),
  };
}
