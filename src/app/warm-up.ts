import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import type { ServerContext } from '../commands/serve.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { OpenDetector } from '../detection/detector.ts';
import { parsePlatform } from '../detection/platform.ts';
import type { PodVerdictsOptions } from '../detection/pod/pod-verdicts.ts';
import { createLeader } from '../kubernetes/leader.ts';
import type { ClusterFacts, Reach } from '../policy/model.ts';
import { createPodResolvers } from '../pod-resolvers/writer.ts';
import { systemClock } from '../util/clock.ts';
import { createWarmUp } from '../warm-up/warm-up.ts';
import type { FollowedNamespaces } from './cluster.ts';
import type { Joined } from './join.ts';

/** What warm-up works with. */
interface WarmUpParts {
  readonly joined: Joined;
  readonly namespaces: FollowedNamespaces;
  /** Without `exposed`: images are known by the time that an old node comes. */
  readonly facts: () => ClusterFacts;
  /** With `exposed`, as Pods are decided about. */
  readonly podFacts: () => ClusterFacts;
  readonly detection: OpenDetector;
  readonly credentials: PodVerdictsOptions['credentials'];
  /** What policies let every Pod of a namespace reach. */
  readonly reach: (namespace: string) => Reach;
}

/** Looks up the images of workloads before their first Pod, in one replica at a time. Returns a function that ends it. */
export function startWarmUp({ config, reporter }: ServerContext, parts: WarmUpParts): () => Promise<void> {
  const { joined, detection, namespaces, facts, credentials } = parts;
  const { client, own } = joined;
  const { detector, stats = () => ({ underWay: 0, queued: 0 }) } = detection;
  const wanted = config.warmUp.enabled && config.detection.registry.enabled;
  if (!wanted || client === undefined || own.namespace === undefined || detector === undefined) return async () => {};
  const { log, metrics, trouble } = reporter;
  const given = { client, namespaces, config: policyConfig(config), detector, clock: systemClock, reporter };
  const platform = parsePlatform(config.detection.platform);
  const podResolvers = config.admissionPolicy.enabled
    ? createPodResolvers({ ...given, platform, cluster: parts.podFacts, reach: parts.reach })
    : undefined;
  const { rate, hourly, resources, lease } = config.warmUp;
  const warmUp = createWarmUp({
    ...given,
    extraKinds: resources,
    cluster: facts,
    platform,
    ...(credentials && { credentials }),
    lookups: () => {
      const { underWay, queued } = stats();
      return underWay + queued;
    },
    mayAct: () => leader.isLeader(),
    limits: { perSecond: rate, hourly },
    ...(podResolvers && { onOffer: podResolvers.offer }),
  });
  namespaces.onChange((name) => {
    podResolvers?.namespaceChanged(name);
    warmUp.namespaceChanged(name);
  });
  metrics.cluster.leading(false);
  const leader = createLeader({
    client,
    namespace: own.namespace,
    name: lease,
    identity: `${hostname()}_${randomUUID()}`,
    clock: systemClock,
    onStarted() {
      metrics.cluster.leading(true);
      log.info('this replica looks images up ahead from now on');
      podResolvers?.start();
      warmUp.start();
    },
    async onStopped(why) {
      metrics.cluster.leading(false);
      log.info({ why }, 'this replica looks images up ahead no more');
      await Promise.all([warmUp.stop(), podResolvers?.stop()]);
    },
    onLeader: (identity) => log.debug({ identity }, 'another replica looks images up ahead'),
    trouble: trouble('the Lease cannot be used: no replica warms up while that lasts', 'lease'),
  });
  return () => leader.close();
}
