import { z } from 'zod';

import { readNfqueueUsers } from '../../cluster/exposure.ts';
import { readKubeProxy } from '../../cluster/kube-proxy.ts';
import { type OwnerSeen, podSeen } from '../../cluster/pod-seen.ts';
import { type KubeClient, readLines, type Transport } from '../../kubernetes/client.ts';
import { callError, isKubeError, statusError, transportError } from '../../kubernetes/errors.ts';
import { by, getOne, listAll, shaped, stringData } from '../../kubernetes/lists.ts';
import { type Labels, type Resource, resourcePath, RESOURCES } from '../../kubernetes/objects.ts';
import { listLeftOut } from '../../pod-resolvers/left-out.ts';
import { readPod } from '../../policy/read-pod.ts';
import * as objects from './objects.ts';
import type { ClusterView, MutatingPolicy, Right, WebhookConfiguration } from './view.ts';

type Requests = Pick<KubeClient, 'request'>;

/** Objects read of one kind at most. */
const MOST_OBJECTS = 20_000;

const METRICS_MS = 20_000;
const POD_METRICS_MS = 5000;

/** Tries all versions: MutatingAdmissionPolicy is alpha in Kubernetes 1.32, beta in 1.34, stable in 1.36. */
async function mutatingPolicies(client: Requests): Promise<readonly MutatingPolicy[]> {
  let missing: unknown;
  for (const version of ['v1', 'v1beta1', 'v1alpha1']) {
    const kind = (plural: string): Resource => ({ group: 'admissionregistration.k8s.io', version, plural });
    try {
      const policies = await listAll(
        client,
        kind('mutatingadmissionpolicies'),
        { most: MOST_OBJECTS },
        by(objects.mutatingPolicy, 'MutatingAdmissionPolicy'),
      );
      const bindings = await listAll(
        client,
        kind('mutatingadmissionpolicybindings'),
        { most: MOST_OBJECTS },
        by(objects.policyBinding, 'MutatingAdmissionPolicyBinding'),
      );
      const of = (policy: string): string[] =>
        bindings.filter(({ policyName }) => policyName === policy).map(({ name }) => name);
      return policies.map((policy) => Object.assign(policy, { bindings: of(policy.name) }));
    } catch (error) {
      if (!isKubeError(error, 'not-found')) throw error;
      missing = error;
    }
  }
  throw missing;
}

const answer = z.object({ status: z.object({ allowed: z.boolean() }) });
const whoami = z.object({ status: z.object({ userInfo: z.object({ username: z.string() }) }) });

function attributes({ verb, group, resource, subresource, namespace, name }: Right): object {
  return {
    verb,
    group,
    resource,
    ...(subresource !== undefined && { subresource }),
    ...(namespace !== undefined && { namespace }),
    ...(name !== undefined && { name }),
  };
}

/** Asks on behalf of `user`. A caller without that right can still ask about itself, if it is `user`. */
async function mayDo(client: Requests, user: string, right: Right): Promise<boolean> {
  const [, , namespace = ''] = user.split(':');
  const groups = ['system:authenticated', 'system:serviceaccounts', `system:serviceaccounts:${namespace}`];
  const review = async (kind: string, spec: object): Promise<boolean> => {
    const path = `/apis/authorization.k8s.io/v1/${kind.toLowerCase()}s`;
    const body = { apiVersion: 'authorization.k8s.io/v1', kind, spec };
    return shaped(answer, await client.request({ method: 'POST', path, body }), kind).status.allowed;
  };
  const resourceAttributes = attributes(right);
  try {
    return await review('SubjectAccessReview', { user, groups, resourceAttributes });
  } catch (error) {
    if (!isKubeError(error, 'forbidden')) throw error;
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const me = shaped(whoami, await client.request({ method: 'POST', path, body }), 'SelfSubjectReview');
    if (me.status.userInfo.username !== user) throw error;
    return await review('SelfSubjectAccessReview', { resourceAttributes });
  }
}

/** Plurals of the kinds that own Pods directly. */
const OWNERS: Readonly<Record<string, string>> = {
  ReplicaSet: 'replicasets',
  StatefulSet: 'statefulsets',
  DaemonSet: 'daemonsets',
  Job: 'jobs',
};

const templated = z.object({ spec: z.object({ template: z.unknown() }) });

async function templateDns(client: Requests, { kind, name, apiVersion }: OwnerSeen, namespace: string) {
  const plural = OWNERS[kind];
  const [group = '', version = ''] = apiVersion.split('/', 2);
  if (plural === undefined || !['apps', 'batch'].includes(group)) return undefined;
  const path = resourcePath({ group, version, plural }, name, namespace);
  const template = await getOne(client, path, by(templated, kind));
  return template && readPod(template.spec.template).dnsConfig;
}

/** Keeps only certificates (keys ending in `.crt`), so that private keys and tokens of a Secret go no further. */
function certificatesOf(secret: Labels): Labels {
  const decoded = Object.entries(secret)
    .filter(([key]) => key.endsWith('.crt'))
    .map(([key, text]) => [key, Buffer.from(text, 'base64').toString()] as const);
  return Object.fromEntries(decoded.filter(([, text]) => text.includes('BEGIN CERTIFICATE')));
}

const admitted = z.object({ metadata: z.object({ annotations: z.record(z.string(), z.string()).default({}) }) });

async function rehearse(client: Requests, namespace: string, body: object): ReturnType<ClusterView['rehearse']> {
  const path = resourcePath(RESOURCES.pods, undefined, namespace);
  const query = { dryRun: 'All', fieldManager: 'libc-dns-doctor' };
  return shaped(admitted, await client.request({ method: 'POST', path, query, body }), 'Pod').metadata;
}

const versionInfo = z.object({ gitVersion: z.string() });

/** Creates a view that reads from the API. It writes nothing: Pods are created only as dry runs. */
export function createDoctorView(client: KubeClient, transport: Transport): ClusterView {
  const some = { most: MOST_OBJECTS };
  const readConfiguration = by(objects.webhookConfiguration, 'MutatingWebhookConfiguration');
  const configurations = (which: { fieldSelector?: string } = {}): Promise<WebhookConfiguration[]> =>
    listAll(client, RESOURCES.webhookConfigurations, { ...some, ...which }, readConfiguration);
  const podList = (options: { namespace?: string; labelSelector?: string; most: number }) =>
    listAll(client, RESOURCES.pods, options, podSeen);
  return {
    server: client.server,
    version: async () => shaped(versionInfo, await client.request({ path: '/version' }), 'version').gitVersion,
    nodes: () => listAll(client, RESOURCES.nodes, some, by(objects.node, 'Node')),
    kubeProxy: () => readKubeProxy(client),
    nfqueueUsers: () => readNfqueueUsers(client),
    namespaces: async () =>
      new Map(await listAll(client, RESOURCES.namespaces, some, by(objects.namespace, 'Namespace'))),
    webhookConfigurations: () => configurations(),
    webhookConfigurationsNamed: (name) => configurations({ fieldSelector: `metadata.name=${name}` }),
    mutatingPolicies: () => mutatingPolicies(client),
    podResolvers: () => listLeftOut(client),
    lease: (namespace, name) =>
      getOne(client, resourcePath(RESOURCES.leases, name, namespace), by(objects.lease, 'Lease')),
    service: (namespace, name) =>
      getOne(client, resourcePath(RESOURCES.services, name, namespace), by(objects.service, 'Service')),
    deployments: (namespace) =>
      listAll(client, RESOURCES.deployments, { namespace, ...some }, by(objects.deployment, 'Deployment')),
    disruptionBudgets: (namespace) =>
      listAll(
        client,
        RESOURCES.disruptionBudgets,
        { namespace, ...some },
        by(objects.disruptionBudget, 'PodDisruptionBudget'),
      ),
    podsWith: (namespace, labels) => {
      const labelSelector = Object.entries(labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(',');
      return podList({ namespace, labelSelector, most: 1000 });
    },
    allPods: (most) => podList({ most }),
    configMap: (namespace, name) =>
      getOne(client, resourcePath(RESOURCES.configMaps, name, namespace), by(stringData, 'ConfigMap')),
    secretCertificates: (namespace, name) =>
      getOne(client, resourcePath(RESOURCES.secrets, name, namespace), (object) =>
        certificatesOf(shaped(stringData, object, 'Secret')),
      ),
    templateDns: (owner, namespace) => templateDns(client, owner, namespace),
    mayDo: (user, right) => mayDo(client, user, right),
    rehearse: (namespace, pod) => rehearse(client, namespace, pod),
    apiServerMetrics: (names) => readMetrics(transport, '/metrics', names, AbortSignal.timeout(METRICS_MS)),
    podMetrics: ({ namespace, name, port }, names) => {
      const path = `${resourcePath(RESOURCES.pods, `${name}:${port}`, namespace)}/proxy/metrics`;
      return readMetrics(transport, path, names, AbortSignal.timeout(POD_METRICS_MS));
    },
  };
}

/** The metrics of a large cluster's API server take about ten MiB. */
const MOST_LINES = 500_000;

/** Our webhooks have far fewer samples: two entries with a few label values each. */
const MOST_FOUND = 1000;

/**
 * Returns the lines of metrics at this path of the API server that have one of the names; reads the response as a stream. Rejects with
 * {@link KubeError}: `forbidden` without the right to read it.
 */
export async function readMetrics(
  transport: Transport,
  path: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const call = { method: 'GET', path };
  try {
    const { headers, dispatcher } = await transport.prepare();
    const url = new URL(`${transport.server.replace(/\/$/, '')}${path}`);
    const { statusCode, body } = await dispatcher.request({
      origin: url.origin,
      path: url.pathname,
      method: 'GET',
      headers: { ...headers, accept: 'text/plain' },
      signal,
    });
    if (statusCode !== 200) throw statusError(statusCode, (await body.text()).slice(0, 10_000), call);
    const found: string[] = [];
    let count = 0;
    for await (const lines of readLines(body as AsyncIterable<Buffer>)) {
      count += lines.length;
      if (count > MOST_LINES) throw callError('malformed', `more than ${MOST_LINES} lines`, call);
      for (const line of lines) {
        if (names.some((name) => line.startsWith(`${name}{`)) && found.length < MOST_FOUND) found.push(line);
      }
    }
    return found;
  } catch (error) {
    throw transportError(error, call);
  }
}
