import { z } from 'zod';

import type { PodView } from '../policy/model.ts';
import { MalformedPodError, readPod } from '../policy/read-pod.ts';

const state = z.object({ reason: z.string().nullish() }).nullish();
const status = z.object({
  restartCount: z.int().default(0),
  state: z.object({ waiting: state, terminated: state }).nullish(),
  lastState: z.object({ terminated: state }).nullish(),
});

/** core/v1 Pod: what `readPod` leaves out. */
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

/** A container that ended as it should is no trouble. */
function troubleOf({ state: now, lastState }: Status): string[] {
  const reasons = [now?.waiting?.reason, now?.terminated?.reason, lastState?.terminated?.reason];
  return reasons.filter((reason): reason is string => typeof reason === 'string' && reason !== 'Completed');
}

/** A Pod as the checks see it; undefined for what is not well formed, which the API server does not store. */
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

export interface OwnerSeen {
  readonly kind: string;
  readonly name: string;
  readonly apiVersion: string;
}

export interface PodSeen {
  readonly namespace: string;
  readonly name: string;
  readonly view: PodView;
  /** What it is of; undefined for a Pod that stands alone. */
  readonly owner?: OwnerSeen;
  readonly phase: string;
  readonly ready: boolean;
  /** Its address; empty where it has none yet. */
  readonly ip: string;
  /** Of all containers. */
  readonly restarts: number;
  /** Why a container does not run, or why it ended the last time: `CrashLoopBackOff`, `OOMKilled`. */
  readonly trouble: readonly string[];
}
