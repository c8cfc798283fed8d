import { z } from 'zod';

import type { KubeClient, KubeRequest } from '../kubernetes/client.ts';
import { KubeError } from '../kubernetes/errors.ts';
import { followObject } from '../kubernetes/follow-object.ts';
import { type KubeObject, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import type { Clock } from '../util/clock.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import type { CaData, CaStore, Stored, Written } from './shared-ca.ts';

interface CaSecretOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  readonly clock: Pick<Clock, 'now'>;
  /** Labels that a new Secret gets in addition to our own. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly reporter?: Reporter;
}

/** Marks the Secret as ours to write. Without it, a Secret that holds no CA belongs to somebody else. */
const LABEL = { 'app.kubernetes.io/managed-by': 'libc-dns-webhook' };

/** The annotation by which a person asks for a new CA; any value except the empty one. */
const ROTATE = 'libc-dns.dev/rotate';

const secret = z.object({ data: z.record(z.string(), z.string()).nullish() });

/**
 * Stores the CAs that replicas share in a Secret. It is listed and watched by its name alone, created with POST, and changed
 * with merge patches that apply only to the resourceVersion they were made for.
 */
export function caSecret(options: CaSecretOptions): CaStore {
  const { client, namespace, name, clock, labels, reporter = silentReporter } = options;
  const collection = resourcePath(RESOURCES.secrets, undefined, namespace);
  const path = resourcePath(RESOURCES.secrets, name, namespace);
  const followed = followObject<Stored>({
    client,
    resource: RESOURCES.secrets,
    name,
    namespace,
    clock,
    unseen: { state: 'unseen' },
    read,
    onTrouble: (seen, { message }) => (seen.state === 'present' ? seen : { state: seen.state, problem: message }),
    trouble: reporter.trouble(`the Secret ${name} cannot be watched`, 'ca'),
  });

  return {
    get seen() {
      return followed.seen;
    },
    get inContact() {
      return followed.inContact;
    },
    onChange: (listener) => followed.onChange(listener),
    create: (data) => {
      const metadata = { name, namespace, labels: { ...labels, ...LABEL } };
      // A null would be stored as an empty value here.
      const present = Object.fromEntries(Object.entries(encode(data)).filter(([, text]) => text !== null));
      return write(client, { method: 'POST', path: collection, body: { metadata, type: 'Opaque', data: present } });
    },
    replace: (resourceVersion, data, answered) => {
      const annotations = answered ? { [ROTATE]: null } : {};
      const body = { metadata: { resourceVersion, labels: LABEL, annotations }, data: encode(data) };
      return write(client, { method: 'PATCH', path, contentType: 'application/merge-patch+json', body });
    },
    close: () => followed.close(),
  };
}

function read(object: KubeObject | undefined): Stored {
  if (object === undefined) return { state: 'absent' };
  const { metadata } = object;
  const data = secret.safeParse(object).data?.data ?? {};
  const [[label, value]] = Object.entries(LABEL) as [[string, string]];
  return {
    state: 'present',
    version: metadata.resourceVersion ?? '',
    data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64').toString()])),
    ours: metadata.labels?.[label] === value,
    asked: (metadata.annotations?.[ROTATE] ?? '') !== '',
  };
}

const encode = (data: CaData): Record<string, string | null> =>
  Object.fromEntries(
    Object.entries(data).map(([key, text]) => [key, text === undefined ? null : Buffer.from(text).toString('base64')]),
  );

const withoutBase64 = (text: string): string => text.replaceAll(/[A-Za-z0-9+/=]{40,}/g, '[…]');

/** Removes long runs of base64 from the message: a policy engine or a proxy may quote the request, keys included. */
function withoutKeys(error: unknown): unknown {
  if (!(error instanceof KubeError)) return error;
  const { code, message, status, reason, call } = error;
  return new KubeError(code, withoutBase64(message), {
    ...(status !== undefined && { status }),
    ...(reason !== undefined && { reason: withoutBase64(reason) }),
    ...(call !== undefined && { call }),
  });
}

async function write(client: KubeClient, request: KubeRequest): Promise<Written> {
  try {
    await client.request({ ...request, query: { fieldManager: 'libc-dns-webhook' } });
    return 'written';
  } catch (error) {
    const code = error instanceof KubeError ? error.code : undefined;
    if (code === 'conflict' || (code === 'not-found' && request.method === 'PATCH')) return 'conflict';
    throw withoutKeys(error);
  }
}
