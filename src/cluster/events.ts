import { hash } from 'node:crypto';

import { LRUCache } from 'lru-cache';
import { z } from 'zod';

import type { KubeClient } from '../kubernetes/client.ts';
import { KubeError } from '../kubernetes/errors.ts';
import { type Resource, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import type { Decision, ToldDecision } from '../policy/model.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import { pause } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import type { TokenBucket } from '../util/token-bucket.ts';

interface DecisionEventsOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly clock: Clock;
  /** Of all replicas' Events each writes its own share. */
  readonly pace: TokenBucket;
  /** This replica, for whoever asks who wrote an Event. */
  readonly instance: string;
  readonly reporter?: Reporter;
}

/** Events on the workloads of Pods. */
export interface DecisionEvents {
  /** Returns at once, and never throws. Says the same of a workload once an hour. */
  decided(told: ToldDecision): void;
  /** Ends what is being written; what waits is left out. */
  close(): Promise<void>;
}

const AGAIN_MS = 3_600_000;
const NOT_ALLOWED_MS = 300_000;
const MOST_WAITING = 100;
const MOST_TOLD = 5000;
const MOST_MESSAGE = 900;
const MOST_CONTAINERS = 5;

const COMPONENT = 'libc-dns-webhook';

function messageOf({ mode, remedy, message, containers }: Decision): string {
  const verb = mode === 'audit' ? 'would apply' : 'applied';
  const named = containers.slice(0, MOST_CONTAINERS).map(({ name, resolver }) => `${name} ${resolver}`);
  const more = containers.length > named.length ? `, and ${containers.length - named.length} more` : '';
  return `${verb} ${remedy.join(' and ')} to a Pod: ${message} (${named.join(', ')}${more})`.slice(0, MOST_MESSAGE);
}

/** What waits to be written: a Pod may be large, and is not kept. */
interface Waiting extends Pick<Decision, 'mode' | 'reason'> {
  readonly namespace: string;
  readonly owner: EventSubject;
  readonly message: string;
}

/** core/v1 Event. Its name tells which Event it is, so that a second replica does not write another. */
function eventOf(
  { namespace, mode, reason, message }: Waiting,
  subject: EventSubject,
  { clock, instance }: DecisionEventsOptions,
): object {
  const now = new Date(clock.now()).toISOString();
  const hour = Math.floor(clock.now() / AGAIN_MS);
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

/** Writes what waits, one after the other. `onNotAllowed`: none will be written for some time. */
function createWriter(
  options: DecisionEventsOptions,
  waiting: Waiting[],
  onNotAllowed: () => void,
  signal: AbortSignal,
) {
  const { client, pace, reporter = silentReporter } = options;
  const trouble = reporter.trouble('Events on workloads cannot be written', 'events');
  const count = (result: string): void => reporter.metrics.cluster.eventWritten(result);
  const subjects = createEventSubjects(client);
  let running: Promise<void> | undefined;

  const write = async (one: Waiting): Promise<void> => {
    const subject = await subjects.topOf(one.owner, one.namespace, signal);
    const path = resourcePath(RESOURCES.events, undefined, one.namespace);
    await client.request({ method: 'POST', path, body: eventOf(one, subject, options), signal });
    count('written');
    trouble.recovered();
  };
  const failed = (error: unknown): void => {
    // A conflict: another replica has said so already.
    if (signal.aborted || !(error instanceof KubeError) || error.code === 'conflict') return;
    if (error.code === 'forbidden' || error.code === 'unauthorized') onNotAllowed();
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

/**
 * Events on the workloads whose Pods are given something, or would be: on the Deployment, not on its ReplicaSet. Rate-limited, at most
 * one an hour for a workload and a reason, and never waited for by an admission.
 */
export function createDecisionEvents(options: DecisionEventsOptions): DecisionEvents {
  const { clock, reporter = silentReporter } = options;
  const told = new LRUCache<string, number>({ max: MOST_TOLD });
  const waiting: Waiting[] = [];
  const closing = new AbortController();
  let quietUntil = -Infinity;
  const onNotAllowed = (): void => {
    quietUntil = clock.monotonic() + NOT_ALLOWED_MS;
    waiting.length = 0;
  };
  const writer = createWriter(options, waiting, onNotAllowed, closing.signal);
  return {
    decided({ owners, namespace, decision }) {
      const { mode, reason, remedy } = decision;
      const now = clock.monotonic();
      if (closing.signal.aborted || now < quietUntil || mode === 'off' || remedy.length === 0) return;
      const owner = controllerOf(owners);
      if (owner === undefined) return;
      const key = `${owner.uid} ${mode} ${reason}`;
      if (now - (told.get(key) ?? -Infinity) < AGAIN_MS) return;
      if (waiting.length >= MOST_WAITING) {
        reporter.metrics.cluster.eventWritten('dropped');
        return;
      }
      told.set(key, now);
      waiting.push({ namespace, owner, mode, reason, message: messageOf(decision) });
      writer.start();
    },
    async close() {
      closing.abort();
      await writer.ended();
    },
  };
}

/** What an Event is about: core/v1 ObjectReference, without its namespace. */
interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** meta/v1 OwnerReference. Whoever creates Pods writes them: the bounds are those of the API's own names. */
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

/** Whoever creates Pods chooses how many there are. */
const MOST_OWNERS = 32;

const owned = z.object({ metadata: z.object({ uid: z.string().optional(), ownerReferences: z.unknown() }) });

/** The controller among `metadata.ownerReferences`, undefined where there is none. */
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

/** What people look at stands above these. */
const MIDDLE: Readonly<Record<string, Resource>> = {
  'apps/v1 ReplicaSet': { group: 'apps', version: 'v1', plural: 'replicasets' },
  'batch/v1 Job': { group: 'batch', version: 'v1', plural: 'jobs' },
};

const MOST_REMEMBERED = 2000;

interface EventSubjects {
  /** The Deployment of a ReplicaSet, the CronJob of a Job; else, or where that cannot be read, the owner itself. */
  topOf(owner: EventSubject, namespace: string, signal: AbortSignal): Promise<EventSubject>;
}

function createEventSubjects(client: Pick<KubeClient, 'request'>): EventSubjects {
  const known = new LRUCache<string, EventSubject>({ max: MOST_REMEMBERED });
  return {
    async topOf(owner, namespace, signal) {
      const resource = MIDDLE[`${owner.apiVersion} ${owner.kind}`];
      if (resource === undefined) return owner;
      const remembered = known.get(owner.uid);
      if (remembered !== undefined) return remembered;
      try {
        const path = resourcePath(resource, owner.name, namespace);
        const object: unknown = await client.request({ path, signal });
        const read = owned.safeParse(object).data?.metadata;
        // The Pod's author may have named somebody else's.
        const top = (read?.uid === owner.uid ? controllerOf(read.ownerReferences) : undefined) ?? owner;
        known.set(owner.uid, top);
        return top;
      } catch (error) {
        if (error instanceof KubeError) return owner;
        throw error;
      }
    },
  };
}
