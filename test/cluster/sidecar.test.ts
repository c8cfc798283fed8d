import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import type { KubeObject } from '../../src/kubernetes/objects.ts';
import { cli } from '../support/cli.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { install, type Installation } from '../support/installation.ts';
import { createPod, podObject, type PodRequest } from '../support/pods.ts';

const NAMESPACE = ownName('guarded');

/** What a team's namespace may ask of every Pod: the strictest Pod security, requests and limits within bounds, and a budget. */
const LIMITS = {
  apiVersion: 'v1',
  kind: 'LimitRange',
  metadata: { name: 'limits', namespace: NAMESPACE },
  spec: {
    limits: [
      {
        type: 'Container',
        default: { cpu: '500m', memory: '256Mi' },
        defaultRequest: { cpu: '250m', memory: '128Mi' },
        min: { cpu: '10m', memory: '16Mi' },
        max: { cpu: '2', memory: '1Gi' },
        maxLimitRequestRatio: { cpu: '2', memory: '2' },
      },
    ],
  },
};
const HARD = {
  'requests.cpu': '2',
  'requests.memory': '2Gi',
  'limits.cpu': '2',
  'limits.memory': '2Gi',
  'limits.ephemeral-storage': '1Gi',
  pods: '10',
};
const QUOTA = {
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name: 'quota', namespace: NAMESPACE },
  spec: { hard: HARD },
};

const RESTRICTED = {
  runAsNonRoot: true,
  runAsUser: 1000,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};
const RESOURCES = { cpu: '250m', memory: '128Mi', 'ephemeral-storage': '32Mi' };
const CONTAINER = {
  name: 'main',
  image: 'registry.test/app:1',
  securityContext: RESTRICTED,
  resources: { requests: RESOURCES, limits: RESOURCES },
};
const ASKS = { 'libc-dns.dev/libc': 'musl', 'libc-dns.dev/remedy': 'sidecar' };

const podOf = (name: string, spec: object = {}): PodRequest => ({
  name,
  annotations: ASKS,
  spec: { containers: [CONTAINER], ...spec },
});

interface StoredPod extends KubeObject {
  readonly spec: Record<string, unknown>;
  readonly status: { readonly qosClass: string };
}

describe.runIf(hasCluster())('the cache in the Pod, on a real API server', () => {
  let cluster: TestCluster;
  let installation: Installation;
  const create = async (name: string, spec: object = {}): Promise<StoredPod> =>
    (await createPod(cluster, NAMESPACE, podOf(name, spec))) as unknown as StoredPod;

  beforeAll(async () => {
    cluster = await startCluster();
    const settings = {
      DETECTION_REGISTRY_ENABLED: 'false',
      CLUSTER_DNS: '10.96.0.10',
      CLUSTER_DOMAIN: 'cluster.local',
      CLUSTER_NODE_SEARCHES: 'corp.example',
      SIDECAR_RESOURCES_LIMITS_CPU: '80m',
      SIDECAR_RESOURCES_LIMITS_EPHEMERAL_STORAGE: '16Mi',
    };
    installation = await install(cluster, { settings });
    await cluster.createNamespace(NAMESPACE, {
      'libc-dns.dev/mode': 'enforce',
      'pod-security.kubernetes.io/enforce': 'restricted',
    });
    await cluster.apply(LIMITS, QUOTA);
    // No controller runs here that would fill the quota's status, without which every Pod is refused.
    const used = Object.fromEntries(Object.keys(HARD).map((resource) => [resource, '0']));
    const status = JSON.stringify({ status: { hard: HARD, used } });
    const patch = ['patch', 'resourcequota', 'quota', '--subresource=status', '--type=merge', '-p', status];
    await cluster.kubectl(['-n', NAMESPACE, ...patch]);
  });
  afterAll(async () => {
    await installation?.stop();
    await cluster?.stop();
  });

  it('a Pod with it is accepted under Pod Security restricted, a LimitRange and a ResourceQuota', async () => {
    const { spec, metadata, status } = await create('web');
    const resources = { cpu: '80m', memory: '64Mi', 'ephemeral-storage': '16Mi' };
    expect(spec).toMatchObject({
      dnsPolicy: 'None',
      dnsConfig: { nameservers: ['127.0.0.1', '10.96.0.10'] },
      initContainers: [
        {
          name: 'libc-dns-cache',
          restartPolicy: 'Always',
          resources: { requests: resources, limits: resources },
        },
      ],
      containers: [CONTAINER],
    });
    // The API server mounts the service account's token into each container that has nothing in its place.
    expect(JSON.stringify(spec['containers'])).toContain('kube-api-access');
    expect(JSON.stringify(spec['initContainers'])).not.toContain('kube-api-access');
    expect(spec['volumes']).toEqual(expect.arrayContaining([expect.objectContaining({ name: 'libc-dns-cache' })]));
    expect(metadata.annotations?.['libc-dns.dev/corefile']).toContain('forward . 10.96.0.10 {');
    expect(status.qosClass).toBe('Guaranteed');
    const quota = await cluster.kubectl(['-n', NAMESPACE, 'get', 'resourcequota', 'quota', '-o', 'json']);
    const used = { 'limits.cpu': '330m', 'limits.memory': '192Mi', 'limits.ephemeral-storage': '48Mi' };
    expect(JSON.parse(quota)).toMatchObject({ status: { used } });
  });

  it('what these rules forbid they refuse: the namespace is guarded', async () => {
    const { resources: _none, ...greedy } = { ...CONTAINER, securityContext: {} };
    await expect(createPod(cluster, NAMESPACE, podOf('plain', { containers: [greedy] }))).rejects.toThrow(/restricted/);
    const most = { ...RESOURCES, cpu: '1900m' };
    const large = { ...CONTAINER, resources: { requests: most, limits: most } };
    await expect(createPod(cluster, NAMESPACE, podOf('large', { containers: [large] }))).rejects.toThrow(
      /exceeded quota/,
    );
  });

  it('a Pod that must end is accepted with it, as a Job that inject has patched is', async () => {
    expect((await create('once', { restartPolicy: 'Never' })).spec).toMatchObject({
      restartPolicy: 'Never',
      initContainers: [{ name: 'libc-dns-cache', restartPolicy: 'Always' }],
    });
    const { metadata, spec } = podObject(podOf('job', { restartPolicy: 'Never' })) as Record<string, object>;
    const job = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'job', namespace: NAMESPACE } };
    const template = { metadata: { annotations: (metadata as { annotations: object }).annotations }, spec };
    const stdin = JSON.stringify({ ...job, spec: { template } });
    const { out, code } = await cli(['inject', '--offline', '-o', 'json'], { stdin });
    expect(code).toBe(0);
    const answer = await cluster.kubectl(['apply', '-f', '-', '-o', 'yaml'], out);
    expect(parse(answer)).toMatchObject({
      spec: { template: { spec: { initContainers: [{ name: 'libc-dns-cache', restartPolicy: 'Always' }] } } },
    });
  });

  it('what was stored and is sent again is not changed: no second cache', async () => {
    const { spec, metadata } = await create('first');
    const again = await createPod(cluster, NAMESPACE, {
      name: 'second',
      annotations: metadata.annotations ?? {},
      spec,
    });
    expect((again as unknown as StoredPod).spec['initContainers']).toEqual(spec['initContainers']);
  });
});
