import { z } from 'zod';

import { type Exposure, judgeExposure, UNREAD } from '../exposure/exposure.ts';
import { type KubeProxy, kubeProxyOf } from '../exposure/kube-proxy.ts';
import { nfqueueProduct } from '../exposure/nfqueue.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { asKubeError } from '../kubernetes/errors.ts';
import { listAll, shaped } from '../kubernetes/lists.ts';
import { type KubeObject, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import { createReflector } from '../kubernetes/reflector.ts';
import type { ClusterFacts } from '../policy/model.ts';
import { type Reporter, silentReporter, type Trouble } from '../telemetry/reporter.ts';
import { type Backoff, jittered, pause } from '../util/abort.ts';
import type { Clock } from '../util/clock.ts';
import { objectAt } from '../util/json.ts';
import { readKubeProxy } from './kube-proxy.ts';

export interface ClusterExposureOptions {
  readonly client: KubeClient;
  readonly clock: Pick<Clock, 'now'>;
  readonly reporter?: Reporter;
  /** Milliseconds; for tests. */
  readonly times?: Partial<ExposureTimes>;
  /** For tests. */
  readonly backoff?: Backoff;
}

interface ExposureTimes {
  /** Between two looks at kube-proxy and the DaemonSets, on average. */
  readonly everyMs: number;
  /** For one object or page of the API. */
  readonly readMs: number;
  /** After this, what was read and could not be read again counts as not known. */
  readonly staleMs: number;
}

const TIMES: ExposureTimes = { everyMs: 60_000, readMs: 5000, staleMs: 600_000 };

/** Whether some node can lose DNS packets, kept up to date. */
export interface ClusterExposure {
  /** Exposed until all has been read once. */
  readonly current: Exposure;
  /** Returns `facts` with `exposed`: the same object again while neither changes. */
  applyTo(facts: ClusterFacts): ClusterFacts;
  /** Resolves when all has been read once, or when that has failed. Never rejects. */
  readonly settled: Promise<void>;
  close(): Promise<void>;
}

/**
 * Follows what decides whether nodes can lose DNS packets: the kernels of the nodes by a watch, kube-proxy's mode and the DaemonSets that
 * use NFQUEUE about once a minute. The node-local cache comes with the facts.
 */
export function createClusterExposure(options: ClusterExposureOptions): ClusterExposure {
  const { reporter = silentReporter } = options;
  const times = { ...TIMES, ...options.times };
  const closing = new AbortController();
  const looks = createLooks(options, times);
  const tell = flipLog(reporter);
  let current = UNREAD;
  let nodeLocalIntercepts = false;
  let isSettled = false;
  const judge = (): void => {
    current = judgeExposure({ nodes: nodes.kernels(), ...looks.known(), nodeLocalIntercepts });
    if (isSettled) tell(current);
  };
  const nodes = followNodes(options, times, soon(judge));
  const { promise: looked, resolve: first } = Promise.withResolvers<void>();
  const goRound = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      await looks.look(closing.signal);
      judge();
      first();
      await pause(jittered(times.everyMs), closing.signal);
    }
  };
  const running = goRound().finally(first);
  const settle = async (): Promise<void> => {
    await Promise.all([looked, nodes.settled]);
    isSettled = true;
    judge();
  };
  const settled = settle();
  reporter.metrics.cluster.exposure(() => current);

  let given: { readonly facts: ClusterFacts; readonly made: ClusterFacts } | undefined;
  return {
    get current() {
      return current;
    },
    applyTo(facts) {
      const intercepts = facts.nodeLocal === 'intercepting';
      if (intercepts !== nodeLocalIntercepts) {
        nodeLocalIntercepts = intercepts;
        judge();
      }
      if (given?.facts !== facts || given.made.exposed !== current.exposed) {
        given = { facts, made: { ...facts, exposed: current.exposed } };
      }
      return given.made;
    },
    settled,
    async close() {
      closing.abort();
      await Promise.all([running, nodes.close()]);
    },
  };
}

/** Returns the kernel of a node; undefined for Windows. Nothing else of it is remembered. */
function kernelOf({ status }: KubeObject): string | undefined {
  const { operatingSystem, kernelVersion } = objectAt(status, ['nodeInfo']);
  if (operatingSystem === 'windows') return undefined;
  return typeof kernelVersion === 'string' ? kernelVersion : '';
}

type Reads = Pick<KubeClient, 'request'>;

/** Returns kube-proxy's mode. Rejects if it is unknown because an object could not be read. */
async function kubeProxyMode(client: Reads): Promise<KubeProxy> {
  const sources = await readKubeProxy(client);
  const found = kubeProxyOf(sources);
  const [error] = sources.unread;
  if (found.mode === 'unknown' && error !== undefined) throw error;
  return found;
}

/** A value that is read at intervals. */
interface Kept<T> {
  /** The last value read; undefined if it is older than `staleMs`, or if no read has succeeded. */
  readonly value: T | undefined;
  /** Reads it once. Never rejects. */
  look(client: Reads, signal: AbortSignal): Promise<void>;
}

interface KeptOptions<T> {
  readonly read: (client: Reads) => Promise<T>;
  readonly trouble: Trouble;
  readonly clock: Pick<Clock, 'now'>;
  readonly staleMs: number;
}

function createKept<T>({ read, trouble, clock, staleMs }: KeptOptions<T>): Kept<T> {
  let last: { readonly value: T; readonly at: number } | undefined;
  return {
    get value() {
      return last !== undefined && clock.now() - last.at <= staleMs ? last.value : undefined;
    },
    async look(client, signal) {
      try {
        last = { value: await read(client), at: clock.now() };
        trouble.recovered();
      } catch (error) {
        if (!signal.aborted) trouble.lost(asKubeError(error, 'malformed'));
      }
    },
  };
}

const STAYS = 'what was known stays for ten minutes, then the nodes count as exposed';

/** kube-proxy's mode and the users of NFQUEUE. */
interface Looks {
  /** Reads both. Never rejects. */
  look(signal: AbortSignal): Promise<void>;
  known(): { readonly kubeProxy: KubeProxy | undefined; readonly nfqueue: readonly string[] | undefined };
}

function createLooks(
  { client, clock, reporter = silentReporter }: ClusterExposureOptions,
  times: ExposureTimes,
): Looks {
  const { readMs: timeoutMs, staleMs } = times;
  const proxyTrouble = reporter.trouble(`the mode of kube-proxy cannot be read; ${STAYS}`, 'kube-proxy');
  const listTrouble = reporter.trouble(`the DaemonSets cannot be listed; ${STAYS}`, 'daemonsets');
  const kubeProxy = createKept({ read: kubeProxyMode, trouble: proxyTrouble, clock, staleMs });
  const nfqueue = createKept({ read: readNfqueueUsers, trouble: listTrouble, clock, staleMs });
  return {
    async look(signal) {
      const reads: Reads = { request: (asked) => client.request({ ...asked, signal, timeoutMs }) };
      await Promise.all([kubeProxy.look(reads, signal), nfqueue.look(reads, signal)]);
    },
    known: () => ({ kubeProxy: kubeProxy.value, nfqueue: nfqueue.value }),
  };
}

/** The kernels of the Linux nodes. */
interface Nodes {
  /** Kernel by node name; undefined if the nodes were not read, or if the API server has been silent for `staleMs`. */
  kernels(): ReadonlyMap<string, string> | undefined;
  readonly settled: Promise<unknown>;
  close(): Promise<void>;
}

function followNodes(options: ClusterExposureOptions, { staleMs }: ExposureTimes, onChange: () => void): Nodes {
  const { client, clock, reporter = silentReporter, backoff } = options;
  const { promise: failed, resolve: fail } = Promise.withResolvers<void>();
  const nodes = createReflector<string>({
    client,
    clock,
    path: resourcePath(RESOURCES.nodes),
    streamed: true,
    // Nodes carry the names of all their images.
    pageSize: 100,
    keep: kernelOf,
    onChange: (_, now, before) => now !== before && onChange(),
    onSynced: onChange,
    onError: ({ code }) => void (code !== 'gone' && fail()),
    trouble: reporter.trouble(`the nodes cannot be watched; ${STAYS}`, 'nodes'),
    ...(backoff && { backoff }),
  });
  reporter.metrics.cluster.informer('nodes', () => ({
    synced: nodes.synced,
    items: nodes.items.size,
    contactAt: nodes.contactAt,
  }));
  return {
    kernels: () => (nodes.synced && clock.now() - (nodes.contactAt ?? 0) <= staleMs ? nodes.items : undefined),
    settled: Promise.race([nodes.ready, failed]),
    close: () => nodes.close(),
  };
}

/** Logs each change between exposed and not, with the nodes that make it exposed. */
function flipLog({ log }: Reporter): (exposure: Exposure) => void {
  let said: boolean | undefined;
  return ({ exposed, because, detail, nodes, nodeNames }) => {
    if (said === exposed) return;
    said = exposed;
    const message = exposed
      ? `exposure auto: Pods are patched, for ${detail}`
      : `exposure auto: no Pod is patched, for ${detail}`;
    log.info({ exposed, because, nodes, nodeNames }, message);
  };
}

/** Returns a function that has `run` called once for all its calls of one turn: a new list tells of one node after the other. */
function soon(run: () => void): () => void {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      run();
    });
  };
}

/** Returns the DaemonSets that are known to use NFQUEUE: `kindnet (DaemonSet kube-system/kindnet)`. Rejects with `KubeError`. */
export async function readNfqueueUsers(client: Pick<KubeClient, 'request'>): Promise<readonly string[]> {
  return await listAll(client, RESOURCES.daemonSets, { most: MOST }, userOf);
}

const containers = z
  .array(z.object({ image: z.string().default('') }))
  .nullish()
  .transform((all) => all ?? []);

/** The fields of an apps/v1 DaemonSet that identify its product. */
const daemonSet = z.object({
  metadata: z.object({ namespace: z.string(), name: z.string() }),
  spec: z.object({ template: z.object({ spec: z.object({ containers, initContainers: containers }) }) }),
});

/** Most users of NFQUEUE that are returned: the judgement needs only one. */
const MOST = 100;

function userOf(object: unknown): string | undefined {
  const { metadata, spec } = shaped(daemonSet, object, 'DaemonSet');
  const { containers: main, initContainers } = spec.template.spec;
  const images = [...main, ...initContainers].map(({ image }) => image);
  const product = nfqueueProduct({ name: metadata.name, images });
  return product && `${product} (DaemonSet ${metadata.namespace}/${metadata.name})`;
}
