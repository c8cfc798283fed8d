import { z } from 'zod';

import type { PodView } from '../policy/model.ts';
import { MalformedPodError, readPod } from '../policy/read-pod.ts';

export interface OwnerSeen {
  readonly kind: string;
  readonly name: string;
  readonly apiVersion: string;
}

export interface PodSeen {
  readonly namespace: string;
  readonly name: string;
  readonly view: PodView;
  /** Its controller; absent for a Pod without one. */
  readonly owner?: OwnerSeen;
  readonly phase: string;
  readonly ready: boolean;
  /** Its address; empty if it has none yet. */
  readonly ip: string;
  /** Sum over all containers. */
  readonly restarts: number;
  /** Why containers do not run, or why they ended last time: `CrashLoopBackOff`, `OOMKilled`. */
  readonly trouble: readonly string[];
}

const state = z.object({ reason: z.string().nullish() }).nullish();
const status = z.object({
  restartCount: z.int().default(0),
  state: z.object({ waiting: state, terminated: state }).nullish(),
  lastState: z.object({ terminated: state }).nullish(),
});

/** The fields of a core/v1 Pod that `readPod` does not read. */
const pod = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    ownerReferences: z
      .array(
        z.object({
          apiVersion: z.string(),
          kind: z.string(),
          name: z.string(),
          controller: z.boolean().default(false),
        }),
      )
      .nullish(),
  }),
  status: z
    .object({
      phase: z.string().default(''),
      podIP: z.string().default(''),
      conditions: z.array(z.object({ type: z.string(), status: z.string() })).nullish(),
      containerStatuses: z.array(status).nullish(),
    })
    .prefault({}),
});

type Status = z.output<typeof status>;

/** Returns why a container waits or ended; not if it completed normally. */
function troubleOf({ state: now, lastState }: Status): string[] {
  const reasons = [now?.waiting?.reason, now?.terminated?.reason, lastState?.terminated?.reason];
  return reasons.filter((reason): reason is string => typeof reason === 'string' && reason !== 'Completed');
}

/** Reads a Pod; undefined if it is malformed. The API server stores no such Pod. */
export function podSeen(object: unknown): PodSeen | undefined {
  const parsed = pod.safeParse(object).data;
  if (parsed === undefined) return undefined;
  const { metadata, status: of } = parsed;
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  const containers = of.containerStatuses ?? [];
  try {
    return {
      namespace: metadata.namespace,
      name: metadata.name,
      view: readPod(object),
      ...(owner && { owner: { kind: owner.kind, name: owner.name, apiVersion: owner.apiVersion } }),
      phase: of.phase,
      ready: of.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false,
      ip: of.podIP,
      restarts: containers.reduce((sum, { restartCount }) => sum + restartCount, 0),
      trouble: [...new Set(containers.flatMap(troubleOf))],
    };
  } catch (error) {
    if (error instanceof MalformedPodError) return undefined;
    throw error;
  }
}
