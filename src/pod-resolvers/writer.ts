import { isDeepStrictEqual } from 'node:util';

import type { Detector } from '../detection/detector.ts';
import type { Platform } from '../detection/image-source.ts';
import { platformName } from '../detection/platform.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { KubeError, type KubeErrorCode } from '../kubernetes/errors.ts';
import { eachObject } from '../kubernetes/lists.ts';
import { type KubeObject, RESOURCES } from '../kubernetes/objects.ts';
import { createWriteQueue, type WriteQueue } from '../kubernetes/write-queue.ts';
import type { ClusterFacts, NamespaceView, PolicyConfig, Reach } from '../policy/model.ts';
import { isInScope } from '../policy/scope.ts';
import type { LimitedLines } from '../telemetry/log-limits.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import { pause } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import { createTokenBucket } from '../util/limits/token-bucket.ts';
import { createRestartable } from '../util/restartable.ts';
import {
  applySpec,
  deleteObject,
  MOST_BYTES,
  NAME,
  type PodResolversSpec,
  podResolversSpec,
  WRITTEN_BY,
} from './object.ts';
import { entriesOf, noteOffer, type Offer, type OfferedImages, type Workload } from './offered-images.ts';
import { finishedRemedies, type Remedies, type RemedyTerms } from './remedies.ts';

export interface PodResolversOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly namespaces: {
    readonly names: () => Iterable<string>;
    readonly peek: (name: string) => NamespaceView | undefined;
    readonly ready: Promise<void>;
  };
  readonly config: PolicyConfig;
  readonly cluster: () => ClusterFacts;
  /** Returns what policies let every Pod of a namespace reach. */
  readonly reach: (namespace: string) => Reach;
  readonly detector: Pick<Detector, 'peek'>;
  /** The platform of Pods that name no architecture. */
  readonly platform: Platform;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly reporter?: Reporter;
  /** Milliseconds between two rounds. Default 1000. */
  readonly everyMs?: number;
}

/** Keeps one PodResolvers in each namespace in scope. One replica does it for all. */
export interface PodResolvers {
  start(): void;
  /** Ends it and forgets all. It may be started again. Never rejects. */
  stop(): Promise<void>;
  /** Tells that a workload runs an image. */
  readonly offer: (offer: Offer, workload: Workload) => void;
  /** Tells that a namespace was created or deleted, or that its labels have changed. */
  readonly namespaceChanged: (name: string) => void;
}

/** Writes a second: each wakes every API server's copy. */
const PACE = { perSecond: 5, burst: 50 };
/** Most writes that wait. */
const MOST_WAITING = 10_000;
/** Characters of what one container runs, and of all that are known of: authors of workloads choose both. */
const MOST_REQUEST = 4096;
const MOST_CHARACTERS = 32 * 1024 * 1024;
/** Milliseconds after which an image's verdict is read again though nothing has changed. */
const AGAIN_MS = 30_000;
/**
 * Milliseconds for which an object of an earlier leader is not replaced by one that knows less: warm-up reads the workloads again.
 */
const GRACE_MS = 60_000;
/** Milliseconds after which an object that somebody else has deleted or changed is written again. */
const HEAL_MS = 30_000;
/** Namespaces without news that are looked at without a pause. */
const AT_ONCE = 100;

/** The namespace is gone, or goes; the object is gone already; or what it holds is refused. */
const REFUSALS: ReadonlySet<KubeErrorCode> = new Set(['not-found', 'forbidden', 'conflict', 'invalid', 'too-large']);

export function createPodResolvers(options: PodResolversOptions): PodResolvers {
  const runs = createRestartable(
    () => begin(options),
    (run) => run.close(),
  );
  options.reporter?.metrics.cluster.podResolvers(() => runs.running?.sizes());
  return {
    start: () => runs.start(),
    stop: () => runs.stop(),
    offer: (offer, workload) => runs.running?.offer(offer, workload),
    namespaceChanged: (name) => runs.running?.namespaceChanged(name),
  };
}

interface Run {
  offer(offer: Offer, workload: Workload): void;
  namespaceChanged(name: string): void;
  sizes(): { readonly namespaces: number; readonly images: number; readonly leftOut: number };
  close(): Promise<void>;
}

/** What is known of a namespace. */
interface Place {
  readonly images: OfferedImages;
  /** Something was offered, or some verdict is missing. */
  isDue: boolean;
  readAt: number;
  made?: { readonly terms: RemedyTerms; readonly remedies: Remedies };
  written?: PodResolversSpec;
  /** The object's resourceVersion after our last write; undefined until that was answered. */
  version?: string | undefined;
}

function begin(options: PodResolversOptions): Run {
  const { namespaces, clock, reporter = silentReporter } = options;
  const closing = new AbortController();
  const places = new Map<string, Place>();
  const queue = createQueue(options, places);
  /** Of all images; those that are forgotten count until the next round. */
  let characters = 0;
  const state: State = {
    options,
    queue,
    places,
    existing: new Set(),
    startedAt: clock.monotonic(),
    facts: options.cluster(),
    mostBytes: MOST_BYTES.since137,
  };
  const placeOf = (name: string): Place => {
    const known = places.get(name) ?? { images: new Map(), isDue: true, readAt: -Infinity };
    places.set(name, known);
    return known;
  };
  const warn = reporter.warnings();
  const running = keep(state, closing.signal, () => {
    for (const name of namespaces.names()) placeOf(name);
    characters = charactersOf(places);
  });
  return {
    offer(offer, workload) {
      const { request: asked } = offer;
      const { namespace } = workload;
      if (platformName(asked.platform) !== platformName(options.platform)) return;
      const key = JSON.stringify(asked);
      const { images } = placeOf(namespace);
      const isNew = !images.has(key);
      if (key.length > MOST_REQUEST || (isNew && characters + key.length > MOST_CHARACTERS)) {
        warn('an image is left out of PodResolvers: there are too many, or its container has too long a text', {
          namespace,
        });
        return;
      }
      if (isNew) characters += key.length;
      noteOffer(images, key, offer, workload, clock.monotonic());
      placeOf(namespace).isDue = true;
    },
    namespaceChanged(name) {
      if (namespaces.peek(name) !== undefined) return;
      // Its object went with it. One of the same name may be there before the next round, which would see no change.
      places.delete(name);
      state.existing.delete(name);
    },
    sizes() {
      const specs = [...places.values()].flatMap(({ written }) => (written === undefined ? [] : [written]));
      const sum = (of: (spec: PodResolversSpec) => number): number => specs.reduce((all, spec) => all + of(spec), 0);
      return { namespaces: specs.length, images: sum(({ count }) => count), leftOut: sum(({ leftOut }) => leftOut) };
    },
    async close() {
      closing.abort();
      await running;
      await queue.close(1000);
    },
  };
}

/** Looks at all namespaces again and again. `before` is called before each round. */
async function keep(state: State, signal: AbortSignal, before: () => void): Promise<void> {
  const { options, existing } = state;
  const { namespaces, clock, reporter = silentReporter, everyMs = 1000 } = options;
  const warn = reporter.warnings();
  await namespaces.ready;
  for (const name of await listAtLast(options, signal)) existing.add(name);
  await readMostBytes(state, signal);
  let listedAt = clock.monotonic();
  while (!signal.aborted) {
    if (clock.monotonic() - listedAt >= HEAL_MS) {
      listedAt = clock.monotonic();
      await heal(state, signal, warn);
      // The API server may have been upgraded.
      await readMostBytes(state, signal);
    }
    before();
    await round(state, signal);
    await pause(everyMs, signal);
  }
}

/** Reads what an object of this API server may hold. If it does not say its version, what was known stays. */
async function readMostBytes(state: State, signal: AbortSignal): Promise<void> {
  try {
    const { minor = '' } = await state.options.client.request<{ readonly minor?: string }>({
      path: '/version',
      signal,
    });
    state.mostBytes = Number.parseInt(minor, 10) <= 36 ? MOST_BYTES.until136 : MOST_BYTES.since137;
  } catch (error) {
    if (!signal.aborted && !(error instanceof KubeError)) throw error;
  }
}

function charactersOf(places: ReadonlyMap<string, Place>): number {
  let sum = 0;
  for (const { images } of places.values()) for (const key of images.keys()) sum += key.length;
  return sum;
}

interface State {
  readonly options: PodResolversOptions;
  readonly queue: WriteQueue;
  readonly places: Map<string, Place>;
  /** Namespaces that have an object. */
  readonly existing: Set<string>;
  readonly startedAt: number;
  /** What is known of the cluster in this round. */
  facts: ClusterFacts;
  /** Of the images in an object; what any API server takes until its version is known. */
  mostBytes: number;
}

function createQueue(
  { client, clock, namespaces, reporter = silentReporter }: PodResolversOptions,
  places: ReadonlyMap<string, Place>,
): WriteQueue {
  const warn = reporter.warnings();
  return createWriteQueue({
    client,
    ready: namespaces.ready,
    pace: createTokenBucket({ ...PACE, clock }),
    most: MOST_WAITING,
    refusals: REFUSALS,
    trouble: reporter.trouble(
      'PodResolvers cannot be written: the policy of the API server does not learn of new images',
    ),
    count: (result) => reporter.metrics.cluster.stored('pod-resolvers', result),
    onWritten(name, answer) {
      const place = places.get(name);
      if (place !== undefined) place.version = (answer as KubeObject | undefined)?.metadata.resourceVersion;
    },
    onRefused(name, error) {
      // It is tried again when its verdicts are read again.
      delete places.get(name)?.written;
      // A namespace that is being deleted takes nothing new.
      if (error.code !== 'not-found' && error.code !== 'forbidden') {
        warn('a PodResolvers was not written', { namespace: name, error: error.message });
      }
    },
  });
}

/** Resolves to the namespaces that have an object, however long it takes to read them. */
async function listAtLast(options: PodResolversOptions, signal: AbortSignal): Promise<Iterable<string>> {
  const { everyMs = 1000, reporter = silentReporter } = options;
  const trouble = reporter.trouble('the PodResolvers of an earlier leader cannot be listed', 'pod-resolvers');
  while (!signal.aborted) {
    const objects = await listObjects(options, signal, trouble.lost);
    if (objects !== undefined) {
      trouble.recovered();
      return objects.keys();
    }
    await pause(everyMs, signal);
  }
  return [];
}

/** What is listed of an object. */
interface Listed {
  readonly version: string;
  /** Whose leader wrote it last. */
  readonly release: string;
}

/** Resolves to each namespace's object; undefined if they could not be read. */
async function listObjects(
  { client }: PodResolversOptions,
  signal: AbortSignal,
  lost: (error: { readonly code: string; readonly message: string }) => void,
): Promise<ReadonlyMap<string, Listed> | undefined> {
  const objects = new Map<string, Listed>();
  try {
    await eachObject({ client, resource: RESOURCES.podResolvers, metadataOnly: true, signal }, () => {
      objects.clear();
      return ({ metadata: { name, namespace, resourceVersion: version = '', annotations } }) => {
        if (name !== NAME || namespace === undefined) return;
        objects.set(namespace, { version, release: annotations?.[WRITTEN_BY] ?? '' });
      };
    });
    return objects;
  } catch (error) {
    if (signal.aborted) return undefined;
    if (!(error instanceof KubeError)) throw error;
    lost(error);
    return undefined;
  }
}

/** Has objects written again that somebody else has deleted or changed since our last write. */
async function heal(
  { options, places, existing, facts }: State,
  signal: AbortSignal,
  warn: LimitedLines,
): Promise<void> {
  const { reporter = silentReporter } = options;
  const before = new Map([...places].map(([name, { version }]) => [name, version]));
  const count = (error: { readonly code: string }): void =>
    reporter.metrics.cluster.apiFailed('pod-resolvers', error.code);
  const objects = await listObjects(options, signal, count);
  if (objects === undefined) return;
  for (const name of objects.keys()) existing.add(name);
  for (const [name, place] of places) {
    const { version } = place;
    // One that is being written has none.
    const listed = objects.get(name);
    if (version === undefined || version !== before.get(name) || version === listed?.version) continue;
    const { release = '' } = listed ?? {};
    if (release === (facts.ownNamespace ?? '') || release === '') {
      reporter.log.warn(
        { namespace: name },
        'somebody else has deleted or changed a PodResolvers: it is written again',
      );
    } else {
      warn('two releases write the same PodResolvers in turn: a cluster takes one', { release });
    }
    delete place.written;
    place.isDue = true;
  }
}

/** Looks at each namespace once. Lets others have the thread after each that takes long, and after some that do not. */
async function round(state: State, signal: AbortSignal): Promise<void> {
  const { places, options, existing } = state;
  const { config, cluster } = options;
  const facts = cluster();
  // The same object as long as it says the same: there may be 10,000 namespaces to compare it for.
  if (!isDeepStrictEqual(facts, state.facts)) state.facts = facts;
  let looked = 0;
  for (const name of new Set([...places.keys(), ...existing])) {
    if (signal.aborted) return;
    looked += 1;
    const namespace = options.namespaces.peek(name);
    const place = places.get(name);
    if (namespace === undefined || !isInScope(namespace, config, facts.ownNamespace)) {
      places.delete(name);
      remove(state, name);
    } else if ((place !== undefined && update(state, namespace, place)) || looked % AT_ONCE === 0) {
      await new Promise(setImmediate);
    }
  }
}

function remove({ existing, queue }: State, name: string): void {
  if (!existing.delete(name)) return;
  queue.add(name, () => deleteObject(name));
}

/** Returns whether there was anything to do. */
function update(state: State, namespace: NamespaceView, place: Place): boolean {
  const { options, queue, existing, startedAt } = state;
  const now = options.clock.monotonic();
  const isOld = now - place.readAt >= AGAIN_MS;
  const isChanged = remake(state, place, namespace);
  if (!isChanged && !place.isDue && !isOld) return false;
  const { images, missing } = entriesOf(place.images, options.detector, now);
  place.readAt = now;
  place.isDue = missing > 0;
  const isFirst = place.written === undefined && existing.has(namespace.name);
  if (isFirst && now - startedAt < GRACE_MS && (missing > 0 || now - startedAt < GRACE_MS / 4)) {
    place.isDue = true;
    return true;
  }
  const spec = podResolversSpec(place.made?.remedies ?? none, options.platform.architecture, images, state.mostBytes);
  if (isDeepStrictEqual(spec, place.written)) return true;
  place.written = spec;
  place.version = undefined;
  existing.add(namespace.name);
  queue.add(namespace.name, () => applySpec(namespace.name, spec, state.facts.ownNamespace));
  return true;
}

const none: Remedies = { classes: { plain: {}, virtual: {}, searches: {}, nameservers: {} }, remedies: [] };

/** Makes the remedies anew if what they depend on has changed; returns whether it has. */
function remake({ options: { config, reach }, facts }: State, place: Place, namespace: NamespaceView): boolean {
  const terms: RemedyTerms = { namespace, cluster: facts, config, reach: reach(namespace.name) };
  const last = place.made?.terms;
  if (last?.cluster === facts && last.reach === terms.reach && isDeepStrictEqual(last.namespace, namespace))
    return false;
  place.made = { terms, remedies: finishedRemedies(terms) };
  return true;
}
