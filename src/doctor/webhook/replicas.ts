import type { PodSeen } from '../../cluster/pod-seen.ts';
import { counted, shellWord, listed } from '../../util/text.ts';
import { failure, type Outcome, type Remark, skipped, summarize } from '../check.ts';
import type { BudgetSeen, DeploymentSeen, LeaseSeen } from '../view/view.ts';
import { selects } from './scope.ts';

export interface ReplicasEvidence {
  /** `namespace/name` of the Service that the registration calls. */
  readonly service: string;
  /** Whether the Service has a selector. */
  readonly hasSelector: boolean;
  /** Deployments whose Pods the Service selects. */
  readonly deployments: readonly DeploymentSeen[];
  readonly pods: readonly PodSeen[];
  /** All PodDisruptionBudgets of the namespace. */
  readonly budgets: readonly BudgetSeen[];
}

/** Judges whether the Service has enough ready replicas, on more than one node. */
export function judgeReplicas(evidence: ReplicasEvidence): Outcome {
  const { service, hasSelector, deployments, pods } = evidence;
  if (!hasSelector) return skipped(`Service ${service} selects no Pods: its replicas are unknown`);
  const data = {
    service,
    deployments: deployments.map(({ name, desired, ready, updated }) => ({ name, desired, ready, updated })),
    pods: pods.map(({ name, ready, restarts, trouble, view }) => ({
      name,
      node: view.nodeName,
      ready,
      restarts,
      trouble,
    })),
  };
  if (deployments.length === 0 && pods.length === 0) {
    const advice = [{ text: 'Install it again, or delete the leftover registration.' }];
    return failure(`nobody stands behind Service ${service}`, { data, advice });
  }
  const nodes = new Set(pods.filter((pod) => pod.ready).map(({ view }) => view.nodeName));
  const fine = `${counted(pods.filter((pod) => pod.ready).length, 'replica')} ready on ${counted(nodes.size, 'node')}`;
  return summarize([...judgeCounts(evidence), ...judgeSpread(evidence), ...judgeHealth(evidence)], fine, { data });
}

export interface LeaderEvidence {
  /** Of the release. */
  readonly namespace: string;
  readonly deployments: readonly DeploymentSeen[];
  readonly pods: readonly PodSeen[];
  /** Of the Lease. */
  readonly name: string;
  readonly lease: LeaseSeen | 'unread' | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Milliseconds after which a Lease that is not renewed shows that nobody leads: replicas renew it every few seconds. */
const LATE_MS = 120_000;

/** Judges whether some replica finds out what the policy of the API server does not know yet. */
export function judgeLeader({ namespace, deployments, pods, name, lease, now }: LeaderEvidence): Outcome {
  const data = { namespace, lease, pods: pods.map(({ name: pod, ready, trouble }) => ({ name: pod, ready, trouble })) };
  const ready = pods.filter((pod) => pod.ready);
  const desired = deployments.reduce((sum, deployment) => sum + deployment.desired, 0);
  const because = troublesOf(pods);
  const stalled = 'the policy goes on with what it knows, and nobody looks new images up';
  const advice = {
    text: 'Readiness says why a replica is not ready; so does its log.',
    command: `kubectl -n ${shellWord(namespace)} describe pods -l app.kubernetes.io/name=libc-dns-webhook`,
  };
  if (pods.length === 0) {
    const again = {
      text: 'Scale its Deployment up, or install it again; or delete the policy of what was uninstalled.',
    };
    return failure(`no replica runs in namespace ${namespace}: ${stalled}`, { data, advice: [again] });
  }
  if (ready.length === 0) return failure(`no replica is ready${because}: ${stalled}`, { data, advice: [advice] });
  const remarks: Remark[] = [];
  if (lease === undefined) {
    remarks.push({
      status: 'failure',
      text: `no replica leads (there is no Lease ${namespace}/${name}): ${stalled}`,
      advice,
    });
  } else if (lease !== 'unread' && now - (lease.renewedAt ?? 0) > LATE_MS) {
    const since = lease.renewedAt === undefined ? '' : ` since ${new Date(lease.renewedAt).toISOString()}`;
    remarks.push({
      status: 'failure',
      text: `no replica leads (Lease ${namespace}/${name})${since}: ${stalled}`,
      advice,
    });
  }
  if (ready.length < desired) {
    remarks.push({ status: 'warning', text: `${ready.length} of ${desired} replicas are ready${because}`, advice });
  }
  const holder = lease === undefined || lease === 'unread' ? '' : lease.holder.split('_', 1)[0];
  return summarize(remarks, `${counted(ready.length, 'replica')} ready${holder ? `, ${holder} leads` : ''}`, { data });
}

function troublesOf(pods: readonly PodSeen[]): string {
  const troubles = [...new Set(pods.flatMap(({ trouble }) => trouble))];
  return troubles.length > 0 ? ` (${listed(troubles, 3)})` : '';
}

const commandFor = (service: string, rest: string): string =>
  `kubectl -n ${shellWord(service.split('/', 1)[0] ?? '')} ${rest}`;

function judgeCounts({ service, deployments, pods }: ReplicasEvidence): Remark[] {
  const ready = pods.filter((pod) => pod.ready).length;
  const desired = deployments.reduce((sum, deployment) => sum + deployment.desired, 0);
  const because = troublesOf(pods);
  const advice = {
    text: 'Readiness says why a replica is not ready; so does its log.',
    command: commandFor(service, `describe pods -l app.kubernetes.io/name=libc-dns-webhook`),
  };
  if (ready === 0) {
    const text = `no replica is ready${because}: every Pod is created as it is written`;
    return [{ status: 'failure', text, advice }];
  }
  if (ready < desired)
    return [{ status: 'warning', text: `${ready} of ${desired} replicas are ready${because}`, advice }];
  if (ready === 1) {
    const more = { text: 'Run at least two replicas (replicas: 3 in the chart).' };
    return [
      {
        status: 'warning',
        text: 'there is one replica: Pods that are created while it restarts are not patched',
        advice: more,
      },
    ];
  }
  return [];
}

function judgeSpread({ pods, budgets }: ReplicasEvidence): Remark[] {
  const ready = pods.filter((pod) => pod.ready);
  if (ready.length < 2) return [];
  const nodes = new Set(ready.map(({ view }) => view.nodeName));
  const budget = budgets.some(({ selector }) => ready.every(({ view }) => selects(selector, view.labels)));
  return [
    ...(nodes.size === 1
      ? [
          {
            status: 'warning',
            text: `${ready.length === 2 ? 'both' : `all ${ready.length}`} replicas are on the node ${[...nodes].join('')}: it takes them all with it`,
            advice: { text: 'Spread them over nodes: topologySpreadConstraints, as the chart has them.' },
          } as const,
        ]
      : []),
    ...(budget
      ? []
      : [
          {
            status: 'warning',
            text: 'no PodDisruptionBudget: a drain of nodes may take all replicas at once',
            advice: { text: 'Set podDisruptionBudget.enabled: true in the chart.' },
          } as const,
        ]),
  ];
}

/** Restarts from which on the check warns. */
const MANY_RESTARTS = 3;

function judgeHealth({ service, pods }: ReplicasEvidence): Remark[] {
  return pods
    .filter((pod) => pod.ready && (pod.restarts >= MANY_RESTARTS || pod.trouble.includes('OOMKilled')))
    .map(({ name, restarts, trouble }) => ({
      status: 'warning',
      text: `${name} has restarted ${counted(restarts, 'time')}${trouble.length > 0 ? ` (last: ${trouble.join(', ')})` : ''}`,
      advice: trouble.includes('OOMKilled')
        ? { text: 'Raise resources.limits.memory.' }
        : { text: 'The log of its last run:', command: commandFor(service, 'logs --previous POD') },
    }));
}
