import { platformName } from '../detection/platform.ts';
import type { QuarantineEntry, QuarantineSubject, StoreKey } from '../detection/verdict-store.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import { createReflector, type Reflector } from '../kubernetes/reflector.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import type { KubeError } from '../kubernetes/errors.ts';
import type { Backoff } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import {
  createSharedValues,
  type DeclaredLibc,
  type DetectedLibc,
  type HeldLibc,
  type QuarantinedLibc,
  readImageLibc,
  referenceKey,
} from './object.ts';
import type { PlanState } from './writes.ts';

interface LibcCopyOptions {
  readonly client: KubeClient;
  readonly clock: Pick<Clock, 'now'>;
  readonly canonical: (reference: string) => string;
  /** Most objects that are written; twice as many are read. */
  readonly most: number;
  readonly backoff?: Backoff;
  readonly reporter?: Reporter;
}

/** A copy of all usable ImageLibcs, and of the objects that we are about to write. */
export interface LibcCopy {
  readonly reflector: Reflector<HeldLibc>;
  readonly index: LibcIndex;
  readonly state: PlanState;
  /** Resolves to the error of the first list or watch that fails. */
  readonly lost: Promise<KubeError>;
  /** Counts an object that is being written, until the watch brings it. */
  expect(name: string, about: Pick<StoreKey, 'image' | 'platform'>): void;
  /** Stops counting an object that was not written. */
  giveUp(name: string): void;
}

export function createLibcCopy(options: LibcCopyOptions): LibcCopy {
  const index = createLibcIndex();
  const expected = new Map<string, string>();
  const { promise: lost, resolve: lose } = Promise.withResolvers<KubeError>();
  const reflector = follow(options, {
    onChange(name, now, before) {
      expected.delete(name);
      index.change(now, before);
    },
    onSynced: () => expected.clear(),
    // Not a failure: a list whose continuation has expired starts again.
    onError: (error) => void (error.code !== 'gone' && lose(error)),
  });
  options.reporter?.metrics.cluster.informer('imagelibcs', () => {
    const { detected, declared, quarantined } = index.size();
    return { synced: reflector.synced, items: detected + declared + quarantined, contactAt: reflector.contactAt };
  });
  return {
    reflector,
    index,
    lost,
    state: {
      held: (name) => reflector.items.get(name),
      get synced() {
        return reflector.synced;
      },
      count(reference) {
        let runs = index.runs(reference);
        for (const each of expected.values()) if (each === reference) runs += 1;
        const { detected, quarantined } = index.size();
        return { runs, all: detected + quarantined + expected.size };
      },
      newest: (reference) => index.newest(reference),
    },
    expect(name, { image, platform }) {
      if (!reflector.items.has(name)) expected.set(name, referenceKey(image, platformName(platform)));
    },
    giveUp: (name) => void expected.delete(name),
  };
}

interface ReflectorCallbacks {
  readonly onChange: (name: string, now: HeldLibc | undefined, before: HeldLibc | undefined) => void;
  readonly onSynced: () => void;
  readonly onError: (error: KubeError) => void;
}

function follow(
  { client, clock, most, canonical, reporter = silentReporter, backoff }: LibcCopyOptions,
  { onChange, onSynced, onError }: ReflectorCallbacks,
): Reflector<HeldLibc> {
  const warn = reporter.warnings();
  const ignored = (name: string, why: string): void => warn('an ImageLibc is not used', { name, why });
  const shared = createSharedValues();
  return createReflector<HeldLibc>({
    client,
    path: resourcePath(RESOURCES.imageLibcs),
    // An old list does no harm here: a verdict belongs to a digest and stays true, one that is missing costs a look-up, and what people
    // declared or took back is as late as with a slow watch. The watch that follows brings the rest.
    cached: true,
    streamed: true,
    clock,
    most: 2 * most,
    onTooMany: (name) => ignored(name, `there are more than ${2 * most} ImageLibcs`),
    keep(object) {
      const held = readImageLibc(object, { now: clock.now(), canonical, shared });
      if (typeof held !== 'string') return held;
      ignored(object.metadata.name, held);
      return undefined;
    },
    onChange,
    ...(backoff && { backoff }),
    trouble: reporter.trouble(
      'the ImageLibcs cannot be watched: verdicts stay in the memory of each replica',
      'imagelibcs',
    ),
    onError,
    onSynced(items) {
      onSynced();
      reporter.log.info({ items }, 'ImageLibcs read');
    },
  });
}

/** The held ImageLibcs, by image. */
interface LibcIndex {
  /** Replaces `before` by `now`; undefined: there was or is no object. */
  change(now: HeldLibc | undefined, before: HeldLibc | undefined): void;
  /** Returns the most specific declaration. */
  declared(image: string, platform: string, runs: readonly string[]): DeclaredLibc | undefined;
  /** Returns the verdict for the digest that the reference was last seen to stand for. */
  detected(image: string, platform: string, runs: readonly string[]): DetectedLibc | undefined;
  /** Returns the verdict of the reference whose tag was checked last. */
  newest(reference: string): DetectedLibc | undefined;
  /** Returns what is known of a reading that ended a process. */
  quarantined(subject: QuarantineSubject): QuarantineEntry | undefined;
  /** Returns the number of objects for a reference, with any command line. */
  runs(reference: string): number;
  size(): { readonly detected: number; readonly declared: number; readonly quarantined: number };
}

export function createLibcIndex(): LibcIndex {
  const detected = createGroups<DetectedLibc>();
  const declared = createGroups<DeclaredLibc>();
  const quarantined = createGroups<QuarantinedLibc>();
  const move = (held: HeldLibc, how: 'add' | 'remove'): void => {
    if (held.kind === 'declared') declared[how](held.image, held);
    else if (held.kind === 'detected') detected[how](held.reference, held);
    else quarantined[how](held.reference, held);
  };
  const newest = (reference: string): DetectedLibc | undefined => {
    let last: DetectedLibc | undefined;
    for (const each of detected.of(reference)) if (last === undefined || each.checkedAt > last.checkedAt) last = each;
    return last;
  };
  return {
    change(now, before) {
      if (before !== undefined) move(before, 'remove');
      if (now !== undefined) move(now, 'add');
    },
    quarantined({ image, platform, run, more }) {
      for (const each of quarantined.of(referenceKey(image, platformName(platform)))) {
        if (each.run === run && each.more === more) return each;
      }
      return undefined;
    },
    declared(image, platform, runs) {
      const all = [...declared.of(image)];
      const matching = all.filter((each) => (each.platform ?? platform) === platform && matches(each.run, runs));
      return matching.toSorted(bySpecificity)[0];
    },
    newest,
    detected(image, platform, runs) {
      const reference = referenceKey(image, platform);
      const digest = newest(reference)?.digest;
      for (const each of detected.of(reference)) if (each.digest === digest && runs.includes(each.run)) return each;
      return undefined;
    },
    runs: (reference) => detected.count(reference) + quarantined.count(reference),
    size: () => ({ detected: detected.size(), declared: declared.size(), quarantined: quarantined.size() }),
  };
}

const matches = (run: string | undefined, runs: readonly string[]): boolean => run === undefined || runs.includes(run);

const specificity = ({ run, platform }: DeclaredLibc): number =>
  (run === undefined ? 0 : 2) + (platform === undefined ? 0 : 1);

/** Puts declarations for one command line or platform before declarations for all, then sorts by name. */
function bySpecificity(a: DeclaredLibc, b: DeclaredLibc): number {
  return specificity(b) - specificity(a) || (a.name < b.name ? -1 : 1);
}

interface Groups<T> {
  add(key: string, member: T): void;
  remove(key: string, member: T): void;
  of(key: string): Iterable<T>;
  count(key: string): number;
  size(): number;
}

/** Stores a single member without a Set, for most of the thousands of groups have one: the Set would take as much memory again. */
function createGroups<T extends object>(): Groups<T> {
  const groups = new Map<string, T | Set<T>>();
  let size = 0;
  return {
    add(key, member) {
      const group = groups.get(key);
      if (group instanceof Set) group.add(member);
      else groups.set(key, group === undefined ? member : new Set([group, member]));
      size += 1;
    },
    remove(key, member) {
      const group = groups.get(key);
      const isHere = group instanceof Set ? group.delete(member) : group === member;
      if (!isHere) return;
      if (group === member || (group as Set<T>).size === 0) groups.delete(key);
      size -= 1;
    },
    of(key) {
      const group = groups.get(key);
      if (group === undefined) return [];
      return group instanceof Set ? group : [group];
    },
    count(key) {
      const group = groups.get(key);
      if (group === undefined) return 0;
      return group instanceof Set ? group.size : 1;
    },
    size: () => size,
  };
}
