import type { KubeClient, KubeRequest, WatchEvent } from '../../../src/kubernetes/client.ts';
import { KubeError, type KubeErrorCode } from '../../../src/kubernetes/errors.ts';
import { type KubeObject, objectKey } from '../../../src/kubernetes/objects.ts';

/** Collections of an API server in memory, that can be listed in pages and watched. */
export function workloadApi() {
  const collections = new Map<string, Map<string, KubeObject>>();
  const watchers = new Map<string, Set<(event: WatchEvent) => void>>();
  const failures = new Map<string, KubeErrorCode>();
  const calls: string[] = [];
  let version = 0;

  const at = (path: string): Map<string, KubeObject> => {
    const found = collections.get(path) ?? new Map<string, KubeObject>();
    collections.set(path, found);
    return found;
  };
  const fail = (path: string): void => {
    const code = failures.get(path);
    if (code !== undefined) throw new KubeError(code, `${path}: ${code}`);
  };

  const request = async ({ path, query = {} }: KubeRequest): Promise<unknown> => {
    calls.push(path);
    await Promise.resolve();
    fail(path);
    const [, base = '', namespace, plural = ''] = /^(.*)\/namespaces\/([^/]+)(\/.+)$/.exec(path) ?? [];
    const all = [...at(namespace === undefined ? path : base + plural).values()];
    const chosen = all.filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace);
    const from = Number(query['continue'] ?? 0);
    const to = from + Number(query['limit']);
    if (from > 0) fail(`${path} page 2`);
    const more = to < chosen.length ? { continue: String(to) } : {};
    return { metadata: { resourceVersion: String(version), ...more }, items: chosen.slice(from, to) };
  };

  async function* watch({ path, signal, onOpen }: Parameters<KubeClient['watch']>[0]): AsyncGenerator<WatchEvent> {
    fail(path);
    onOpen?.();
    const waiting: WatchEvent[] = [];
    let wake = (): void => {};
    const listener = (event: WatchEvent): void => {
      waiting.push(event);
      wake();
    };
    const listeners = watchers.get(path) ?? new Set();
    watchers.set(path, listeners.add(listener));
    const ended = new Promise<'ended'>((resolve) => {
      signal?.addEventListener('abort', () => resolve('ended'));
    });
    for (let last: unknown; last !== 'ended';) {
      yield* waiting.splice(0);
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      last = await Promise.race([ended, woken]);
    }
    listeners.delete(listener);
  }

  const change = (path: string, type: WatchEvent['type'], object: KubeObject): void => {
    version += 1;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    if (type === 'DELETED') at(path).delete(objectKey(object));
    else at(path).set(objectKey(object), stored);
    for (const tell of watchers.get(path) ?? []) tell({ type, object: stored });
  };

  const client = { server: '', request, watch, close: async () => {} } as unknown as KubeClient;
  return { client, calls, failures, change, watchers };
}

export const DEPLOYMENTS = '/apis/apps/v1/deployments';
export const CRON_JOBS = '/apis/batch/v1/cronjobs';

export function deployment(name: string, image: string, more: object = {}): KubeObject {
  return {
    metadata: { name, namespace: 'shop' },
    spec: { template: { metadata: {}, spec: { containers: [{ name: 'web', image }] } } },
    ...more,
  };
}
