import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { KubeObject } from '../../src/kubernetes/objects.ts';
import { CHART, hasHelm, helm, NAMESPACE, RELEASE } from '../chart/helm.ts';
import { bundle } from '../support/bundle.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { untilReady } from '../support/installation.ts';
import { createPod } from '../support/pods.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const LIBCS = '/apis/libc-dns.dev/v1alpha1/imagelibcs';

interface Registration extends KubeObject {
  readonly webhooks: readonly { readonly name: string; readonly clientConfig: { readonly caBundle?: string } }[];
}
interface Deployment extends KubeObject {
  readonly spec: {
    readonly template: { readonly spec: { readonly containers: readonly { readonly args: readonly string[] }[] } };
  };
}

describe.runIf(hasCluster() && hasHelm())('a life of an installation', () => {
  let cluster: TestCluster;
  let folder: string;
  beforeAll(async () => {
    cluster = await startCluster();
    folder = mkdtempSync(join(tmpdir(), 'libc-dns-chart-'));
  });
  afterAll(async () => {
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const run = (...args: readonly string[]): string => helm([...args, '--kubeconfig', cluster.kubeconfig]);
  const read = <T extends KubeObject>(path: string): Promise<T> => cluster.client.request<T>({ path });
  const registration = (): Promise<Registration> => read(`${CONFIGURATIONS}/${RELEASE}`);

  let replica: WebhookProcess | undefined;
  let program: ReturnType<typeof bundle>;
  beforeAll(() => {
    program = bundle();
  });
  afterAll(async () => {
    await replica?.stop();
    program?.remove();
  });

  /** The chart as an earlier version would have been: fewer columns in its definition, fewer values. */
  function earlierChart(): string {
    const earlier = join(folder, 'earlier');
    cpSync(CHART, earlier, { recursive: true });
    const edit = (file: string, from: RegExp, to: string): void => {
      const path = join(earlier, file);
      const text = readFileSync(path, 'utf8');
      expect(text).toMatch(from);
      writeFileSync(path, text.replace(from, to));
    };
    edit('Chart.yaml', /^version: .*$/m, 'version: 0.0.1');
    edit('files/imagelibcs.yaml', /^ *- \{ name: Age.*\n/m, '');
    edit('values.yaml', /^proxy:\n(?: .*\n)+/m, '');
    for (const file of ['_helpers.tpl', 'deployment.yaml']) {
      edit(`templates/${file}`, /\$?\.Values\.proxy\b/g, '($.Values.global | default dict)');
    }
    rmSync(join(earlier, 'values.schema.json'));
    return earlier;
  }

  /** Runs the bundle as the Deployment says, with the mounted configuration and the rights of its service account. */
  async function startReplica(): Promise<WebhookProcess> {
    const path = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/${RELEASE}`;
    const deployment = await read<Deployment>(path);
    const args = deployment.spec.template.spec.containers[0]?.args ?? [];
    expect(args[0]).toBe('serve');
    const config = await read<KubeObject & { data: Record<string, string> }>(
      `/api/v1/namespaces/${NAMESPACE}/configmaps/${RELEASE}`,
    );
    const file = join(folder, 'config.yaml');
    writeFileSync(file, config.data['config.yaml'] ?? '');
    const kubeconfig = await cluster.kubeconfigOf(NAMESPACE, RELEASE);
    const mounted = args.slice(1).map((arg) => arg.replace('/etc/libc-dns/config.yaml', file));
    // A proxy that is not there: what is for registries is nothing for the API.
    const environment = { HTTPS_PROXY: 'http://127.0.0.1:9' };
    return await startWebhook({ main: program.main, flags: [...mounted, '--kubeconfig', kubeconfig], environment });
  }

  it('begins with helm install; a replica with its rights then gets ready and owns the caBundle', async () => {
    const notes = run('install', RELEASE, earlierChart(), '--namespace', NAMESPACE, '--create-namespace');
    expect(notes).toContain('kubectl label namespace NAMESPACE libc-dns.dev/mode=audit');
    expect(notes).toContain(`helm -n ${NAMESPACE} test ${RELEASE}`);
    const before = await registration();
    expect(before.webhooks.map(({ clientConfig }) => clientConfig.caBundle)).toEqual([undefined, undefined]);
    replica = await startReplica();
    await untilReady(replica);
    const { webhooks } = await registration();
    expect(webhooks.every(({ clientConfig }) => (clientConfig.caBundle ?? '').length > 500)).toBe(true);
    expect(replica.lines.filter(({ level }) => level === 'error').map(({ msg }) => msg)).toEqual([]);
  });

  it('goes on with an upgrade that keeps CA and verdicts, and brings the new definition', async () => {
    const declared = { metadata: { name: 'by-hand' }, spec: { image: 'shop/search:1', resolver: 'musl' } };
    const libc = { apiVersion: 'libc-dns.dev/v1alpha1', kind: 'ImageLibc', ...declared };
    await cluster.kubectl(['create', '-f', '-'], JSON.stringify(libc));
    const secret = `/api/v1/namespaces/${NAMESPACE}/secrets/${RELEASE}-ca`;
    const [ca, trusted] = [await read<KubeObject>(secret), await registration()];

    const values = ['--reset-then-reuse-values', '--set', 'config.scope=cluster', '--set', 'replicas=2'];
    run('upgrade', RELEASE, CHART, '--namespace', NAMESPACE, ...values);

    expect((await read<KubeObject>(secret))['data']).toEqual(ca['data']);
    const { webhooks } = await registration();
    expect(webhooks.map(({ clientConfig }) => clientConfig)).toEqual(
      trusted.webhooks.map(({ clientConfig }) => clientConfig),
    );
    expect(webhooks[0]).toMatchObject({
      namespaceSelector: { matchExpressions: expect.arrayContaining([expect.objectContaining({ values: ['off'] })]) },
    });
    expect(await cluster.kubectl(['get', 'imagelibcs'])).toMatch(/^NAME +IMAGE +.*AGE\nby-hand +shop\/search:1/m);
    expect(replica?.lines.filter(({ level }) => level === 'error').map(({ msg }) => msg)).toEqual([]);
  });

  it('holds no Pod up for good while no replica can be reached, and the API server counts it', async () => {
    await cluster.createNamespace(ownName('customer'));
    const stored = await createPod(cluster, ownName('customer'), { name: 'meanwhile' });
    expect(stored.metadata.annotations).not.toHaveProperty('libc-dns.dev/decision');
    const metrics = await cluster.kubectl(['get', '--raw', '/metrics']);
    expect(metrics).toMatch(/^apiserver_admission_webhook_fail_open_count\{name="namespaces\.libc-dns\.dev"/m);
  });

  it('is stopped by one command, and begins again with the next upgrade', async () => {
    await cluster.kubectl(['delete', 'mutatingwebhookconfiguration', RELEASE]);
    const stored = await createPod(cluster, ownName('customer'), { name: 'stopped' });
    expect(stored.metadata.annotations).not.toHaveProperty('libc-dns.dev/decision');
    run('upgrade', RELEASE, CHART, '--namespace', NAMESPACE, '--reset-then-reuse-values');
    await expect
      .poll(async () => (await registration()).webhooks[0]?.clientConfig.caBundle, { timeout: 10_000 })
      .toEqual(expect.any(String));
  });

  it('ends with an uninstall that leaves the verdicts, and nothing that Pods meet', async () => {
    await replica?.stop();
    replica = undefined;
    run('uninstall', RELEASE, '--namespace', NAMESPACE);
    await expect(registration()).rejects.toMatchObject({ code: 'not-found' });
    const left = await cluster.kubectl([
      'get',
      'clusterroles,clusterrolebindings,priorityclasses,roles,rolebindings,deployments,services,configmaps,networkpolicies',
      '--all-namespaces',
      '--selector',
      `app.kubernetes.io/instance=${RELEASE}`,
      '--output=name',
    ]);
    expect(left).toBe('');
    await expect(read(`${LIBCS}/by-hand`)).resolves.toMatchObject({ spec: { resolver: 'musl' } });
    await createPod(cluster, ownName('customer'), { name: 'afterwards' });
  });

  it('can begin again where it ended', () => {
    expect(run('install', RELEASE, CHART, '--namespace', NAMESPACE)).toContain('STATUS: deployed');
    run('uninstall', RELEASE, '--namespace', NAMESPACE);
  });
});
