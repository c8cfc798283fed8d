import { z } from 'zod';

import type { KubeClient } from '../kubernetes/client.ts';
import { isKubeError } from '../kubernetes/errors.ts';
import { followObject } from '../kubernetes/follow-object.ts';
import { type KubeObject, resourcePath, RESOURCES } from '../kubernetes/objects.ts';
import type { Clock } from '../util/clock.ts';
import { type Reporter, silentReporter } from '../telemetry/reporter.ts';
import type { Registration, TrustBundle } from './trust-bundle.ts';

export interface WebhookRegistrationOptions {
  readonly client: KubeClient;
  /** Of the MutatingWebhookConfiguration. */
  readonly name: string;
  /** Ours: entries that call another Service are left alone. */
  readonly service: { readonly namespace: string; readonly name: string };
  readonly clock: Pick<Clock, 'now'>;
  readonly reporter?: Reporter;
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

/** The certificates of a PEM text, one by one; what lies between them is no matter. */
export function splitCertificates(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

interface Seen {
  readonly registration: Registration;
  /** Where each entry of ours stands in the list. */
  readonly places: readonly { readonly index: number; readonly name: string }[];
}

/** An entry with a URL calls whoever answers there: in our own configuration that is us. */
function callsUs({ clientConfig: { service } }: Entry, ours: WebhookRegistrationOptions['service']): boolean {
  return !service || (service.name === ours.name && service.namespace === ours.namespace);
}

function read(object: KubeObject | undefined, service: WebhookRegistrationOptions['service']): Seen {
  if (object === undefined) return { registration: { state: 'absent' }, places: [] };
  const places: { index: number; name: string }[] = [];
  const bundles: string[][] = [];
  for (const [index, entry] of (configuration.safeParse(object).data?.webhooks ?? []).entries()) {
    if (!callsUs(entry, service)) continue;
    places.push({ index, name: entry.name });
    bundles.push(splitCertificates(Buffer.from(entry.clientConfig.caBundle ?? '', 'base64').toString()));
  }
  return { places, registration: { state: 'present', version: object.metadata.resourceVersion ?? '', bundles } };
}

/**
 * A JSON Patch (RFC 6902) of caBundles and nothing else. It is refused as a conflict unless the object is still the one
 * that was read; a server-side apply could make it anew after `helm uninstall`, and would own the entries' names.
 */
function patchFor({ places }: Seen, version: string, bundles: readonly (readonly string[] | undefined)[]): object[] {
  const guard = { op: 'replace', path: '/metadata/resourceVersion', value: version };
  return [
    guard,
    ...places.flatMap(({ index, name }, place) => {
      const pems = bundles[place];
      if (pems === undefined) return [];
      const value = Buffer.from(pems.map((pem) => `${pem.trim()}\n`).join('')).toString('base64');
      return [
        { op: 'test', path: `/webhooks/${index}/name`, value: name },
        { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value },
      ];
    }),
  ];
}

/** Logs how many entries of the registration call us; undefined: there is no registration. */
function logEntries({ name, service, reporter = silentReporter }: WebhookRegistrationOptions, entries?: number): void {
  const { log } = reporter;
  const fields = { registration: name, service: `${service.namespace}/${service.name}` };
  if (entries === undefined) log.info(fields, 'nobody is registered to call us yet');
  else if (entries === 0) log.warn(fields, 'no entry of the registration calls our Service: check tls.service');
  else log.info({ ...fields, entries }, 'our registration');
}

/** Our MutatingWebhookConfiguration, listed, watched and patched by its name alone; never created. */
export function webhookRegistration(options: WebhookRegistrationOptions): TrustBundle {
  const { client, name, service, clock, reporter = silentReporter } = options;
  const path = resourcePath(RESOURCES.webhookConfigurations, name);
  const followed = followObject<Seen>({
    client,
    resource: RESOURCES.webhookConfigurations,
    name,
    clock,
    unseen: { registration: { state: 'unseen' }, places: [] },
    read: (object) => read(object, service),
    onTrouble: (seen, { message }) =>
      seen.registration.state === 'unseen' ? { ...seen, registration: { state: 'unseen', problem: message } } : seen,
    trouble: reporter.trouble(`the MutatingWebhookConfiguration ${name} cannot be watched`, 'registration'),
  });

  let told: number | 'nothing' | undefined = 'nothing';
  followed.onChange(() => {
    const { registration, places } = followed.seen;
    if (registration.state === 'unseen') return;
    const entries = registration.state === 'present' ? places.length : undefined;
    if (entries !== told) logEntries(options, entries);
    told = entries;
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
        // Gone: it is being uninstalled.
        if (isKubeError(error, 'conflict', 'not-found')) return 'conflict';
        throw error;
      }
    },
    close: () => followed.close(),
  };
}
