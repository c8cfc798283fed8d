import type { KubeClient } from '../../kubernetes/client.ts';
import { KubeError } from '../../kubernetes/errors.ts';
import { eachObject } from '../../kubernetes/lists.ts';
import { type KubeObject, RESOURCES } from '../../kubernetes/objects.ts';
import { type LeftOut, listLeftOut } from '../../pod-resolvers/left-out.ts';
import { asObject } from '../../util/json.ts';
import { compareText } from '../../util/text.ts';
import type { Gap } from '../report/report.ts';
import { orGap } from './gaps.ts';

/** What is installed of us in a cluster. */
interface Installation {
  /** Whether the API server has a registration of our webhook, or our policy; undefined if that could not be read. */
  readonly registered: boolean | undefined;
  /** The namespace that it runs in; undefined if there is none, it could not be read, or the registration has a URL. */
  readonly namespace: string | undefined;
  /** Its configuration, with the name of its ConfigMap. */
  readonly configuration: { readonly name: string; readonly text: string } | undefined;
  /** Where the policy is alone; undefined if that could not be read. */
  readonly podResolvers: LeftOut | undefined;
}

/** Matches the names of our webhook entries, such as `pods.libc-dns.dev`. */
const OURS = /\.libc-dns\.dev$/;

interface Registration {
  readonly webhooks?:
    | readonly {
        readonly name?: unknown;
        readonly clientConfig?: { readonly service?: { readonly namespace?: unknown } | null } | null;
      }[]
    | null;
}

function ourEntry(object: KubeObject): NonNullable<Registration['webhooks']>[number] | undefined {
  const { webhooks } = object as Registration;
  return (webhooks ?? []).find(({ name }) => typeof name === 'string' && OURS.test(name));
}

const LABELLED = { labelSelector: 'app.kubernetes.io/name=libc-dns-webhook' };

/** Where the chart's policy says that it belongs (templates/admission-policy.yaml). */
const NAMESPACE_OF_POLICY = 'libc-dns.dev/namespace';

/** Where the API server calls or applies us. */
interface Registered {
  readonly found: boolean;
  readonly namespaces: ReadonlySet<string>;
}

/** Resolves to what is found before `read` rejects, and a gap; undefined if that is nothing. */
async function findIn(
  gaps: Gap[],
  plural: string,
  read: (found: (namespace: unknown) => void) => Promise<void>,
): Promise<Registered | undefined> {
  const namespaces = new Set<string>();
  let [found, complete] = [false, false];
  const what = `${plural}.admissionregistration.k8s.io`;
  await orGap(gaps, what, `list ${what}: they tell where the webhook runs`, async () => {
    await read((namespace) => {
      found = true;
      if (typeof namespace === 'string') namespaces.add(namespace);
    });
    complete = true;
  });
  return found || complete ? { found, namespaces } : undefined;
}

async function findWebhook({ client, signal, gaps }: Finding): Promise<Registered | undefined> {
  return await findIn(gaps, 'mutatingwebhookconfigurations', async (found) => {
    await eachObject({ client, resource: RESOURCES.webhookConfigurations, signal }, () => (object) => {
      const ours = ourEntry(object);
      if (ours !== undefined) found(ours.clientConfig?.service?.namespace);
    });
  });
}

async function findPolicy({ client, signal, gaps }: Finding): Promise<Registered | undefined> {
  return await findIn(gaps, 'mutatingadmissionpolicies', async (found) => {
    try {
      await eachObject(
        { client, resource: RESOURCES.mutatingPolicies, query: LABELLED, metadataOnly: true, signal },
        () => (object) => found(object.metadata.annotations?.[NAMESPACE_OF_POLICY]),
      );
    } catch (error) {
      // Before Kubernetes 1.36 we install none.
      if (!(error instanceof KubeError && error.code === 'not-found')) throw error;
    }
  });
}

interface Finding {
  readonly client: Pick<KubeClient, 'request'>;
  readonly signal: AbortSignal;
  readonly gaps: Gap[];
}

/**
 * Finds the webhook by its registration, else our policy of the API server, and the configuration in its namespace. Rejects only with the
 * signal's reason.
 */
export async function findInstallation(
  client: Pick<KubeClient, 'request'>,
  signal: AbortSignal,
  gaps: Gap[],
): Promise<Installation> {
  const finding = { client, signal, gaps };
  const webhook = await findWebhook(finding);
  const policy = webhook?.found === true ? undefined : await findPolicy(finding);
  const found = webhook?.found === true || policy?.found === true;
  const isKnown = found || (webhook !== undefined && policy !== undefined);
  const registered = isKnown ? found : undefined;
  const namespaces = [...(webhook?.namespaces ?? []), ...(policy?.namespaces ?? [])];
  const [namespace] = namespaces.toSorted();
  const configuration = namespace === undefined ? undefined : await readConfiguration(finding, namespace);
  return { registered, namespace, configuration, podResolvers: await readPodResolvers(finding, policy) };
}

async function readPodResolvers(
  { client, signal, gaps }: Finding,
  policy: Registered | undefined,
): Promise<LeftOut | undefined> {
  if (policy?.found !== true) return undefined;
  let found: LeftOut | undefined;
  await orGap(gaps, 'podresolvers', 'list podresolvers.libc-dns.dev: where the policy patches Pods', async () => {
    found = await listLeftOut(client, signal);
  });
  return found;
}

async function readConfiguration(
  { client, signal, gaps }: Finding,
  namespace: string,
): Promise<Installation['configuration']> {
  const maps = new Map<string, string>();
  const wanted = `list configmaps in namespace ${namespace}, or name the configuration with --config`;
  await orGap(gaps, `configmaps in ${namespace}`, wanted, async () => {
    await eachObject({ client, resource: RESOURCES.configMaps, namespace, query: LABELLED, signal }, () => (object) => {
      const text = asObject(object['data'])['config.yaml'];
      if (typeof text === 'string') maps.set(object.metadata.name, text);
    });
  });
  const [first] = [...maps].toSorted(([a], [b]) => compareText(a, b));
  return first && { name: `ConfigMap ${namespace}/${first[0]}`, text: first[1] };
}
