import type { KubeClient } from '../../kubernetes/client.ts';
import { eachObject } from '../../kubernetes/lists.ts';
import { type KubeObject, RESOURCES } from '../../kubernetes/objects.ts';
import { asObject } from '../../util/json.ts';
import { compareText } from '../../util/text.ts';
import type { Gap } from '../report/report.ts';
import { orGap } from './gaps.ts';

/** The webhook as installed in a cluster. */
interface Installation {
  /** Whether the API server has a registration of ours; undefined if that could not be read. */
  readonly registered: boolean | undefined;
  /** The namespace that it runs in; undefined if there is none, it could not be read, or the registration has a URL. */
  readonly namespace: string | undefined;
  /** Its configuration, with the name of its ConfigMap. */
  readonly configuration: { readonly name: string; readonly text: string } | undefined;
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

/** Finds the webhook by its registration, and its configuration in its namespace. Rejects only with the signal's reason. */
export async function findInstallation(
  client: Pick<KubeClient, 'request'>,
  signal: AbortSignal,
  gaps: Gap[],
): Promise<Installation> {
  const namespaces = new Set<string>();
  let [found, complete] = [false, false];
  const grant = 'list mutatingwebhookconfigurations.admissionregistration.k8s.io: they tell where the webhook runs';
  await orGap(gaps, 'mutatingwebhookconfigurations.admissionregistration.k8s.io', grant, async () => {
    await eachObject({ client, resource: RESOURCES.webhookConfigurations, signal }, () => (object) => {
      const ours = ourEntry(object);
      found ||= ours !== undefined;
      const place = ours?.clientConfig?.service?.namespace;
      if (typeof place === 'string') namespaces.add(place);
    });
    complete = true;
  });
  const registered = found || (complete ? false : undefined);
  const [namespace] = [...namespaces].toSorted();
  if (namespace === undefined) return { registered, namespace, configuration: undefined };
  const maps = new Map<string, string>();
  const labelled = { labelSelector: 'app.kubernetes.io/name=libc-dns-webhook' };
  const wanted = `list configmaps in namespace ${namespace}, or name the configuration with --config`;
  await orGap(gaps, `configmaps in ${namespace}`, wanted, async () => {
    await eachObject({ client, resource: RESOURCES.configMaps, namespace, query: labelled, signal }, () => (object) => {
      const text = asObject(object['data'])['config.yaml'];
      if (typeof text === 'string') maps.set(object.metadata.name, text);
    });
  });
  const [first] = [...maps].toSorted(([a], [b]) => compareText(a, b));
  return {
    registered,
    namespace,
    configuration: first && { name: `ConfigMap ${namespace}/${first[0]}`, text: first[1] },
  };
}
