import { hash } from 'node:crypto';

import { LRUCache } from 'lru-cache';
import { z } from 'zod';

import type { KubeClient } from '../kubernetes/client.ts';
import { KubeError } from '../kubernetes/errors.ts';
import { type Resource, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import { toldMessage } from '../policy/decide.ts';
import type { Decision, ToldDecision } from '../policy/model.ts';
import { resolverName } from '../policy/verdict.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import { pause } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import type { TokenBucket } from '../util/limits/token-bucket.ts';

interface DecisionEventsOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly clock: Clock;
  /** Limits the Events of this replica. */
  readonly pace: TokenBucket;
  /** The name of this replica, written into its Events. */
  readonly instance: string;
  /** Whether an API server vouches for the Pods. If not, an Event is written only on an owner that is found. */
  readonly verified: boolean;
  readonly reporter?: Reporter;
}

/** Writes Events on the workloads of Pods. */
export interface DecisionEvents {
  /** Returns at once and never throws. Repeats an Event of a workload once an hour at most. */
  decided(decision: ToldDecision): void;
  /** Aborts the write under way and drops waiting ones. */
  close(): Promise<void>;
}

const REPEAT_MS = 3_600_000;
const FORBIDDEN_PAUSE_MS = 300_000;
const MOST_WAITING = 100;
const MOST_REPORTED = 5000;
const MESSAGE_LENGTH = 900;
const MOST_CONTAINERS = 5;

const COMPONENT = 'libc-dns-webhook';

/**
 * Writes Events on workloads whose Pods are patched, or would be in audit mode: on the Deployment, not on its ReplicaSet.
 * Rate-limited, at most one an hour for a workload, mode and reason; no admission waits for them.
 */
export function createDecisionEvents(options: DecisionEventsOptions): DecisionEvents {
  const { clock, reporter = silentReporter } = options;
  const reportedAt = new LRUCache<string, number>({ max: MOST_REPORTED });
  const waiting: Waiting[] = [];
  const closing = new AbortController();
  let quietUntil = -Infinity;
  const onForbidden = (): void => {
    quietUntil = clock.monotonic() + FORBIDDEN_PAUSE_MS;
    waiting.length = 0;
  };
  const writer = createWriter(options, waiting, onForbidden, closing.signal);
  return {
    decided({ owners, namespace, decision }) {
      const { mode, reason, remedy } = decision;
      const now = clock.monotonic();
      if (closing.signal.aborted || now < quietUntil || mode === 'off' || remedy.length === 0) return;
      const owner = controllerOf(owners);
      if (owner === undefined) return;
      const key = `${keyOf(owner, namespace)} ${mode} ${reason}`;
      if (now - (reportedAt.get(key) ?? -Infinity) < REPEAT_MS) return;
      if (waiting.length >= MOST_WAITING) {
        reporter.metrics.cluster.eventWritten('dropped');
        return;
      }
      reportedAt.set(key, now);
      waiting.push({ namespace, owner, mode, reason, message: messageOf(decision, options.verified) });
      writer.start();
    },
    async close() {
      closing.abort();
      await writer.ended();
    },
  };
}

function messageOf(decision: Decision, verified: boolean): string {
  const { mode, remedy, containers } = decision;
  const verb = mode === 'audit' ? 'would apply' : 'applied';
  const named = containers.slice(0, MOST_CONTAINERS).map((one) => `${one.name} ${resolverName(one)}`);
  const more = containers.length > named.length ? `, and ${containers.length - named.length} more` : '';
  return `${verb} ${remedy.join(' and ')} to a Pod: ${toldMessage(decision, verified)} (${named.join(', ')}${more})`.slice(
    0,
    MESSAGE_LENGTH,
  );
}

/** An Event that waits to be written. It holds no Pod, for Pods may be large. */
interface Waiting extends Pick<Decision, 'mode' | 'reason'> {
  readonly namespace: string;
  readonly owner: EventSubject;
  readonly message: string;
}

/** Makes a core/v1 Event. Its name is derived from its content and the hour, so that a second replica cannot write it again. */
function eventOf(
  { namespace, mode, reason, message }: Waiting,
  subject: EventSubject,
  { clock, instance }: DecisionEventsOptions,
): object {
  const now = new Date(clock.now()).toISOString();
  const hour = Math.floor(clock.now() / REPEAT_MS);
  const key = hash('sha256', JSON.stringify([subject.uid, mode, reason, hour]), 'hex').slice(0, 16);
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${subject.name.slice(0, 200)}.${key}`, namespace },
    involvedObject: { ...subject, namespace },
    reason,
    message,
    type: reason === 'UnknownOptions' ? 'Warning' : 'Normal',
    action: mode === 'audit' ? 'Audit' : 'Patch',
    source: { component: COMPONENT },
    reportingComponent: COMPONENT,
    reportingInstance: instance,
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
}

/** Writes waiting Events one after the other. Calls `onForbidden` if the API server does not allow it. */
function createWriter(
  options: DecisionEventsOptions,
  waiting: Waiting[],
  onForbidden: () => void,
  signal: AbortSignal,
) {
  const { client, pace, verified, reporter = silentReporter } = options;
  const trouble = reporter.trouble('Events on workloads cannot be written', 'events');
  const count = (result: string): void => reporter.metrics.cluster.eventWritten(result);
  const subjects = createEventSubjects(client, verified);
  let running: Promise<void> | undefined;

  const write = async (one: Waiting): Promise<void> => {
    const subject = await subjects.of(one.owner, one.namespace, signal);
    if (subject === undefined) {
      count('unproven');
      return;
    }
    const path = resourcePath(RESOURCES.events, undefined, one.namespace);
    await client.request({ method: 'POST', path, body: eventOf(one, subject, options), signal });
    count('written');
    trouble.recovered();
  };
  const failed = (error: unknown): void => {
    // A conflict: another replica has written this Event already.
    if (signal.aborted || !(error instanceof KubeError) || error.code === 'conflict') return;
    if (error.code === 'forbidden' || error.code === 'unauthorized') onForbidden();
    count(error.code);
    trouble.lost(error);
  };
  const work = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined && !signal.aborted; one = waiting.shift()) {
      await pause(pace.wait(), signal);
      if (signal.aborted) return;
      pace.take();
      await write(one).catch(failed);
    }
  };
  return {
    start: (): void => {
      running ??= work().finally(() => {
        running = undefined;
      });
    },
    ended: async (): Promise<void> => await running,
  };
}

/** The object of an Event: a core/v1 ObjectReference without its namespace. */
interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** meta/v1 OwnerReference. Pods choose the values: the bounds are the API's own for such names. */
const reference = z.object({
  apiVersion: z.string().min(1).max(128),
  kind: z.string().min(1).max(63),
  name: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/),
  uid: z.string().min(1).max(64),
  controller: z.literal(true),
});

/** A bound, for Pods choose how many owners they name. */
const MOST_OWNERS = 32;

const owned = z.object({ metadata: z.object({ uid: z.string(), ownerReferences: z.unknown().optional() }) });

/** Returns the controller among `metadata.ownerReferences`; undefined if there is no valid one. */
function controllerOf(owners: unknown): EventSubject | undefined {
  if (!Array.isArray(owners) || owners.length > MOST_OWNERS) return undefined;
  for (const one of owners) {
    const found = reference.safeParse(one).data;
    if (found === undefined) continue;
    const { controller: _controller, ...subject } = found;
    return subject;
  }
  return undefined;
}

const keyOf = ({ apiVersion, kind, name, uid }: EventSubject, namespace: string): string =>
  JSON.stringify([namespace, apiVersion, kind, name, uid]);

/** Controllers of Pods. ReplicaSets and Jobs are usually owned by another one, which people look at. */
const CONTROLLERS: Readonly<Record<string, Resource>> = {
  'apps/v1 ReplicaSet': { group: 'apps', version: 'v1', plural: 'replicasets' },
  'apps/v1 StatefulSet': { group: 'apps', version: 'v1', plural: 'statefulsets' },
  'apps/v1 DaemonSet': { group: 'apps', version: 'v1', plural: 'daemonsets' },
  'batch/v1 Job': { group: 'batch', version: 'v1', plural: 'jobs' },
};

const MOST_REMEMBERED = 2000;

interface EventSubjects {
  /**
   * Returns the Deployment of a ReplicaSet, the CronJob of a Job, else the owner itself; undefined if no such owner is found, by name and
   * UID. One that cannot be read counts as found only if an API server vouches for the Pod.
   */
  of(owner: EventSubject, namespace: string, signal: AbortSignal): Promise<EventSubject | undefined>;
}

function createEventSubjects(client: Pick<KubeClient, 'request'>, verified: boolean): EventSubjects {
  /** An owner exists before its Pods and its UID is never given again: what was not found stays so. */
  const known = new LRUCache<string, { readonly subject: EventSubject | undefined }>({ max: MOST_REMEMBERED });
  const read = async (resource: Resource, owner: EventSubject, namespace: string, signal: AbortSignal) => {
    const path = resourcePath(resource, owner.name, namespace);
    const object: unknown = await client.request({ path, signal });
    const metadata = owned.parse(object).metadata;
    // The Pod may name an owner that is not its own: the UID has to match.
    return metadata.uid === owner.uid ? (controllerOf(metadata.ownerReferences) ?? owner) : undefined;
  };
  return {
    async of(owner, namespace, signal) {
      const unread = verified ? owner : undefined;
      const resource = CONTROLLERS[`${owner.apiVersion} ${owner.kind}`];
      if (resource === undefined) return unread;
      const key = keyOf(owner, namespace);
      const remembered = known.get(key);
      if (remembered !== undefined) return remembered.subject;
      try {
        const subject = await read(resource, owner, namespace, signal);
        known.set(key, { subject });
        return subject;
      } catch (error) {
        if (error instanceof z.ZodError) return unread;
        if (!(error instanceof KubeError)) throw error;
        if (error.code !== 'not-found') return unread;
        known.set(key, { subject: undefined });
        return undefined;
      }
    },
  };
}
