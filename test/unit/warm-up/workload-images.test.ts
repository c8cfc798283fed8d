import { describe, expect, it } from 'vitest';

import type { KubeObject } from '../../../src/kubernetes/objects.ts';
import { MODE_LABEL } from '../../../src/policy/scope.ts';
import { workloadImages, type WorkloadImagesOptions } from '../../../src/warm-up/workload-images.ts';
import { kindName, makesNoPods, podsOf, podTemplatesOf, WORKLOAD_KINDS } from '../../../src/warm-up/workload-watch.ts';
import { facts, policy } from '../../support/policy.ts';

const options: WorkloadImagesOptions = {
  config: policy(),
  cluster: () => ({ ...facts, ownNamespace: 'libc-dns' }),
  platform: { os: 'linux', architecture: 'amd64' },
};

const namespace = (mode?: string, name = 'shop') => ({
  name,
  labels: mode === undefined ? {} : { [MODE_LABEL]: mode },
});

const template = (spec: object = {}, metadata: object = {}) => ({
  metadata,
  spec: { containers: [{ name: 'web', image: 'nginx' }], ...spec },
});

const imagesOf = (given: unknown, mode: string | undefined = 'enforce', more: Partial<WorkloadImagesOptions> = {}) =>
  workloadImages(given, 'shop', namespace(mode), { ...options, ...more });

const references = (...given: Parameters<typeof imagesOf>): string[] =>
  imagesOf(...given).offers.map(({ request }) => request.reference);

describe('what is looked up for a template', () => {
  it('is what its containers run: images, command lines, platform, for its namespace', () => {
    const spec = {
      nodeSelector: { 'kubernetes.io/arch': 'arm64' },
      initContainers: [{ name: 'init', image: 'busybox', command: ['sh'], args: ['-c', 'true'] }],
    };
    expect(imagesOf(template(spec)).offers).toEqual([
      {
        request: {
          reference: 'busybox',
          platform: { os: 'linux', architecture: 'arm64' },
          command: ['sh'],
          args: ['-c', 'true'],
          tenant: 'shop',
        },
      },
      {
        request: {
          reference: 'nginx',
          platform: { os: 'linux', architecture: 'arm64' },
          command: [],
          args: [],
          tenant: 'shop',
        },
      },
    ]);
  });

  it.each([
    ['whose containers the user has declared', template({}, { annotations: { 'libc-dns.dev/libc': 'musl' } })],
    ['on the network of the host', template({ hostNetwork: true })],
    ['of Windows', template({ os: { name: 'windows' } })],
    ['with a DNS policy of its own', template({ dnsPolicy: 'None' })],
    ['without containers', template({ containers: [] })],
    ['without images', template({ containers: [{ name: 'web' }] })],
    ['labelled off', template({}, { labels: { [MODE_LABEL]: 'off' } })],
    ['that is malformed', template({ containers: 'none' })],
    ['that is empty', {}],
  ])('is nothing for one %s', (_, given) => {
    expect(imagesOf(given)).toEqual({ offers: [], waitsForNamespace: false });
  });

  it('is at most 32 images', () => {
    const containers = Array.from({ length: 100 }, (_, id) => ({ name: `c${id}`, image: `image-${id}` }));
    expect(references(template({ containers })).length).toBe(32);
  });

  it('is what one container runs where the other is declared', () => {
    const containers = [
      { name: 'a', image: 'one' },
      { name: 'b', image: 'two' },
    ];
    expect(references(template({ containers }, { annotations: { 'libc-dns.dev/libc.a': 'glibc' } }))).toEqual(['two']);
  });
});

describe('whether a template is looked at', () => {
  it.each([
    ['audit', undefined, {}, 1, false],
    ['enforce', undefined, {}, 1, false],
    ['off', undefined, {}, 0, true],
    [undefined, undefined, {}, 0, true],
    [undefined, 'enforce', {}, 1, false],
    ['off', 'audit', {}, 1, false],
    ['enforce', 'off', {}, 0, false],
    [undefined, undefined, { scope: 'cluster' }, 1, false],
    ['off', undefined, { scope: 'cluster' }, 0, true],
  ] as const)('namespace %s, Pod %s, %o', (mode, podMode, config, offers, waits) => {
    const given = template({}, podMode === undefined ? {} : { labels: { [MODE_LABEL]: podMode } });
    const found = workloadImages(given, 'shop', namespace(mode), { ...options, config: policy(config) });
    expect([found.offers.length, found.waitsForNamespace]).toEqual([offers, waits]);
  });

  it.each(['kube-system', 'libc-dns'])('never in %s', (name) => {
    const found = workloadImages(template(), name, namespace('enforce', name), options);
    expect(found).toEqual({ offers: [], waitsForNamespace: false });
  });

  it.each(['opt-in', 'cluster'] as const)('only once its namespace is known, in scope %s', (scope) => {
    const found = workloadImages(template(), 'shop', undefined, { ...options, config: policy({ scope }) });
    expect(found).toEqual({ offers: [], waitsForNamespace: true });
  });
});

describe('logins', () => {
  const asked: unknown[] = [];
  const credentials: NonNullable<WorkloadImagesOptions['credentials']> = (pod, name) => {
    asked.push([pod, name]);
    return Promise.resolve([]);
  };

  it('are read when their turn comes, of what names them', async () => {
    const given = template({ imagePullSecrets: [{ name: 'pull' }], serviceAccountName: 'robot' });
    const [offer] = imagesOf(given, 'enforce', { credentials }).offers;
    expect(asked).toEqual([]);
    await offer?.login?.read();
    expect(asked).toEqual([[{ imagePullSecrets: ['pull'], serviceAccountName: 'robot' }, 'shop']]);
    expect(offer?.login?.scope).toBe('["shop","robot",["pull"]]');
  });

  it('of a list that is too long are left out', () => {
    const imagePullSecrets = Array.from({ length: 200 }, (_, id) => ({ name: `secret-${id}` }));
    const [offer] = imagesOf(template({ imagePullSecrets }), 'enforce', { credentials }).offers;
    expect(offer).not.toHaveProperty('login');
  });
});

const workload = (spec: unknown, more: object = {}): KubeObject => ({ metadata: { name: 'x' }, spec, ...more });

describe('where templates are', () => {
  it.each([
    ['spec.template', workload({ template: { a: 1 } }), [{ a: 1 }]],
    ['spec.jobTemplate.spec.template', workload({ jobTemplate: { spec: { template: { a: 1 } } } }), [{ a: 1 }]],
    [
      'spec.jobs.*.template',
      workload({ jobs: [{ template: { a: 1 } }, {}, { template: { b: 1 } }] }),
      [{ a: 1 }, { b: 1 }],
    ],
    ['spec.replicas.*.template', workload({ replicas: { Worker: { template: { a: 1 } } } }), [{ a: 1 }]],
    ['spec.template', workload({ template: 'text' }), []],
    ['spec.template', workload(null), []],
    ['spec.template', workload('text'), []],
    ['spec.constructor', workload({}), []],
    ['spec.__proto__', workload({}), []],
    ['spec.length.*', workload([]), []],
  ])('%s', (path, given, expected) => {
    expect(podTemplatesOf(given, { template: path })).toEqual(expected);
  });

  it('32 of one object are looked at, and a path has an end', () => {
    const jobs = Array.from({ length: 1000 }, () => ({ template: {} }));
    expect(podTemplatesOf(workload({ jobs }), { template: 'spec.jobs.*.template' }).length).toBe(32);
    expect(podTemplatesOf(workload({}), { template: Array.from({ length: 10_000 }, () => '*').join('.') })).toEqual([]);
  });

  it('kinds are named by group and plural', () => {
    expect(WORKLOAD_KINDS.map(kindName)).toEqual([
      'apps/deployments',
      'apps/statefulsets',
      'apps/daemonsets',
      'batch/cronjobs',
      'batch/jobs',
    ]);
    expect(kindName({ group: '', version: 'v1', plural: 'podtemplates' })).toBe('podtemplates');
  });
});

describe('the Pods that a workload asks for', () => {
  it.each([
    ['a Deployment', { replicas: 3 }, {}, 3],
    ['one that is scaled to nothing', { replicas: 0 }, {}, 0],
    ['a Job', { parallelism: 5 }, {}, 5],
    ['a DaemonSet', {}, { desiredNumberScheduled: 7 }, 7],
    ['a CronJob', { jobTemplate: {} }, null, 1],
    ['nonsense', { replicas: '3' }, {}, 1],
    ['less than nothing', { replicas: -3 }, {}, 1],
  ])('%s', (_, spec, status, pods) => {
    expect(podsOf({ metadata: { name: 'x' }, spec, status })).toBe(pods);
  });
});

describe('workloads that make no Pods any more', () => {
  it.each([
    ['a running Job', {}, { active: 1 }, false],
    ['a complete Job', {}, { conditions: [{ type: 'Complete', status: 'True' }] }, true],
    ['a failed Job', {}, { conditions: [{ type: 'Failed', status: 'True' }] }, true],
    ['a suspended Job', {}, { conditions: [{ type: 'Suspended', status: 'True' }] }, false],
    ['a Job that was not complete', {}, { conditions: [{ type: 'Complete', status: 'False' }] }, false],
    ["a CronJob's Job", { ownerReferences: [{ kind: 'CronJob', controller: true }] }, {}, true],
    ['a Job that belongs to something else', { ownerReferences: [{ kind: 'Workflow', controller: true }] }, {}, false],
    ['what is being deleted', { deletionTimestamp: '2026-01-01T00:00:00Z' }, {}, true],
    ['a status of nonsense', { ownerReferences: 'me' }, { conditions: { type: 'Complete' } }, false],
    ['lists of nothing', { ownerReferences: [null] }, { conditions: [null] }, false],
    ['no status', {}, null, false],
  ])('%s', (_, metadata, status, spent) => {
    expect(makesNoPods({ metadata: { name: 'x', ...metadata }, status })).toBe(spent);
  });
});
