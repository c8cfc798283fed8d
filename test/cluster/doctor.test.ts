import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openDoctor } from '../../src/app/doctor.ts';
import type { CheckEntry, DoctorReport } from '../../src/doctor/report.ts';
import { createCertificate } from '../support/certificate.ts';
import { cli, type CliResult } from '../support/cli.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { startDnsServer, type TestDnsServer } from '../support/dns-server.ts';
import { completeInstallation, kubeProxyConfig, node, putReplica, whileChanged } from '../support/doctor-objects.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { install, type Installation, NAME, NAMESPACE } from '../support/installation.ts';
import { layer } from '../support/layer-builder.ts';
import { createPod } from '../support/pods.ts';
import { type RegistryServer, startRegistry } from '../support/registry-server.ts';

const SHOP = ownName('shop');

const REPLICAS = [
  { name: 'a', node: 'one' },
  { name: 'b', node: 'two' },
  { name: 'c', node: 'two' },
] as const;

/** The checks that a healthy installation on good nodes passes. */
const HEALTHY = {
  'api-server': 'ok',
  kernels: 'ok',
  'kube-proxy': 'ok',
  'node-local': 'ok',
  exposure: 'ok',
  'dns-udp': 'ok',
  'dns-tcp': 'ok',
  'dns-race': 'ok',
  registration: 'ok',
  configuration: 'ok',
  scope: 'ok',
  trust: 'ok',
  certificates: 'ok',
  replicas: 'ok',
  rehearsal: 'ok',
  'failing-open': 'ok',
  callers: 'ok',
  rights: 'ok',
  // No cluster DNS runs beside this API server (test/unit/doctor/surroundings.test.ts has those that do).
  'dns-replicas': 'skipped',
  registries: 'ok',
  'other-injectors': 'ok',
  policies: 'ok',
  pods: 'ok',
};

describe.runIf(hasCluster())('libc-dns doctor on a real API server', () => {
  let cluster: TestCluster;
  let registry: RegistryServer;
  let dns: TestDnsServer;
  let installation: Installation;

  const run = (flags: readonly string[], columns = 100): Promise<CliResult> =>
    cli(['doctor', ...flags], {
      columns,
      terminal: true,
      environment: { NO_COLOR: '1' },
      openDoctor: (context) =>
        openDoctor(context, {
          version: 'test',
          environment: { HOME: '/nonexistent' },
          inCluster: false,
          dnsPort: dns.port,
          race: { pairs: 20, lostMs: 1000, enough: 3, totalMs: 10_000 },
        }),
    });
  const usual = (): string[] => {
    const where = ['--kubeconfig', cluster.kubeconfig, '--namespace', SHOP];
    return [...where, '--cluster-dns', '127.0.0.1', '--webhook', `127.0.0.1:${installation.balancer.port}`];
  };
  const report = async (...flags: string[]): Promise<DoctorReport> =>
    JSON.parse((await run([...usual(), '-o', 'json', ...flags])).out) as DoctorReport;
  const check = async (id: string, ...flags: string[]): Promise<CheckEntry> => {
    const [only] = (await report('--check', id, ...flags)).checks;
    if (only === undefined) throw new Error(`no check ${id}`);
    return only;
  };
  const kubectl = (...args: string[]): Promise<string> => cluster.kubectl(args);
  const changed = (kind: string, name: string, body: object, then: () => Promise<void>): Promise<void> =>
    whileChanged(cluster, { kind, name, body }, then);

  beforeAll(async () => {
    cluster = await startCluster();
    registry = await startRegistry();
    dns = await startDnsServer();
    await cluster.createNamespace(SHOP, { 'libc-dns.dev/mode': 'enforce' });
    installation = await install(cluster, { flags: ['--offline'] });
    await completeInstallation(cluster, { detection: { registry: { insecure: [registry.host] } } }, REPLICAS);
    await cluster.apply(kubeProxyConfig, node('one', '6.12.9'), node('two', '6.18.1'));
    const program = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
    const built = image({
      layers: [layer([{ path: 'app', content: program }], 'gzip')],
      config: { entrypoint: ['/app'] },
    });
    const reference = registry.put('team/app:v1', built);
    const spec = { containers: [{ name: 'main', image: reference }] };
    await createPod(cluster, SHOP, { name: 'app', annotations: { 'libc-dns.dev/libc': 'musl' }, spec });
  });
  afterAll(async () => {
    await installation?.stop();
    await Promise.all([registry?.close(), dns?.close(), cluster?.stop()]);
  });

  it('finds nothing wrong with a healthy installation, and changes nothing', async () => {
    const before = await kubectl('get', 'pods,secrets,mutatingwebhookconfigurations', '-A', '-o', 'name');
    const found = await report('--strict');
    expect(Object.fromEntries(found.checks.map(({ id, status }) => [id, status]))).toEqual(HEALTHY);
    expect(found).toMatchObject({
      apiVersion: 'doctor.libc-dns.dev/v1',
      kind: 'DoctorReport',
      server: cluster.server,
      configuration: `ConfigMap ${NAMESPACE}/${NAME}`,
      summary: { ok: 22, warning: 0, failure: 0, skipped: 1 },
    });
    expect(await kubectl('get', 'pods,secrets,mutatingwebhookconfigurations', '-A', '-o', 'name')).toBe(before);
    expect((await run([...usual(), '--strict'])).code).toBe(0);
  });

  it('fits the terminal, but for commands and names', async () => {
    for (const columns of [80, 50]) {
      const { out } = await run([...usual(), '--skip', 'api-server'], columns);
      const lines = out.split('\n');
      expect(lines.filter((line) => line.length > columns && !/^ {6}(kubectl|libc-dns|curl) /.test(line))).toEqual([]);
    }
  });

  it('a node with an old kernel: a warning, which only --strict fails for', async () => {
    await cluster.apply(node('old', '4.19.20'));
    expect(await check('kernels')).toMatchObject({
      status: 'warning',
      seen: '1 of 3 Linux nodes runs a kernel that lacks a fix of the race: the fault is possible there',
      data: { exposed: 1 },
    });
    expect((await run([...usual(), '--check', 'kernels'])).code).toBe(0);
    const strict = await run([...usual(), '--check', 'kernels', '--strict']);
    expect([strict.code, strict.err]).toEqual([1, expect.stringContaining('1 of 1 check warned (--strict)')]);
    await kubectl('delete', 'node', 'old');
  });

  it('what the caller may not read is skipped, and says which right it is', async () => {
    await cluster.createNamespace(ownName('poor'));
    const kubeconfig = await cluster.kubeconfigOf(ownName('poor'), 'default');
    const { out, code } = await run(['--kubeconfig', kubeconfig, '--cluster-dns', '127.0.0.1', '-o', 'json']);
    const { checks } = JSON.parse(out) as DoctorReport;
    const of = (id: string): CheckEntry | undefined => checks.find((one) => one.id === id);
    expect(of('kernels')).toMatchObject({
      status: 'skipped',
      seen: 'not looked at: may not list nodes',
    });
    for (const id of ['registration', 'configuration', 'rights', 'pods'])
      expect(of(id)).toMatchObject({ status: 'skipped' });
    expect(of('dns-udp')).toMatchObject({ status: 'ok' });
    expect(checks.filter(({ status }) => status === 'failure')).toEqual([]);
    expect(code).toBe(0);
  });

  it("with the webhook's own account, as in one of its Pods: what that may read is enough for some checks", async () => {
    const kubeconfig = await cluster.kubeconfigOf(NAMESPACE, NAME);
    const webhook = `127.0.0.1:${installation.balancer.port}`;
    const { out } = await run(['--kubeconfig', kubeconfig, '--webhook', webhook, '--skip', 'registries', '-o', 'json']);
    const { checks } = JSON.parse(out) as DoctorReport;
    const statuses = Object.fromEntries(checks.map(({ id, status }) => [id, status]));
    expect(statuses).toMatchObject({
      trust: 'ok',
      certificates: 'ok',
      scope: 'ok',
      'node-local': 'ok',
      pods: 'skipped',
    });
    expect(statuses['other-injectors']).toBe('skipped');
  });

  describe('the registration', () => {
    it('is gone, and replicas run', async () => {
      await changed('mutatingwebhookconfiguration', NAME, { metadata: { labels: { test: 'gone' } } }, async () => {
        await kubectl('delete', 'mutatingwebhookconfiguration', NAME);
        expect(await check('registration')).toMatchObject({
          status: 'failure',
          seen: expect.stringContaining('not registered, though libc-dns/a') as string,
        });
        expect(await check('scope')).toMatchObject({ status: 'skipped', seen: 'the webhook is not registered here' });
        expect((await run(usual())).code).toBe(1);
      });
    });

    it.each<[string, object[], string, string]>([
      [
        'failurePolicy Fail',
        [{ op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Fail' }],
        'warning',
        'failurePolicy Fail',
      ],
      [
        'UPDATE',
        [{ op: 'add', path: '/webhooks/0/rules/0/operations/-', value: 'UPDATE' }],
        'warning',
        'called for UPDATE',
      ],
      [
        'no CREATE',
        [{ op: 'replace', path: '/webhooks/0/rules/0/operations', value: ['DELETE'] }],
        'failure',
        'not called when Pods are created',
      ],
      [
        'reinvocationPolicy',
        [{ op: 'replace', path: '/webhooks/1/reinvocationPolicy', value: 'Never' }],
        'warning',
        'reinvocationPolicy Never',
      ],
      [
        'a short timeout',
        [{ op: 'replace', path: '/webhooks/0/timeoutSeconds', value: 1 }],
        'warning',
        'less than detection.budget, 1.5 s',
      ],
      [
        'kube-system',
        [{ op: 'remove', path: '/webhooks/0/namespaceSelector/matchExpressions/0' }],
        'warning',
        'called for Pods of kube-system',
      ],
      [
        'another Service',
        [{ op: 'replace', path: '/webhooks/1/clientConfig/service/name', value: 'other' }],
        'failure',
        'Service libc-dns/other, which does not exist',
      ],
      [
        'another port',
        [{ op: 'replace', path: '/webhooks/1/clientConfig/service/port', value: 4443 }],
        'failure',
        'calls port 4443',
      ],
    ])('%s', async (_, body, status, seen) => {
      await changed('mutatingwebhookconfiguration', NAME, body, async () => {
        expect(await check('registration')).toMatchObject({ status, seen: expect.stringContaining(seen) as string });
      });
    });

    it('selects other Pods than the configuration means', async () => {
      const body = [
        { op: 'replace', path: '/webhooks/0/namespaceSelector/matchExpressions/1/values', value: ['enforce'] },
      ];
      await changed('mutatingwebhookconfiguration', NAME, body, async () => {
        expect(await check('scope')).toMatchObject({
          status: 'failure',
          seen: expect.stringContaining('does not call for: namespace audit / Pod no label') as string,
        });
      });
    });
  });

  describe('certificates', () => {
    it('the caBundle is of somebody else: nobody is trusted, and no Pod is patched', async () => {
      for (const replica of installation.replicas.slice()) await installation.removeReplica(replica);
      const { der } = await createCertificate(['elsewhere']);
      const pem = `-----BEGIN CERTIFICATE-----\n${der}\n-----END CERTIFICATE-----\n`;
      const value = Buffer.from(pem).toString('base64');
      const body = [0, 1].map((index) => ({ op: 'replace', path: `/webhooks/${index}/clientConfig/caBundle`, value }));
      await changed('mutatingwebhookconfiguration', NAME, body, async () => {
        const trust = await check('trust');
        expect(trust).toMatchObject({ status: 'failure' });
        expect([trust.seen, ...trust.details].join('\n')).toContain(
          `does not hold the CA of Secret ${NAMESPACE}/${NAME}-ca`,
        );
        expect(await check('rehearsal')).toMatchObject({
          status: 'failure',
          seen: `a Pod that is in scope came back as it was (dry run in ${SHOP})`,
        });
      });
      await installation.addReplica();
    });

    it('a port-forward that leads nowhere', async () => {
      const found = await check('trust', '--webhook', '127.0.0.1:1');
      expect(found).toMatchObject({ status: 'failure', seen: '127.0.0.1:1 shows no certificate: ECONNREFUSED' });
    });
  });

  it('what failed open is counted', async () => {
    // The dry run above was let through by the API server.
    expect(await check('failing-open')).toMatchObject({
      status: 'warning',
      seen: expect.stringMatching(/^\d+ Pods? let through unpatched/) as string,
    });
  });

  it('replicas: one does not start', async () => {
    await putReplica(cluster, { name: 'd', node: 'one', ready: false, waiting: 'CrashLoopBackOff' });
    await kubectl('-n', NAMESPACE, 'delete', 'pod', 'c', '--force', '--grace-period=0');
    expect(await check('replicas')).toMatchObject({
      status: 'warning',
      seen: '2 of 3 replicas are ready (CrashLoopBackOff)',
    });
    await kubectl('-n', NAMESPACE, 'delete', 'pod', 'd', '--force', '--grace-period=0');
    await putReplica(cluster, REPLICAS[2]);
  });

  it('rights: a rule is gone', async () => {
    const rules = [{ apiGroups: [''], resources: ['namespaces'], verbs: ['get'] }];
    await changed('clusterrole', NAME, { rules }, async () => {
      const found = await check('rights');
      expect(found).toMatchObject({ status: 'failure' });
      expect(found.data['missing']).toContain('watch namespaces');
      expect(found.details.join('\n')).toContain('list, watch namespaces: without it the labels');
    });
  });

  it('configuration: a ConfigMap that is not valid', async () => {
    const body = { data: { 'config.yaml': 'scope: everything\n' } };
    await whileChanged(cluster, { kind: 'configmap', name: NAME, namespace: NAMESPACE, body }, async () => {
      const found = await check('configuration');
      expect(found).toMatchObject({ status: 'warning' });
      expect(found.details.join('\n')).toContain('scope');
    });
  });

  it('the registry is down, or wants a login', async () => {
    const reference = 'registry.invalid/team/app:1';
    const annotations = { 'libc-dns.dev/libc': 'musl' };
    await createPod(cluster, SHOP, {
      name: 'down',
      annotations,
      spec: { containers: [{ name: 'main', image: reference }] },
    });
    const found = await check('registries');
    expect(found).toMatchObject({
      status: 'warning',
      seen: expect.stringMatching(/^registry\.invalid has no address.*\(unavailable\)$/) as string,
      details: [expect.stringContaining(`${registry.host}: ${registry.host}/team/app:v1 is musl`)],
    });
    await kubectl('-n', SHOP, 'delete', 'pod', 'down', '--force', '--grace-period=0');
  });

  it('others set DNS: a webhook by its name, a policy by its expression, and the Pods show it', async () => {
    const rules = [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }];
    const group = 'admissionregistration.k8s.io/v1';
    const expression =
      'Object{spec: Object.spec{dnsConfig: Object.spec.dnsConfig{options: [Object.spec.dnsConfig.options{name: "ndots", value: "2"}]}}}';
    const objectSelector = { matchLabels: { never: 'matches' } };
    await cluster.apply(
      {
        apiVersion: group,
        kind: 'MutatingWebhookConfiguration',
        metadata: { name: 'dnsconfig-injector' },
        webhooks: [
          {
            name: 'dnsconfig.example.com',
            rules,
            objectSelector,
            sideEffects: 'None',
            failurePolicy: 'Ignore',
            admissionReviewVersions: ['v1'],
            clientConfig: { url: 'https://127.0.0.1:1/' },
          },
        ],
      },
      {
        apiVersion: group,
        kind: 'MutatingAdmissionPolicy',
        metadata: { name: 'ndots' },
        spec: {
          matchConstraints: { resourceRules: rules, objectSelector },
          reinvocationPolicy: 'Never',
          mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }],
        },
      },
    );
    expect(await check('other-injectors')).toMatchObject({
      status: 'warning',
      seen: '1 other webhook sets the DNS of Pods, by the name: dnsconfig-injector (dnsconfig.example.com)',
    });
    expect(await check('policies')).toMatchObject({
      status: 'ok',
      details: ['without a binding, and so without effect: ndots'],
    });
    await cluster.apply({
      apiVersion: group,
      kind: 'MutatingAdmissionPolicyBinding',
      metadata: { name: 'ndots' },
      spec: { policyName: 'ndots' },
    });
    expect(await check('policies')).toMatchObject({
      status: 'warning',
      seen: '1 MutatingAdmissionPolicy sets the DNS of Pods: ndots',
    });
    await kubectl(
      'delete',
      'mutatingwebhookconfiguration,mutatingadmissionpolicy,mutatingadmissionpolicybinding',
      'dnsconfig-injector',
      'ndots',
      '--ignore-not-found',
    ).catch(() => '');
  });

  it('Pods whose template says something else than they do', async () => {
    const labels = { app: 'odd' };
    const containers = [{ name: 'main', image: 'registry.test/app:1' }];
    await cluster.apply({
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: { name: 'odd', namespace: SHOP },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers } },
      },
    });
    const uid = await kubectl('-n', SHOP, 'get', 'replicaset', 'odd', '-o', 'jsonpath={.metadata.uid}');
    const ownerReferences = [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'odd', uid, controller: true }];
    await cluster.client.request({
      method: 'POST',
      path: `/api/v1/namespaces/${SHOP}/pods`,
      body: {
        metadata: { name: 'odd-1', labels: { ...labels, 'libc-dns.dev/mode': 'off' }, ownerReferences },
        spec: { containers, dnsConfig: { options: [{ name: 'timeout', value: '1' }] } },
      },
    });
    expect(await check('pods')).toMatchObject({
      status: 'warning',
      seen: '1 workload whose Pods got DNS settings that neither their author nor this webhook wrote',
      details: [`${SHOP}/replicaset/odd: timeout:1`],
    });
    await kubectl('-n', SHOP, 'delete', 'replicaset/odd', 'pod/odd-1', '--force', '--grace-period=0');
  });

  it('an API server that is not there: said once, and what needs no cluster is done', async () => {
    const text = await kubectl('config', 'view', '--raw', '-o', 'json');
    const file = JSON.parse(text) as { clusters: { cluster: { server: string } }[] };
    for (const one of file.clusters) one.cluster.server = 'https://127.0.0.1:1';
    const folder = await mkdtemp(join(tmpdir(), 'libc-dns-doctor-'));
    await writeFile(`${folder}/config`, JSON.stringify(file));
    const { out, code } = await run(['--kubeconfig', `${folder}/config`, '--cluster-dns', '127.0.0.1']);
    expect(code).toBe(1);
    expect(out).toMatch(/✗ failure {2}api-server {2}the API server does not answer: GET \/version/);
    expect(out).toMatch(/✓ ok {7}dns-udp/);
    expect(out).toContain('19 checks need a cluster that answers, left out: kernels');
    expect(out.match(/does not answer/g)).toHaveLength(1);
    await rm(folder, { recursive: true });
  });
});
