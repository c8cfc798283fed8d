import type { Detector } from '../detection/detector.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { isKubeError } from '../kubernetes/errors.ts';
import type { NamespaceView } from '../policy/model.ts';
import { isInScope } from '../policy/scope.ts';
import type { Reporter } from '../telemetry/reporter.ts';
import type { Backoff } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import { createRestartable } from '../util/restartable.ts';
import type { WarmUpOffer } from './backlog.ts';
import { createWarmUpQueue, type WarmUpQueue, type WarmUpQueueStats } from './queue.ts';
import type { WarmUpLimits } from './turn.ts';
import { workloadImages, type WorkloadImagesOptions } from './workload-images.ts';
import { createWorkloadNamespaces, type WorkloadNamespaces } from './workload-namespaces.ts';
import {
  kindName,
  watchWorkloads,
  WORKLOAD_KINDS,
  type WorkloadKind,
  type WorkloadTemplate,
  type WorkloadWatch,
} from './workload-watch.ts';

export interface WarmUpOptions extends WorkloadImagesOptions {
  readonly client: KubeClient;
  /** Watched in addition to Deployments, StatefulSets, DaemonSets, CronJobs and Jobs. */
  readonly extraKinds?: readonly WorkloadKind[];
  readonly namespaces: WarmUpNamespaces;
  readonly detector: Detector;
  /** Returns the number of look-ups that run or wait in the detector, ours included. */
  readonly lookups: () => number;
  /** Called before each look-up: reports whether this replica still leads. Absent: always true. */
  readonly mayAct?: () => boolean;
  readonly limits?: Partial<WarmUpLimits>;
  readonly clock: Clock;
  readonly reporter?: Reporter;
  /** Called with each image of a workload in scope. */
  readonly onOffer?: (offer: WarmUpOffer, workload: WorkloadTemplate) => void;
  /** For tests. */
  readonly backoff?: Backoff;
}

interface WarmUpNamespaces {
  /** Returns a namespace from memory; undefined if it is not known yet. */
  readonly peek: (name: string) => NamespaceView | undefined;
  /** Resolves when all namespaces have been read once. */
  readonly ready: Promise<void>;
}

interface WarmUpStats extends WarmUpQueueStats {
  /** Workloads that are watched. */
  readonly workloads: number;
  /** Kinds whose first list is not complete. */
  readonly unsynced: number;
  /** Namespaces whose workloads wait to be listed again. */
  readonly namespaces: number;
}

/** Looks up the images of workloads before their first Pod is created. */
export interface WarmUp {
  start(): void;
  /** Ends watches and look-ups and forgets what waits. It may be started again. Never rejects. */
  stop(): Promise<void>;
  /** Tells that a namespace was created or its label has changed: its workloads may be in scope now. */
  namespaceChanged(name: string): void;
  /** Returns undefined while stopped. */
  stats(): WarmUpStats | undefined;
}

/**
 * Watches workloads and looks up, at low priority, the images of workloads in scope. One replica does it for all: start it
 * when this one is elected, stop it when it no longer leads.
 */
export function createWarmUp(options: WarmUpOptions): WarmUp {
  const runs = createRestartable(() => begin(options), end);
  return {
    start: () => runs.start(),
    stop: () => runs.stop(),
    namespaceChanged: (name) => runs.running?.namespaces.changed(name),
    stats() {
      const run = runs.running;
      if (run === undefined) return undefined;
      return {
        ...run.queue.stats(),
        workloads: run.watches.reduce((sum, { size }) => sum + size, 0),
        unsynced: run.watches.filter(({ synced }) => !synced).length,
        namespaces: run.namespaces.waiting,
      };
    },
  };
}

interface Run {
  readonly queue: WarmUpQueue;
  readonly namespaces: WorkloadNamespaces;
  readonly closing: AbortController;
  watches: readonly WorkloadWatch[];
}

function scopeOf(name: string, { namespaces, config, cluster }: WarmUpOptions): 'in' | 'out' | 'gone' {
  const namespace = namespaces.peek(name);
  if (namespace === undefined) return 'gone';
  return isInScope(namespace, config, cluster().ownNamespace) ? 'in' : 'out';
}

function consider(run: Run, options: WarmUpOptions, workload: WorkloadTemplate): void {
  const { namespace, template, isCurrent } = workload;
  const images = workloadImages(template, namespace, options.namespaces.peek(namespace), options);
  if (images.waitsForNamespace) run.namespaces.skipped(namespace);
  for (const image of images.offers) {
    const offer = { ...image, isWanted: isCurrent };
    run.queue.offer(offer);
    options.onOffer?.(offer, workload);
  }
}

/** Ignores a kind that is not installed, or may not be listed: none of its workloads were skipped. */
async function relist(watches: readonly WorkloadWatch[], namespace: string, signal: AbortSignal): Promise<void> {
  for (const watch of watches) {
    await watch.relist(namespace, signal).catch((error: unknown) => {
      if (isKubeError(error, 'not-found', 'forbidden')) return;
      throw error;
    });
  }
}

function watchAll(run: Run, options: WarmUpOptions): WorkloadWatch[] {
  const kinds = new Map([...WORKLOAD_KINDS, ...(options.extraKinds ?? [])].map((kind) => [kindName(kind), kind]));
  return [...kinds.values()].map((kind) =>
    watchWorkloads({
      client: options.client,
      kind,
      onTemplate: (template) => consider(run, options, template),
      clock: options.clock,
      ...(options.reporter && { reporter: options.reporter }),
      ...(options.backoff && { backoff: options.backoff }),
    }),
  );
}

async function watchOnceReady(run: Run, options: WarmUpOptions): Promise<void> {
  await options.namespaces.ready;
  if (!run.closing.signal.aborted) run.watches = watchAll(run, options);
}

function begin(options: WarmUpOptions): Run {
  const closing = new AbortController();
  const run: Run = {
    queue: createWarmUpQueue(options),
    namespaces: createWorkloadNamespaces({
      scopeOf: (name) => scopeOf(name, options),
      relist: async (name, signal) => await relist(run.watches, name, signal),
    }),
    closing,
    watches: [],
  };
  // Watching earlier would find every namespace unknown, and each would be listed again by itself.
  void watchOnceReady(run, options);
  return run;
}

async function end({ closing, queue, namespaces, watches }: Run): Promise<void> {
  closing.abort();
  await Promise.all([queue.close(), namespaces.close(), ...watches.map((watch) => watch.close())]);
}
