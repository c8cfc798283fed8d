import { LRUCache } from 'lru-cache';

import { type Reporter, silentReporter } from '../../telemetry/reporter.ts';
import { doublingMs } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import { isoTime } from '../../util/text.ts';
import type { Failure } from '../detector.ts';
import type { Platform } from '../image-source.ts';
import { type DetectionKeys, pinnedName } from '../keys.ts';
import { platformName } from '../platform.ts';
import type { ReaderEnd } from './image-reader.ts';
import type { GuardedStore, QuarantineEntry, QuarantineSubject } from '../verdict-store.ts';

/** A look-up, as far as it has come. */
interface Reading {
  readonly keys: DetectionKeys;
  readonly platform: Platform;
  readonly digest?: string | undefined;
  readonly more?: boolean;
}

/** What a reading may do. */
export interface Clearance {
  /** Why it must not go on; undefined if it may. */
  readonly refused?: Failure;
  /** Whether it must share its process with no other: this image has ended one before, or others of its repository did. */
  readonly alone: boolean;
  /** Whether this image has ended a process before. */
  readonly again: boolean;
}

/** Remembers which images ended a reader process, in memory and in the store that replicas share. */
export interface Quarantine {
  check(reading: Reading): Clearance;
  /** Remembers that a reading ended a process that it had to itself. Returns the failure to report. */
  add(reading: Reading, cause: ReaderEnd): Failure;
  /** Forgets a reading that ended well. */
  release(reading: Reading): void;
}

const MOST = 1000;

/** Milliseconds until an image is read again: doubled each time, to a day. */
const WAIT = { first: 60_000, most: 24 * 3_600_000 };

interface QuarantineOptions {
  readonly guardedStore: Pick<GuardedStore, 'quarantined' | 'quarantine' | 'release'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly reporter?: Reporter;
}

export function createQuarantine({ guardedStore, clock, reporter = silentReporter }: QuarantineOptions): Quarantine {
  const entries = new LRUCache<string, QuarantineEntry>({ max: MOST });
  /** Until when the images of a repository are read alone: other command lines of an image may be as bad. */
  const repositories = new LRUCache<string, number>({ max: MOST });
  const warn = reporter.warnings();
  const entryOf = (subject: QuarantineSubject): QuarantineEntry | undefined => {
    const ours = entries.get(subjectKey(subject));
    const shared = guardedStore.quarantined(subject);
    return ours === undefined || (shared?.seenAt ?? 0) > ours.seenAt ? shared : ours;
  };
  return {
    check(reading) {
      const found = subjectsOf(reading).flatMap((subject) => entryOf(subject) ?? []);
      const now = clock.now();
      const active = found.find(({ until }) => until > now);
      const suspected = (repositories.get(reading.keys.repository) ?? 0) > now;
      const again = found.length > 0;
      return { ...(active && { refused: failureOf(active) }), alone: again || suspected, again };
    },
    add(reading, cause) {
      const subject = subjectOf(reading);
      const before = entryOf(subject)?.ends ?? 0;
      const seenAt = clock.now();
      const entry = { ends: before + 1, cause, seenAt, until: seenAt + doublingMs(WAIT, before) };
      entries.set(subjectKey(subject), entry);
      repositories.set(reading.keys.repository, entry.until);
      guardedStore.quarantine(subject, entry);
      reporter.metrics.detection.quarantined();
      const { image, platform } = subject;
      const fields = { platform: platformName(platform), cause, ends: entry.ends, until: isoTime(entry.until) };
      warn(`reading ${image} ended the reader process: it is not read again for a while`, fields);
      return failureOf(entry);
    },
    release(reading) {
      const subject = subjectOf(reading);
      if (entryOf(subject) === undefined) return;
      entries.delete(subjectKey(subject));
      guardedStore.release(subject);
    },
  };
}

const subjectKey = ({ image, platform, run, more }: QuarantineSubject): string =>
  `${image} ${platformName(platform)} ${run} ${more}`;

function subjectOf({ keys, platform, digest, more = false }: Reading): QuarantineSubject {
  if (digest === undefined) return { image: keys.canonical, platform, run: '', more };
  return { image: pinnedName(keys, digest), platform, run: keys.run, more };
}

/** Returns the subjects that speak against a reading: what is fatal in little is fatal in more. */
function subjectsOf(reading: Reading): QuarantineSubject[] {
  const subject = subjectOf(reading);
  return subject.more ? [subject, { ...subject, more: false }] : [subject];
}

const CAUSES: Readonly<Record<ReaderEnd, string>> = {
  memory: 'out of memory',
  unresponsive: 'it did not answer any more',
  stuck: 'it did not stop when told to',
  exit: 'it crashed',
};

const TIMES = ['never', 'once', 'twice'];

/** Says in one sentence why an image is not read. */
export function quarantineText({ ends, cause, until }: QuarantineEntry): string {
  const times = TIMES[ends] ?? `${ends} times`;
  return `reading it ended the reader process ${times} (${CAUSES[cause]}); next try not before ${isoTime(until)}`;
}

const failureOf = (entry: QuarantineEntry): Failure => ({ code: 'quarantined', message: quarantineText(entry) });
