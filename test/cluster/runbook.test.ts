import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent } from 'node:https';
import { networkInterfaces, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { binary, hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { install, NAMESPACE, type Installation } from '../support/installation.ts';
import { startKubelet, type Kubelet } from '../support/kubelet.ts';
import { createPod } from '../support/pods.ts';

const SHOP = ownName('shop');

const RUNBOOK = readFileSync(new URL('../../docs/runbook.md', import.meta.url), 'utf8');

/** Each line of each block of commands, once. */
const commands = new Set(
  [...RUNBOOK.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) => block.trim().split('\n')),
);

/** The API server asks a kubelet for the first, and a Pod's own address for the second. */
const READS_LOG = /kubectl [^|]*\blogs\b/;
const READS_POD = /\/proxy\//;
/** It needs a container. */
const EXECUTES = /kubectl [^|]*\bexec\b/;

/** An error of our own cannot be had by asking. */
const RARE = /"level":"error"/;

/** What kubectl says where a question was right and the answer is none. */
const NOTHING_THERE = /^(No resources found.*\n)?$/;

/** Objects of Argo CD and Flux that hold the release. */
const HEALERS = [
  { namespace: 'argocd', group: 'argoproj.io', version: 'v1alpha1', kind: 'Application' },
  { namespace: 'flux-system', group: 'helm.toolkit.fluxcd.io', version: 'v2', kind: 'HelmRelease' },
  { namespace: 'flux-system', group: 'kustomize.toolkit.fluxcd.io', version: 'v1', kind: 'Kustomization' },
] as const;

const AT_LAST = 'kubectl delete mutatingwebhookconfiguration libc-dns-webhook';

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The API server opens no connection to loopback for anybody. */
const ADDRESS = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.internal === false && one.family === 'IPv4')?.address;

describe.runIf(hasCluster())('the commands of the runbook', () => {
  let cluster: TestCluster;
  let installation: Installation;
  let kubelet: Kubelet;
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-runbook-'));

  /** As an administrator who has a kubeconfig would run it. */
  const run = (command: string): Promise<Ran> => {
    const path = [folder, dirname(binary('kubectl') ?? ''), process.env['PATH']].join(delimiter);
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, PATH: path };
    const port = new URL(installation.replicas[0]?.probes ?? '').port;
    const script = command.replaceAll('NAMESPACE', SHOP).replaceAll(':9402', `:${port}`);
    return new Promise((resolve) => {
      execFile('bash', ['-o', 'pipefail', '-c', script], { env, timeout: 30_000 }, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
      );
    });
  };

  /** The replica is a process: a Pod with its name, on its node, at its address. */
  async function asPod(nodeName: string): Promise<void> {
    const labels = { 'app.kubernetes.io/name': 'libc-dns-webhook' };
    await cluster.kubectl(['create', 'serviceaccount', 'default', '-n', NAMESPACE]).catch(() => '');
    const containers = [{ name: 'webhook', image: 'registry.test/webhook:1' }];
    await createPod(cluster, NAMESPACE, { name: 'replica', labels, spec: { containers, nodeName } });
    const status = { phase: 'Running', podIP: ADDRESS, podIPs: [{ ip: ADDRESS }] };
    const args = ['patch', 'pod', 'replica', '-n', NAMESPACE, '--subresource=status', '--type=merge'];
    await cluster.kubectl([...args, '-p', JSON.stringify({ status })]);
  }

  /** Kinds of Argo CD and Flux as the API server knows them, and one object of each, which is to heal by itself. */
  async function createHealers(): Promise<void> {
    for (const { namespace, group, version, kind } of HEALERS) {
      const plural = `${kind.toLowerCase()}s`;
      const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
      await cluster.apply({
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: `${plural}.${group}` },
        spec: {
          group,
          scope: 'Namespaced',
          names: { kind, plural, singular: kind.toLowerCase() },
          versions: [{ name: version, served: true, storage: true, schema }],
        },
      });
      await cluster.kubectl(['wait', '--for=condition=Established', `crd/${plural}.${group}`]);
      await cluster.kubectl(['create', 'namespace', namespace]).catch(() => '');
      const metadata = { name: 'libc-dns-webhook', namespace };
      const spec = { syncPolicy: { automated: { selfHeal: true } } };
      await cluster.apply({ apiVersion: `${group}/${version}`, kind, metadata, spec });
    }
  }

  async function createDeployment(namespace: string): Promise<void> {
    const labels = { app: 'web' };
    const containers = [{ name: 'main', image: 'registry.test/web:1' }];
    const template = { metadata: { labels }, spec: { containers } };
    const spec = { replicas: 0, selector: { matchLabels: labels }, template };
    await cluster.apply({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace }, spec });
  }

  beforeAll(async () => {
    cluster = await startCluster();
    const environment = { SERVER_ADDRESS: '0.0.0.0', DETECTION_REGISTRY_INSECURE: '127.0.0.1:1', LOG_LEVEL: 'info' };
    installation = await install(cluster, { settings: environment });
    await cluster.createNamespace(SHOP, { 'libc-dns.dev/mode': 'enforce' });
    await createPod(cluster, SHOP, { name: 'web' });
    await createHealers();
    await createDeployment(SHOP);
    const [replica] = installation.replicas;
    if (replica === undefined) throw new Error('there is no replica');
    kubelet = await startKubelet(cluster, () => replica.lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    await asPod(kubelet.node);
    // What the runbook looks for in the log: a registry that keeps failing, and a request that is none.
    for (let index = 0; index < 8; index += 1) {
      const spec = { containers: [{ name: 'main', image: `127.0.0.1:1/app:${index}` }] };
      await createPod(cluster, SHOP, { name: `app-${index}`, spec, annotations: {} });
    }
    // The CA is in the registration alone.
    const agent = new Agent({ rejectUnauthorized: false });
    await replica.post('no review', { agent });
    agent.destroy();
    const isLogged = (): boolean => replica.lines.some(({ msg }) => msg.includes('keeps failing'));
    await vi.waitUntil(isLogged, { timeout: 10_000 });
  });
  afterAll(async () => {
    await kubelet?.close();
    await installation?.stop();
    await cluster?.stop();
    rmSync(folder, { recursive: true });
  });

  it('are there', () => {
    expect(commands.size).toBeGreaterThan(20);
    expect([...commands].filter((command) => !/^(kubectl|for) /.test(command))).toEqual([]);
  });

  const runnable = [...commands].filter((command) => !EXECUTES.test(command) && command !== AT_LAST);

  it.each(runnable.filter((command) => !RARE.test(command)))('%s', async (command) => {
    if (READS_POD.test(command) && ADDRESS === undefined) return;
    const { code, out, err } = await run(command);
    expect(err).toMatch(NOTHING_THERE);
    expect(code).toBe(0);
    expect(out + err).not.toBe('');
    if (READS_LOG.test(command)) expect(out.split('\n')[0]).toMatch(/^(?:\{"|no client CA is set$)/);
    if (READS_POD.test(command)) expect(out).toMatch(/^# replica\nlibc_dns_/);
  });

  it.each(runnable.filter((command) => RARE.test(command)))('finds nothing, and says nothing: %s', async (command) => {
    expect(await run(command)).toEqual({ code: 1, out: '', err: '' });
  });

  it.each([...commands].filter((command) => EXECUTES.test(command)))(
    'here, beside the process, for there is no container: %s',
    async (command) => {
      const inside = /-- \/nodejs\/bin\/node (.*?)(?:; done)?$/.exec(command)?.[1] ?? '';
      const { code, out, err } = await run(`node ${inside}`);
      expect({ code, out, err }).toEqual({ code: 0, out: expect.stringMatching(/^ok\n/) as string, err: '' });
      // No container, but the right Pod was asked for.
      expect((await run(command)).err).not.toMatch(/unknown|invalid|syntax|[Uu]sage|doesn't have a resource/);
    },
  );

  it('have stopped what would heal the registration, and restarted what runs', async () => {
    const read = async (namespace: string, object: string, path: string): Promise<string> =>
      await cluster.kubectl(['-n', namespace, 'get', object, `-o=jsonpath={${path}}`]);
    expect(await read('argocd', 'applications.argoproj.io/libc-dns-webhook', '.spec.syncPolicy')).toBe('{}');
    for (const kind of ['helmreleases.helm.toolkit.fluxcd.io', 'kustomizations.kustomize.toolkit.fluxcd.io']) {
      expect(await read('flux-system', `${kind}/libc-dns-webhook`, '.spec.suspend')).toBe('true');
    }
    const restarted = '.spec.template.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt';
    expect(await read(SHOP, 'deployment/web', restarted)).not.toBe('');
  });

  it('show a Pod as it would be patched, and none once the webhook is stopped', async () => {
    const probe = [...commands].find((command) => command.includes('--dry-run=server')) ?? '';
    await cluster.kubectl(['label', 'namespace', SHOP, 'libc-dns.dev/mode=enforce', '--overwrite']);
    expect((await run(probe)).out).toContain('"reason":"UnknownOptions"');
    expect((await run(AT_LAST)).code).toBe(0);
    expect((await run(probe)).out.trim()).toBe('');
  });
});
