import type { PodSeen } from '../../cluster/pod-seen.ts';
import { counted, shellWord } from '../../util/text.ts';
import { failure, ok, type Outcome, skipped, warning } from '../check.ts';
import type { Evidence } from '../evidence.ts';
import { podsBehind } from '../webhook/installation.ts';

/** Judges whether the cluster DNS survives the loss of a Pod and of a node. `service`: `namespace/name`. */
function judgeDnsReplicas(service: string, pods: readonly PodSeen[]): Outcome {
  const [namespace = ''] = service.split('/', 1);
  const ready = pods.filter((pod) => pod.ready);
  const nodes = new Set(ready.map(({ view }) => view.nodeName));
  const data = { service, ready: ready.length, pods: pods.length, nodes: nodes.size };
  if (pods.length === 0)
    return skipped(`Service ${service} selects no Pods: what answers behind it is unknown`, { data });
  const look = `kubectl -n ${shellWord(namespace)} get pods -o wide`;
  if (ready.length === 0) {
    const advice = [{ text: 'No name resolves in this cluster. Why the Pods are not ready:', command: look }];
    return failure(`none of ${counted(pods.length, 'Pod')} behind Service ${service} is ready`, { data, advice });
  }
  if (ready.length === 1) {
    const advice = [
      {
        text: 'Run at least two replicas. Where its owner does not scale it (a cloud, an add-on), do it there.',
        command: scale(namespace, ready),
      },
    ];
    const seen = 'the cluster DNS has one replica: while it restarts or its node is drained, no name resolves';
    return warning(seen, { data, advice });
  }
  if (nodes.size === 1) {
    const advice = [{ text: 'Spread them over nodes (podAntiAffinity, topologySpreadConstraints).', command: look }];
    const seen = `all ${ready.length} replicas of the cluster DNS are on the node ${[...nodes].join('')}: no name resolves without it`;
    return warning(seen, { data, advice });
  }
  return ok(`${counted(ready.length, 'replica')} of the cluster DNS ready on ${counted(nodes.size, 'node')}`, { data });
}

/** A Deployment names its ReplicaSets after itself, with a hash behind. */
function scale(namespace: string, [pod]: readonly PodSeen[]): string {
  const { kind, name } = pod?.owner ?? {};
  const deployment = kind === 'ReplicaSet' && name !== undefined ? name.replace(/-[^-]+$/, '') : 'coredns';
  return `kubectl -n ${shellWord(namespace)} scale deployment ${shellWord(deployment)} --replicas=2`;
}

/** Looks at the Pods behind the Service of the cluster DNS. */
export async function dnsReplicas(evidence: Evidence): Promise<Outcome> {
  const view = await evidence.view();
  const { service } = (await evidence.webhookConfig()).config.cluster;
  const [namespace = '', name = ''] = service.split('/', 2);
  const found = await view.service(namespace, name);
  if (found === undefined) return skipped(`there is no Service ${service}: name it with cluster.service`);
  const hasSelector = Object.keys(found.selector).length > 0;
  const pods = hasSelector ? await podsBehind(view, { namespace, name }) : [];
  return judgeDnsReplicas(
    service,
    pods.filter(({ phase }) => phase !== 'Succeeded' && phase !== 'Failed'),
  );
}
