import { LRUCache } from 'lru-cache';

import { createSlots } from '../detection/flights.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import type { PodView } from '../policy/model.ts';
import type { Clock } from '../util/clock.ts';
import { createCoalescer } from '../util/coalesce.ts';
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
  /** Told of each object that could not be read, when it is tried and not when its failure is remembered. */
  readonly onProblem: (problem: PullSecretProblem) => void;
}

export interface PullSecrets {
  /**
   * The logins that the kubelet would have for this Pod: those of its imagePullSecrets, in their order; of its service
   * account's where it names none, which is when the API server copies them. Only Secrets of `namespace` are read, the
   * namespace of the request. Never rejects: what cannot be read is left out, for the image may be public.
   * (kubelet pkg/credentialprovider/secrets, kube-apiserver plugin/pkg/admission/serviceaccount)
   */
  readonly of: (
    pod: Pick<PodView, 'imagePullSecrets' | 'serviceAccountName'>,
    namespace: string,
  ) => Promise<readonly PullLogin[]>;
  /** Ends what is being read. */
  readonly close: () => void;
}

/** One Pod's share. The kubelet has no such limit; nobody needs more. */
const MOST_SECRETS = 16;
const MOST_LOGINS = 500;
/** A Secret that changed counts a minute later; one that was missing is soon looked for again, as the kubelet does. */
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
  readonly tell: (problem: PullSecretProblem | undefined) => void;
  readonly signal: AbortSignal;
}

export function createPullSecrets({ client, readers, clock, onProblem }: PullSecretsOptions): PullSecrets {
  const ending = new AbortController();
  const common = { ...KEEP, clock, closing: ending.signal };
  const parts: Parts = {
    api: createPullSecretApi(client, readers),
    secrets: createObjectMemory({ ...common, characters: CHARACTERS.secrets, sizeOf: loginsSize }),
    serviceAccounts: createObjectMemory({ ...common, characters: CHARACTERS.serviceAccounts, sizeOf: namesSize }),
    tell: (problem) => problem && onProblem(problem),
    signal: ending.signal,
  };
  return {
    async of({ imagePullSecrets, serviceAccountName }, namespace) {
      if (!isObjectName(namespace)) return [];
      const own = secretNames(parts, imagePullSecrets, `a Pod in namespace ${namespace}`, namespace);
      const names = own.length > 0 ? own : await serviceAccountSecrets(parts, namespace, serviceAccountName);
      const found = await Promise.all(names.map(async (name) => await secretLogins(parts, namespace, name)));
      return found.flat().slice(0, MOST_LOGINS);
    },
    close: () => ending.abort(new Error('shutting down')),
  };
}

/** The names that are read, of those listed: valid ones, each once, the first few. */
function secretNames({ tell }: Parts, listed: readonly string[], owner: string, namespace: string): readonly string[] {
  const names = [...new Set(listed.filter(isObjectName))];
  if (names.length > MOST_SECRETS) {
    const message = `${owner} names ${names.length} pull secrets: only the first ${MOST_SECRETS} are read`;
    tell({ namespace, code: 'too-many', message });
  }
  return names.slice(0, MOST_SECRETS);
}

async function serviceAccountSecrets(parts: Parts, namespace: string, name: string): Promise<readonly string[]> {
  if (!isObjectName(name)) return [];
  const read = async (): Promise<ReadObject<readonly string[]>> => {
    const account = await parts.api.serviceAccount(namespace, name, parts.signal);
    parts.tell(account.problem);
    return { ...account, value: secretNames(parts, account.value, `ServiceAccount ${namespace}/${name}`, namespace) };
  };
  const account = parts.serviceAccounts.get(`${namespace}/${name}`, read);
  return (await account?.catch(() => undefined))?.value ?? [];
}

async function secretLogins(parts: Parts, namespace: string, name: string): Promise<readonly PullLogin[]> {
  const read = async (): Promise<ReadObject<readonly PullLogin[]>> => {
    const secret = await parts.api.secret(namespace, name, parts.signal);
    parts.tell(secret.problem);
    return secret;
  };
  const secret = parts.secrets.get(`${namespace}/${name}`, read);
  if (secret === undefined) {
    const message = `Secret ${namespace}/${name}: not read, for too many others are being read`;
    parts.tell({ namespace, code: 'unavailable', message });
  }
  return (await secret?.catch(() => undefined))?.value ?? [];
}

interface ObjectMemoryOptions<T> {
  /** Milliseconds for which what was read is used again. */
  readonly keepMs: number;
  /** The same where it was not there or of no use. */
  readonly keepFailureMs: number;
  /** Most characters that are held, over all objects. */
  readonly characters: number;
  readonly sizeOf: (value: T) => number;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Ends all reading. */
  readonly closing: AbortSignal;
}

/** Objects of the API that were read a moment ago. */
export interface ObjectMemory<T> {
  /**
   * The object of this key, by `read` where it is not remembered: once, for all who ask while it is under way. Undefined
   * where too many others are being read. Rejects with what `read` rejects with.
   */
  get(key: string, read: () => Promise<ReadObject<T>>): Promise<ReadObject<T>> | undefined;
}

/** Reads under way at once, and waiting: whoever creates Pods chooses how many objects are asked for. */
const AT_ONCE = 8;
const WAITING = 500;
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
  const slots = createSlots(AT_ONCE, WAITING);
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
      const slot = slots.enter(options.closing);
      if (slot === undefined) return undefined;
      return reads.run(key, async () => {
        const release = await slot;
        return keep(key, await read().finally(release));
      });
    },
  };
}
