import { LRUCache } from 'lru-cache';

import type { KubeClient } from '../kubernetes/client.ts';
import type { PodView } from '../policy/model.ts';
import type { Clock } from '../util/clock.ts';
import { createCoalescer } from '../util/coalesce.ts';
import { createFairSlots } from '../util/limits/fair-slots.ts';
import {
  createPullSecretApi,
  isObjectName,
  type LoginReaders,
  type PullLogin,
  type PullSecretApi,
  type PullSecretProblem,
  type ReadObject,
} from './pull-secret-api.ts';

interface PullSecretsOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly readers: LoginReaders;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Called for each read that failed, not each time that a remembered failure is used. */
  readonly onProblem: (problem: PullSecretProblem) => void;
}

export interface PullSecrets {
  /**
   * Returns the logins that the kubelet would have for this Pod: from its imagePullSecrets, in their order; if it names
   * none, from its service account's, which the API server copies in that case. Reads only Secrets of `namespace`, the
   * namespace of the request. Never rejects: logins that cannot be read are left out, for the image may be public.
   * (kubelet pkg/credentialprovider/secrets, kube-apiserver plugin/pkg/admission/serviceaccount)
   */
  readonly loginsOf: (
    pod: Pick<PodView, 'imagePullSecrets' | 'serviceAccountName'>,
    namespace: string,
  ) => Promise<readonly PullLogin[]>;
  /** Aborts all reads. */
  readonly close: () => void;
}

/** Most pull secrets and logins of one Pod. The kubelet has no such limit; no Pod needs more. */
const MOST_SECRETS = 16;
const MOST_LOGINS = 500;
/** A changed Secret is noticed within a minute; a missing one is looked for again sooner, as the kubelet does. */
const KEEP = { keepMs: 60_000, keepFailureMs: 10_000 } as const;
const CHARACTERS = { secrets: 8 << 20, serviceAccounts: 1 << 20 } as const;

const loginsSize = (logins: readonly PullLogin[]): number =>
  logins.reduce((sum, { host, credential }) => sum + OWN_SIZE + host.length + credentialSize(credential), 0);
const OWN_SIZE = 100;
const credentialSize = (credential: PullLogin['credential']): number =>
  Object.values(credential).reduce((sum, text: string) => sum + text.length, 0);
const namesSize = (names: readonly string[]): number => names.reduce((sum, name) => sum + OWN_SIZE + name.length, 0);

interface Parts {
  readonly api: PullSecretApi;
  readonly secrets: ObjectMemory<readonly PullLogin[]>;
  readonly serviceAccounts: ObjectMemory<readonly string[]>;
  readonly report: (problem: PullSecretProblem | undefined) => void;
  readonly signal: AbortSignal;
}

export function createPullSecrets({ client, readers, clock, onProblem }: PullSecretsOptions): PullSecrets {
  const ending = new AbortController();
  const common = { ...KEEP, clock, closing: ending.signal };
  const parts: Parts = {
    api: createPullSecretApi(client, readers),
    secrets: createObjectMemory({ ...common, characters: CHARACTERS.secrets, sizeOf: loginsSize }),
    serviceAccounts: createObjectMemory({ ...common, characters: CHARACTERS.serviceAccounts, sizeOf: namesSize }),
    report: (problem) => problem && onProblem(problem),
    signal: ending.signal,
  };
  return {
    async loginsOf({ imagePullSecrets, serviceAccountName }, namespace) {
      if (!isObjectName(namespace)) return [];
      const own = secretNames(parts, imagePullSecrets, `a Pod in namespace ${namespace}`, namespace);
      const names = own.length > 0 ? own : await serviceAccountSecrets(parts, namespace, serviceAccountName);
      const found = await Promise.all(names.map(async (name) => await secretLogins(parts, namespace, name)));
      return found.flat().slice(0, MOST_LOGINS);
    },
    close: () => ending.abort(new Error('shutting down')),
  };
}

/** Returns the listed names that are read: valid ones, without duplicates, the first `MOST_SECRETS`. */
function secretNames(
  { report }: Parts,
  listed: readonly string[],
  owner: string,
  namespace: string,
): readonly string[] {
  const names = [...new Set(listed.filter(isObjectName))];
  if (names.length > MOST_SECRETS) {
    const message = `${owner} names ${names.length} pull secrets: only the first ${MOST_SECRETS} are read`;
    report({ namespace, code: 'too-many', message });
  }
  return names.slice(0, MOST_SECRETS);
}

async function serviceAccountSecrets(parts: Parts, namespace: string, name: string): Promise<readonly string[]> {
  if (!isObjectName(name)) return [];
  const read = async (): Promise<ReadObject<readonly string[]>> => {
    const account = await parts.api.serviceAccount(namespace, name, parts.signal);
    parts.report(account.problem);
    return { ...account, value: secretNames(parts, account.value, `ServiceAccount ${namespace}/${name}`, namespace) };
  };
  const account = parts.serviceAccounts.get(`${namespace}/${name}`, read);
  return (await account?.catch(() => undefined))?.value ?? [];
}

async function secretLogins(parts: Parts, namespace: string, name: string): Promise<readonly PullLogin[]> {
  const read = async (): Promise<ReadObject<readonly PullLogin[]>> => {
    const secret = await parts.api.secret(namespace, name, parts.signal);
    parts.report(secret.problem);
    return secret;
  };
  const secret = parts.secrets.get(`${namespace}/${name}`, read);
  if (secret === undefined) {
    const message = `Secret ${namespace}/${name}: not read, for too many others are being read`;
    parts.report({ namespace, code: 'unavailable', message });
  }
  return (await secret?.catch(() => undefined))?.value ?? [];
}

interface ObjectMemoryOptions<T> {
  /** Milliseconds for which an object is remembered. */
  readonly keepMs: number;
  /** Milliseconds for which a missing or unusable object is remembered as such. */
  readonly keepFailureMs: number;
  /** Most characters that are remembered, over all objects. */
  readonly characters: number;
  readonly sizeOf: (value: T) => number;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Aborts all reads. */
  readonly closing: AbortSignal;
}

/** Remembers objects of the API for a short time. */
export interface ObjectMemory<T> {
  /**
   * Returns the object of this key (`namespace/name`; namespaces share the reads), from memory or else by `read`; concurrent calls
   * share one read. Returns undefined if too many others are being read. Rejects with what `read` rejects with.
   */
  get(key: string, read: () => Promise<ReadObject<T>>): Promise<ReadObject<T>> | undefined;
}

/** Most reads at a time, and most that wait: Pods choose how many objects are asked for. */
const CONCURRENCY = 8;
const MOST_WAITING = 500;
const MOST_OBJECTS = 5000;
const ENTRY_SIZE = 200;

export function createObjectMemory<T>(options: ObjectMemoryOptions<T>): ObjectMemory<T> {
  const { clock, sizeOf } = options;
  const kept = new LRUCache<string, ReadObject<T> & { readonly until: number }>({
    max: MOST_OBJECTS,
    maxSize: options.characters,
    sizeCalculation: ({ value }, key) => ENTRY_SIZE + key.length + sizeOf(value),
  });
  const reads = createCoalescer<ReadObject<T>>();
  const slots = createFairSlots({ places: CONCURRENCY, queue: MOST_WAITING, first: 'newest' });
  const keep = (key: string, object: ReadObject<T>): ReadObject<T> => {
    const until = clock.monotonic() + (object.good ? options.keepMs : options.keepFailureMs);
    kept.set(key, { ...object, until });
    return object;
  };
  return {
    get(key, read) {
      const known = kept.get(key);
      if (known !== undefined && known.until > clock.monotonic()) return Promise.resolve(known);
      const shared = reads.get(key);
      if (shared !== undefined) return shared;
      const [namespace] = key.split('/', 1);
      const slot = slots.enter(namespace, options.closing);
      if (slot === undefined) return undefined;
      return reads.run(key, async () => {
        const release = await slot.entered;
        if (release === undefined) throw new Error('not read: too many others are being read');
        return keep(key, await read().finally(release));
      });
    },
  };
}
