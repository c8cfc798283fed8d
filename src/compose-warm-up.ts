import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import type { ServerContext } from './commands/serve.ts';
import type { NamespaceParts } from './compose-cluster.ts';
import type { Joined } from './compose-kubernetes.ts';
import { policyConfig } from './config/policy-config.ts';
import { parsePlatform } from './detection/platform.ts';
import type { PodVerdictsOptions } from './detection/pod-verdicts.ts';
import { createLeader, type LeaderHooks } from './kubernetes/leader.ts';
import type { ClusterFacts } from './policy/model.ts';
import type { FailureLog } from './telemetry/failure-log.ts';
import { limitedWarnings } from './telemetry/log-limits.ts';
import type { OpenDetector } from './terminal/io.ts';
import { systemClock } from './util/clock.ts';
import { createWarmUp, type WarmUp, type WarmUpOptions } from './warm-up/warm-up.ts';

/** What warm-up works with. */
export interface WarmUpParts {
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
  const limited = limitedWarnings(log, systemClock.monotonic);
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
