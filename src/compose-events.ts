import { hostname } from 'node:os';

import { createDecisionEvents } from './cluster/events.ts';
import type { ServerContext, ServerParts } from './commands/serve.ts';
import type { Joined } from './compose-kubernetes.ts';
import type { FailureLog } from './telemetry/failure-log.ts';
import { systemClock } from './util/clock.ts';
import { createTokenBucket } from './util/token-bucket.ts';

/** Of each replica. An API server's etcd keeps Events for an hour. */
const PACE = { perSecond: 1, burst: 25 };

const WRITES = 'Events on workloads cannot be written';

export interface EventParts extends Required<Pick<ServerParts, 'onDecided'>> {
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
        failures.worked(WRITES);
      },
      onDropped: () => metrics.cluster.eventWritten('dropped'),
      onFailed: (error) => {
        metrics.cluster.apiFailed('events', error.code);
        metrics.cluster.eventWritten(error.code);
        failures.failed(WRITES, error);
      },
    },
  });
  return { onDecided: (told) => events.decided(told), close: () => events.close() };
}
