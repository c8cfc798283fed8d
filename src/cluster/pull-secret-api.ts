import { z } from 'zod';

import type { Credential } from '../detection/image-source.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { KubeError } from '../kubernetes/errors.ts';
import { resourcePath, RESOURCES } from '../kubernetes/objects.ts';

/** A registry login and the registry it is for, as a docker config file's `auths` has them. */
export interface PullLogin {
  readonly host: string;
  readonly credential: Credential;
}

/** Reads the text of a docker config file. Never throws; `problems` are in words that hold no login. */
type ReadLogins = (json: string) => {
  readonly auths: readonly PullLogin[];
  readonly problems: readonly string[];
};

/** Readers for the two formats of pull secrets. */
export interface LoginReaders {
  /** A Secret's `.dockerconfigjson`. */
  readonly dockerConfig: ReadLogins;
  /** A Secret's `.dockercfg`. */
  readonly legacyDockerConfig: ReadLogins;
}

/**
 * Why an object gave nothing, or not everything. `invalid`: it has the wrong type or content · `too-many`: only part of it
 * is read · `unavailable`: the API server did not answer.
 */
type PullSecretCode = 'not-found' | 'forbidden' | 'invalid' | 'too-many' | 'unavailable';

/** Why something could not be read. The message holds nothing of a Secret's content. */
export interface PullSecretProblem {
  readonly namespace: string;
  readonly code: PullSecretCode;
  /** Begins with the object's name: `Secret shop/regcred: …`. */
  readonly message: string;
}

/** The result of reading one object. */
export interface ReadObject<T> {
  readonly value: T;
  /** Whether the object exists and is usable. */
  readonly good: boolean;
  readonly problem?: PullSecretProblem;
}

/** Milliseconds for one object. Longer than any Pod waits, for the next Pod needs it too. */
const TIMEOUT_MS = 5000;
const MOST_LOGINS = 500;
const MOST_MESSAGE = 300;
const MOST_PROBLEM = 200;

const secretSchema = z.object({
  type: z.string().catch(''),
  data: z.record(z.string(), z.unknown()).nullish().catch(undefined),
});
const serviceAccountSchema = z.object({
  imagePullSecrets: z.array(z.object({ name: z.string().catch('') })).nullish(),
});

const codes: Partial<Record<KubeError['code'], PullSecretCode>> = {
  'not-found': 'not-found',
  forbidden: 'forbidden',
  unauthorized: 'forbidden',
  malformed: 'invalid',
};

const advice: Readonly<Record<PullSecretCode, string>> = {
  'not-found': 'it is not there: images are looked at without it',
  forbidden: 'it may not be read: grant get on it, see docs/pull-secrets.md',
  invalid: 'it is not what was expected',
  'too-many': 'not all of it is read',
  unavailable: 'it could not be read',
};

/** Reads objects of a namespace. Check names with `isObjectName` first. */
export interface PullSecretApi {
  /** Returns the logins in a Secret. Rejects only with the signal's reason. */
  secret(namespace: string, name: string, signal: AbortSignal): Promise<ReadObject<readonly PullLogin[]>>;
  /** Returns the names in a service account's imagePullSecrets. Rejects only with the signal's reason. */
  serviceAccount(namespace: string, name: string, signal: AbortSignal): Promise<ReadObject<readonly string[]>>;
}

/**
 * Reports whether a name is a DNS subdomain (RFC 1123) and may be used in a path. Admission comes before validation: a Pod
 * may name `..` or `../../other/secrets/x` here.
 */
export function isObjectName(name: string): boolean {
  return name.length <= 253 && /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/.test(name);
}

export function createPullSecretApi(client: Pick<KubeClient, 'request'>, readers: LoginReaders): PullSecretApi {
  const get = async <T>(
    kind: 'Secret' | 'ServiceAccount',
    [namespace, name]: readonly [string, string],
    signal: AbortSignal,
    read: (object: unknown, about: Subject) => ReadObject<T | undefined>,
  ): Promise<ReadObject<T | undefined>> => {
    const about = { namespace, name: `${kind} ${namespace}/${name}` };
    const resource = kind === 'Secret' ? RESOURCES.secrets : RESOURCES.serviceAccounts;
    try {
      const path = resourcePath(resource, name, namespace);
      return read(await client.request<unknown>({ path, timeoutMs: TIMEOUT_MS, signal }), about);
    } catch (error) {
      signal.throwIfAborted();
      return { value: undefined, good: false, problem: problemOf(error, about) };
    }
  };
  return {
    async secret(namespace, name, signal) {
      const read = await get('Secret', [namespace, name], signal, (object, about) =>
        readSecret(object, about, readers),
      );
      return { ...read, value: read.value ?? [] };
    },
    async serviceAccount(namespace, name, signal) {
      const read = await get('ServiceAccount', [namespace, name], signal, readServiceAccount);
      return { ...read, value: read.value ?? [] };
    },
  };
}

interface Subject {
  readonly namespace: string;
  readonly name: string;
}

function withProblem(
  code: PullSecretCode,
  { namespace, name }: Subject,
  detail = '',
): { readonly problem: PullSecretProblem } {
  const message = `${name}: ${advice[code]}${detail === '' ? '' : ` (${detail.slice(0, MOST_MESSAGE)})`}`;
  return { problem: { namespace, code, message } };
}

function problemOf(error: unknown, about: Subject): PullSecretProblem {
  // Only the API server's own words: other errors, and causes, may quote the content that could not be parsed.
  if (!(error instanceof KubeError)) return withProblem('unavailable', about).problem;
  const code = codes[error.code] ?? 'unavailable';
  return withProblem(code, about, code === 'not-found' ? '' : error.message).problem;
}

function readSecret(object: unknown, about: Subject, readers: LoginReaders): ReadObject<readonly PullLogin[]> {
  const parsed = secretSchema.safeParse(object);
  const { type = '', data } = parsed.data ?? {};
  const form = formOf(type, readers);
  if (form === undefined) {
    const expected = 'expected the type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg';
    return { value: [], good: false, ...withProblem('invalid', about, expected) };
  }
  const encoded = data?.[form.key];
  if (typeof encoded !== 'string') {
    return { value: [], good: false, ...withProblem('invalid', about, `it has no ${form.key}`) };
  }
  const { auths, problems } = form.read(Buffer.from(encoded, 'base64').toString('utf8'));
  const value = auths.slice(0, MOST_LOGINS);
  if (problems.length === 0) return { value, good: true };
  const more = problems.length > 1 ? `; ${problems.length - 1} more like this` : '';
  const first = withoutLogin(problems[0] ?? '');
  return { value, good: value.length > 0, ...withProblem('invalid', about, `${form.key}: ${first}${more}`) };
}

/** Cuts a problem, and removes logins from it: it quotes a registry's name, which may be a URL that holds a login. */
function withoutLogin(problem: string): string {
  const start = problem.slice(0, MOST_PROBLEM).replaceAll(/(?<=")[^"]*@/g, '…@');
  return problem.length > MOST_PROBLEM ? start.replace(/(?<=")[^"]*$/, '…') : start;
}

function formOf(type: string, readers: LoginReaders): { readonly key: string; readonly read: ReadLogins } | undefined {
  if (type === 'kubernetes.io/dockerconfigjson') return { key: '.dockerconfigjson', read: readers.dockerConfig };
  if (type === 'kubernetes.io/dockercfg') return { key: '.dockercfg', read: readers.legacyDockerConfig };
  return undefined;
}

function readServiceAccount(object: unknown, about: Subject): ReadObject<readonly string[]> {
  const parsed = serviceAccountSchema.safeParse(object);
  if (!parsed.success) return { value: [], good: false, ...withProblem('invalid', about) };
  return { value: (parsed.data.imagePullSecrets ?? []).map(({ name }) => name), good: true };
}
