import { z } from 'zod';

import type { KubeClient } from '../kubernetes/client.ts';
import { isKubeError } from '../kubernetes/errors.ts';
import { followObject } from '../kubernetes/follow-object.ts';
import { type KubeObject, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import type { Clock } from '../util/clock.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import type { Registration, TrustBundle } from './trust-bundle.ts';

interface WebhookRegistrationOptions {
  readonly client: KubeClient;
  /** The name of the MutatingWebhookConfiguration. */
  readonly name: string;
  /** Our Service. Entries that call another Service are left alone. */
  readonly service: { readonly namespace: string; readonly name: string };
  readonly clock: Pick<Clock, 'now'>;
  readonly reporter?: Reporter;
}

/** Follows and patches our MutatingWebhookConfiguration by its name alone; never creates it. */
export function webhookRegistration(options: WebhookRegistrationOptions): TrustBundle {
  const { client, name, service, clock, reporter = silentReporter } = options;
  const path = resourcePath(RESOURCES.webhookConfigurations, name);
  const followed = followObject<SeenRegistration>({
    client,
    resource: RESOURCES.webhookConfigurations,
    name,
    clock,
    unseen: { registration: { state: 'unseen' }, entries: [] },
    read: (object) => read(object, service),
    onTrouble: (seen, { message }) =>
      seen.registration.state === 'unseen' ? { ...seen, registration: { state: 'unseen', problem: message } } : seen,
    trouble: reporter.trouble(`the MutatingWebhookConfiguration ${name} cannot be watched`, 'registration'),
  });

  let loggedEntries: number | 'nothing' | undefined = 'nothing';
  followed.onChange(() => {
    const { registration, entries } = followed.seen;
    if (registration.state === 'unseen') return;
    const count = registration.state === 'present' ? entries.length : undefined;
    if (count !== loggedEntries) logEntries(options, count);
    loggedEntries = count;
  });

  return {
    get seen() {
      return followed.seen.registration;
    },
    onChange: (listener) => followed.onChange(listener),
    async replace(version, bundles) {
      const body = patchFor(followed.seen, version, bundles);
      const query = { fieldManager: 'libc-dns-webhook' };
      try {
        await client.request({ method: 'PATCH', path, query, contentType: 'application/json-patch+json', body });
        return 'written';
      } catch (error) {
        // Not found: we are being uninstalled.
        if (isKubeError(error, 'conflict', 'not-found')) return 'conflict';
        throw error;
      }
    },
    close: () => followed.close(),
  };
}

const configuration = z.object({
  webhooks: z
    .array(
      z.object({
        name: z.string(),
        clientConfig: z.object({
          caBundle: z.string().nullish(),
          service: z.object({ namespace: z.string(), name: z.string() }).nullish(),
        }),
      }),
    )
    .nullish(),
});

type Entry = NonNullable<z.infer<typeof configuration>['webhooks']>[number];

/** Returns the certificates of a PEM text one by one; ignores any text between them. */
export function splitCertificates(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

interface SeenRegistration {
  readonly registration: Registration;
  /** Index in the list, and name, of each entry that calls us. */
  readonly entries: readonly { readonly index: number; readonly name: string }[];
}

/** Reports whether an entry calls us. An entry with a URL does: it is in our own configuration. */
function callsUs({ clientConfig: { service } }: Entry, ours: WebhookRegistrationOptions['service']): boolean {
  return !service || (service.name === ours.name && service.namespace === ours.namespace);
}

function read(object: KubeObject | undefined, service: WebhookRegistrationOptions['service']): SeenRegistration {
  if (object === undefined) return { registration: { state: 'absent' }, entries: [] };
  const entries: { index: number; name: string }[] = [];
  const bundles: string[][] = [];
  for (const [index, entry] of (configuration.safeParse(object).data?.webhooks ?? []).entries()) {
    if (!callsUs(entry, service)) continue;
    entries.push({ index, name: entry.name });
    bundles.push(splitCertificates(Buffer.from(entry.clientConfig.caBundle ?? '', 'base64').toString()));
  }
  return { entries, registration: { state: 'present', version: object.metadata.resourceVersion ?? '', bundles } };
}

/**
 * Makes a JSON Patch (RFC 6902) that changes only caBundles. The API server refuses it as a conflict if the object has
 * changed. A server-side apply could create the object again after `helm uninstall`, and would own the entries' names.
 */
function patchFor(
  { entries }: SeenRegistration,
  version: string,
  bundles: readonly (readonly string[] | undefined)[],
): object[] {
  const guard = { op: 'replace', path: '/metadata/resourceVersion', value: version };
  return [
    guard,
    ...entries.flatMap(({ index, name }, position) => {
      const pems = bundles[position];
      if (pems === undefined) return [];
      const value = Buffer.from(pems.map((pem) => `${pem.trim()}\n`).join('')).toString('base64');
      return [
        { op: 'test', path: `/webhooks/${index}/name`, value: name },
        { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value },
      ];
    }),
  ];
}

/** Logs how many entries of the registration call us; `entries` undefined: there is no registration. */
function logEntries({ name, service, reporter = silentReporter }: WebhookRegistrationOptions, entries?: number): void {
  const { log } = reporter;
  const fields = { registration: name, service: `${service.namespace}/${service.name}` };
  if (entries === undefined) log.info(fields, 'nobody is registered to call us yet');
  else if (entries === 0) log.warn(fields, 'no entry of the registration calls our Service: check tls.service');
  else log.info({ ...fields, entries }, 'our registration');
}
