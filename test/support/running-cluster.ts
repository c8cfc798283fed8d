import type { KubeClient } from '../../src/kubernetes/client.ts';
import { isKubeError } from '../../src/kubernetes/errors.ts';

interface Named {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid?: string };
}

/** Keeps what is somebody else's in a running cluster: tests may change and delete only what they created. */
export interface RunningCluster {
  /** Records what its calls create. */
  readonly client: KubeClient;
  /** Takes objects for the tests, which are about to create them. Rejects if one is there already, and nobody here created it. */
  readonly claim: (...objects: readonly object[]) => Promise<void>;
  /** Deletes what was created, the last first, and waits until it is gone: the next file uses the same names. */
  readonly removeAll: () => Promise<void>;
}

/** See `TestCluster`. */
type Kubectl = (args: readonly string[], stdin?: string) => Promise<string>;

const REMOVAL = ['delete', '--ignore-not-found', '--wait=true', '--timeout=180s'] as const;

const keyOf = ({ apiVersion, kind, metadata }: Named): string =>
  `${apiVersion.replace(/\/.*/, '')} ${kind} ${metadata.namespace ?? ''} ${metadata.name}`;

export function guardRunningCluster(client: KubeClient, kubectl: Kubectl): RunningCluster {
  const made = new Map<string, Named>();

  async function exists(object: Named): Promise<boolean> {
    try {
      const args = ['get', '--ignore-not-found', '-o', 'name', '-f', '-'];
      return (await kubectl(args, JSON.stringify(object))) !== '';
    } catch (error) {
      // The kind is not installed.
      if (error instanceof Error && /no matches for kind|could not find the requested resource/.test(error.message))
        return false;
      // The namespace is not there yet.
      if (error instanceof Error && error.message.includes('NotFound')) return false;
      throw error;
    }
  }

  return {
    client: {
      ...client,
      async request<T>(request: Parameters<KubeClient['request']>[0]): Promise<T> {
        const answer = await client.request<T>(request);
        const object = answer as Partial<Named> | undefined;
        // Reviews and tokens are answered, and not kept.
        if (request.method === 'POST' && object?.metadata?.uid !== undefined && object.kind !== undefined) {
          made.set(keyOf(object as Named), object as Named);
        }
        return answer;
      },
    },
    async claim(...objects) {
      for (const object of objects as Named[]) {
        const key = keyOf(object);
        if (made.has(key)) continue;
        if (await exists(object)) {
          const { kind, metadata } = object;
          const name = metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
          throw new Error(
            `${kind} ${name} is in this cluster already: the tests do not touch what they did not create`,
          );
        }
        made.set(key, object);
      }
    },
    async removeAll() {
      const all = [...made.values()].toReversed();
      const isNamespace = ({ kind }: Named): boolean => kind === 'Namespace';
      const ours = new Set(all.filter(isNamespace).map(({ metadata }) => metadata.name));
      for (const { apiVersion, kind, metadata } of all) {
        const { name, namespace } = metadata;
        // It goes with its namespace.
        if (kind === 'Namespace' || (namespace !== undefined && ours.has(namespace))) continue;
        const object = { apiVersion, kind, metadata: { name, ...(namespace !== undefined && { namespace }) } };
        await kubectl([...REMOVAL, '-f', '-'], JSON.stringify(object)).catch((error: unknown) => {
          if (!(error instanceof Error && error.message.includes('no matches for kind'))) throw error;
        });
      }
      // All at once: each takes some seconds.
      if (ours.size > 0) await kubectl([...REMOVAL, 'namespace', ...ours]);
      made.clear();
    },
  };
}

/** Creates an object; one that is there already stays. Resolves to true if it was created. */
export async function createUnlessThere(client: KubeClient, path: string, body: object): Promise<boolean> {
  try {
    await client.request({ method: 'POST', path, body });
    return true;
  } catch (error) {
    if (isKubeError(error, 'conflict')) return false;
    throw error;
  }
}
