import type { KubeClient } from './client.ts';
import { asKubeError, isKubeError, type KubeError } from './errors.ts';
import { type Resource, resourcePath } from './objects.ts';

export interface ObjectReaderOptions {
  readonly client: KubeClient;
  readonly resource: Resource;
  /** `namespace/name`. */
  readonly name: string;
  readonly timeoutMs: number;
  /** The object cannot be read, or not understood. Once, until it can. */
  readonly onUnreadable: (error: KubeError) => void;
  readonly onReadable: () => void;
}

/** One object of the API, read again and again: a GET by name needs fewer rights than a watch. */
export interface ObjectReader {
  /** Whether the last read told something, be it that there is no such object. */
  readonly readable: boolean;
  /** Hands the object to `use`; undefined: there is none. Never rejects: what cannot be read is not handed over. */
  read(signal: AbortSignal, use: (object: unknown) => void): Promise<void>;
}

export function createObjectReader(options: ObjectReaderOptions): ObjectReader {
  const { client, resource, timeoutMs } = options;
  const [namespace, name] = options.name.split('/', 2);
  const path = resourcePath(resource, name, namespace);
  let failing = false;

  async function get(signal: AbortSignal): Promise<unknown> {
    try {
      return await client.request({ path, timeoutMs, signal });
    } catch (error) {
      if (isKubeError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  return {
    get readable() {
      return !failing;
    },
    async read(signal, use) {
      try {
        use(await get(signal));
        if (failing) options.onReadable();
        failing = false;
      } catch (error) {
        if (signal.aborted) return;
        const known = asKubeError(error, 'malformed');
        if (!failing) options.onUnreadable(known);
        failing = true;
      }
    },
  };
}
