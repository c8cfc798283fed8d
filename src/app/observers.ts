import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import { createDecisionEvents } from '../cluster/events.ts';
import type { ServerContext, ServerParts } from '../commands/serve.ts';
import { policyConfig } from '../config/policy-config.ts';
import { parsePlatform } from '../detection/platform.ts';
import type { PodVerdictsOptions } from '../detection/pod-verdicts.ts';
import {
  createImageLibcStore,
  type ImageLibcHooks,
  type ImageLibcStore,
  type ImageLibcWrite,
} from '../image-libc/store.ts';
import type { KubeError } from '../kubernetes/errors.ts';
import { createLeader, type LeaderHooks } from '../kubernetes/leader.ts';
import type { ClusterFacts } from '../policy/model.ts';
import type { FailureLog } from '../telemetry/failure-log.ts';
import { limitedWarnings } from '../telemetry/log-limits.ts';
import type { OpenDetector } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';
import { createTokenBucket } from '../util/token-bucket.ts';
import { createWarmUp, type WarmUp, type WarmUpOptions } from '../warm-up/warm-up.ts';
import type { NamespaceParts } from './cluster.ts';
import type { Joined } from './join.ts';

export interface StoreParts {
  /** Once: the store begins to read. */
  readonly open: (canonical: (reference: string) => string) => ImageLibcStore;
  /** Resolves when there is nothing more to wait for. */
  readonly ready: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const READS = 'the ImageLibcs cannot be watched: verdicts stay in the memory of each replica';
const WRITES: Readonly<Record<ImageLibcWrite, string>> = {
  verdict: 'verdicts cannot be written to ImageLibcs',
  use: 'the last use of verdicts cannot be written to ImageLibcs',
  delete: 'unused ImageLibcs cannot be deleted',
};

function hooksOf({ log, metrics }: ServerContext, failures: FailureLog): ImageLibcHooks {
  const limited = limitedWarnings(log, systemClock);
  const count = (kind: ImageLibcWrite, error: KubeError): void => metrics.cluster.stored(kind, error.code);
  return {
    reads: {
      onError: ({ code }) => metrics.cluster.apiFailed('imagelibcs', code),
      onLost: (error) => failures.failed(READS, error),
      onRecovered: () => failures.worked(READS),
      onSynced: (items) => log.info({ items }, 'ImageLibcs read'),
    },
    onIgnored: (name, why) => limited('an ImageLibc is not used', { name, why }),
    writes: (kind) => ({
      onWritten: () => metrics.cluster.stored(kind, 'written'),
      onDropped: () => metrics.cluster.stored(kind, 'dropped'),
      onRefused: (name, error) => {
        count(kind, error);
        // Somebody else owns the object: theirs wins, as it should.
        if (error.code !== 'conflict') limited('an ImageLibc was not written', { name, error: error.message });
      },
      onLost: (error) => {
        count(kind, error);
        failures.failed(WRITES[kind], error);
      },
      onRecovered: () => failures.worked(WRITES[kind]),
    }),
  };
}

/** Verdicts in the cluster's own database; undefined where the configuration or a missing cluster says that there are none. */
export function composeStore(context: ServerContext, { client }: Joined, failures: FailureLog): StoreParts | undefined {
  const { config, metrics } = context;
  const { cache } = config.detection;
  if (cache.store !== 'cluster' || client === undefined) return undefined;
  let store: ImageLibcStore | undefined;
  const open = (canonical: (reference: string) => string): ImageLibcStore => {
    const opened = createImageLibcStore({
      client,
      canonical,
      clock: systemClock,
      most: cache.entries,
      tagTtlMs: cache.tagTtl,
      expireMs: cache.unusedAfter,
      hooks: hooksOf(context, failures),
    });
    metrics.cluster.informer('imagelibcs', () => {
      const { detected, declared, synced, contactAt } = opened.stats();
      return { items: detected + declared, synced, contactAt };
    });
    store = opened;
    return opened;
  };
  return { open, ready: async () => await store?.ready, close: async () => await store?.close() };
}

/** Of each replica. An API server's etcd keeps Events for an hour. */
const PACE = { perSecond: 1, burst: 25 };

const EVENT_WRITES = 'Events on workloads cannot be written';

interface EventParts extends Required<Pick<ServerParts, 'onDecided'>> {
  readonly close: () => Promise<void>;
}

/** Events on the workloads of Pods; undefined where there is no cluster to write them to. */
export function composeEvents(
  { metrics }: ServerContext,
  { client }: Joined,
  failures: FailureLog,
): EventParts | undefined {
  if (client === undefined) return undefined;
  const clock = systemClock;
  const events = createDecisionEvents({
    client,
    clock,
    pace: createTokenBucket({ ...PACE, clock }),
    instance: hostname().slice(0, 128),
    hooks: {
      onWritten: () => {
        metrics.cluster.eventWritten('written');
        failures.worked(EVENT_WRITES);
      },
      onDropped: () => metrics.cluster.eventWritten('dropped'),
      onFailed: (error) => {
        metrics.cluster.apiFailed('events', error.code);
        metrics.cluster.eventWritten(error.code);
        failures.failed(EVENT_WRITES, error);
      },
    },
  });
  return { onDecided: (told) => events.decided(told), close: () => events.close() };
}

/** What warm-up works with. */
interface WarmUpParts {
  readonly joined: Joined;
  readonly namespaces: NamespaceParts;
  readonly facts: () => ClusterFacts;
  readonly detection: OpenDetector;
  readonly credentials: PodVerdictsOptions['credentials'];
  readonly failures: FailureLog;
}

const unwatched = (kind: string): string =>
  `workloads of kind ${kind} cannot be watched: their images are not looked up ahead`;

function warmUpHooks({ log, metrics }: ServerContext, failures: FailureLog): NonNullable<WarmUpOptions['hooks']> {
  const limited = limitedWarnings(log, systemClock);
  return {
    onLookup: ({ reference, from, failure }) => {
      metrics.cluster.warmedUp(failure ?? from);
      log.debug({ image: reference, from, failure }, 'looked up ahead');
    },
    onDropped: (reference) => {
      metrics.cluster.warmedUp('dropped');
      limited('no room to look an image up ahead: its first Pod will', { image: reference });
    },
    onPaused: (registry, ms, code) =>
      log.info({ registry, ms, code }, 'a registry is left alone by warm-up for a while'),
    onLost: (kind, code, error) => {
      metrics.cluster.apiFailed('workloads', code);
      // Kinds that are configured for when they are installed are no failure.
      if (code === 'not-found') log.info({ kind }, 'the API server has no such workloads (yet)');
      else failures.failed(unwatched(kind), error);
    },
    onWatching: (kind) => failures.worked(unwatched(kind)),
  };
}

const NO_LEASE = 'the Lease cannot be used: no replica warms up while that lasts';

function leaderHooks({ log, metrics }: ServerContext, failures: FailureLog, warmUp: WarmUp): LeaderHooks {
  return {
    onStarted: () => {
      metrics.cluster.leading(true);
      log.info('this replica looks images up ahead from now on');
      warmUp.start();
    },
    onStopped: async (why) => {
      metrics.cluster.leading(false);
      log.info({ why }, 'this replica looks images up ahead no more');
      await warmUp.stop();
    },
    onLeader: (identity) => log.debug({ identity }, 'another replica looks images up ahead'),
    onLost: (error) => {
      metrics.cluster.apiFailed('lease', error.code);
      failures.failed(NO_LEASE, error);
    },
    onRecovered: () => failures.worked(NO_LEASE),
  };
}

/** Looks up the images of workloads before their Pods come, by one replica at a time. Returns the end of it. */
export function composeWarmUp(context: ServerContext, parts: WarmUpParts): () => Promise<void> {
  const { config, metrics } = context;
  const { joined, detection, namespaces, failures } = parts;
  const { client, own } = joined;
  const { detector, stats = () => ({ underWay: 0, queued: 0 }) } = detection;
  const wanted = config.warmUp.enabled && config.detection.registry.enabled;
  if (!wanted || client === undefined || own.namespace === undefined || detector === undefined) return async () => {};
  const { rate, hourly, resources, lease } = config.warmUp;
  const warmUp = createWarmUp({
    client,
    extraKinds: resources,
    namespaces: namespaces.ahead,
    config: policyConfig(config),
    cluster: parts.facts,
    platform: parsePlatform(config.detection.platform),
    ...(parts.credentials && { credentials: parts.credentials }),
    detector,
    lookups: () => {
      const { underWay, queued } = stats();
      return underWay + queued;
    },
    mayAct: () => leader.isLeader(),
    limits: { perSecond: rate, hourly },
    clock: systemClock,
    hooks: warmUpHooks(context, failures),
  });
  namespaces.ahead.onChange((name) => warmUp.namespaceChanged(name));
  metrics.cluster.leading(false);
  const leader = createLeader({
    client,
    namespace: own.namespace,
    name: lease,
    identity: `${hostname()}_${randomUUID()}`,
    clock: systemClock,
    hooks: leaderHooks(context, failures, warmUp),
  });
  return () => leader.close();
}
