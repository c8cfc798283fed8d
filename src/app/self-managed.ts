import { caSecret } from '../certificates/ca-secret.ts';
import { webhookRegistration } from '../certificates/registration.ts';
import { selfManagedCertificates, type SelfManagedHooks } from '../certificates/self-managed.ts';
import type { TrustBundle } from '../certificates/trust-bundle.ts';
import type { ServerContext } from '../commands/serve.ts';
import type { KubeClient } from '../kubernetes/client.ts';
import { KubeError } from '../kubernetes/errors.ts';
import type { FailureLog } from '../telemetry/failure-log.ts';
import { CommandError } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';
import type { CertificateParts } from './certificates.ts';
import type { Joined } from './join.ts';

interface Place {
  readonly client: KubeClient;
  readonly namespace: string;
}

function placeOf({ client, own: { namespace } }: Joined): Place {
  if (client !== undefined && namespace !== undefined) return { client, namespace };
  const missing = client === undefined ? 'a cluster' : 'a namespace in the kubeconfig';
  throw new CommandError('usage', `tls.mode self-managed needs ${missing}: use files or ephemeral without one`);
}

const codeOf = (error: Error): string => (error instanceof KubeError ? error.code : error.name);

type Failed = (use: string, what: string) => (error: Error) => void;

function hooksOf({ config: { tls }, log, metrics }: ServerContext, failed: Failed): SelfManagedHooks {
  return {
    onIssued: ({ reason, ca, notAfter }) => {
      const expires = new Date(notAfter);
      metrics.certificate(expires);
      log.info({ reason, ca, expires: expires.toISOString() }, 'certificate in use');
    },
    onCaChange: ({ change, why }) => {
      metrics.cluster.caChanged(change);
      log.info({ change, why }, 'this replica has changed the shared CA');
    },
    onProblem: (problem) => {
      if (problem === undefined) log.info('the shared CA is in order again');
      else log.error({ secret: tls.secret }, `the shared CA: ${problem}`);
    },
    onError: failed(
      'certificates',
      'a certificate cannot be made, or the shared CA or the registration not be written',
    ),
    onBundleWritten: ({ ours, others }) => {
      metrics.cluster.registrationWritten('written');
      log.info({ ours, others }, 'the caBundle of our registration was written');
    },
    onContested: (times) => {
      metrics.cluster.registrationWritten('contested');
      log.warn({ times }, 'something else keeps overwriting the caBundle of our registration: only one may own it');
    },
  };
}

function registration(
  { config: { tls }, log }: ServerContext,
  { client, namespace }: Place,
  failed: Failed,
): TrustBundle {
  return webhookRegistration({
    client,
    name: tls.registration,
    service: { namespace, name: tls.service },
    clock: systemClock,
    hooks: {
      onWatchError: failed('registration', `the MutatingWebhookConfiguration ${tls.registration} cannot be watched`),
      onSeen: (entries) => {
        const fields = { registration: tls.registration, service: `${namespace}/${tls.service}` };
        if (entries === undefined) log.info(fields, 'nobody is registered to call us yet');
        else if (entries === 0) log.warn(fields, 'no entry of the registration calls our Service: check tls.service');
        else log.info({ ...fields, entries }, 'our registration');
      },
    },
  });
}

/**
 * Certificates of a CA that all replicas share. Resolves when there is one to serve, or when the server is to stop. Rejects with
 * `CommandError` where there is no cluster to keep the CA in.
 */
export async function composeSelfManaged(
  context: ServerContext,
  joined: Joined,
  failures: FailureLog,
): Promise<CertificateParts> {
  const { config, metrics, signal } = context;
  const { tls } = config;
  const place = placeOf(joined);
  const { client, namespace } = place;
  const failed: Failed = (use, what) => (error) => {
    metrics.cluster.apiFailed(use, codeOf(error));
    failures.failed(what, { code: codeOf(error), message: error.message });
  };
  const store = caSecret({
    client,
    namespace,
    name: tls.secret,
    clock: systemClock,
    hooks: { onWatchError: failed('ca', `the Secret ${tls.secret} cannot be watched`) },
  });
  const bundle = registration(context, place, failed);
  const names = [`${tls.service}.${namespace}.svc`, `${tls.service}.${namespace}`, tls.service];
  const source = selfManagedCertificates({
    store,
    bundle,
    names: names.map((value) => ({ type: 'dns', value })),
    clock: systemClock,
    random: Math.random,
    lifetimes: { ca: tls.caLifetime, leaf: tls.certLifetime, overlap: tls.overlap },
    hooks: hooksOf(context, failed),
  });
  const untrusted = (): string | undefined => source.untrusted();
  metrics.cluster.certificates(() => ({ trusted: untrusted() === undefined, ...source.status() }));
  context.waitFor(untrusted);
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  await Promise.race([source.ready, stopped]);
  return { certificates: { ...source, close: () => {} }, untrusted, close: () => source.close() };
}
