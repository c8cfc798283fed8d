import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createDecisionEvents } from '../../src/cluster/events.ts';
import { systemClock } from '../../src/util/clock.ts';
import { createTokenBucket } from '../../src/util/limits/token-bucket.ts';
import { createWorkload } from '../support/audit-cluster.ts';
import { ASSETS, hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { install, type Installation } from '../support/installation.ts';
import { createPod, optionsOf, podObject } from '../support/pods.ts';
import { decideFor } from '../support/policy.ts';
import { recordingReporter } from '../support/recording-reporter.ts';

const SHOP = ownName('shop');

interface AuditEvent {
  readonly objectRef?: { readonly namespace?: string; readonly name?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

const POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  rules: [{ level: 'Metadata', verbs: ['create'], resources: [{ group: '', resources: ['pods'] }] }],
};

/** A running cluster has flags of its own. */
const hasOwnCluster = hasCluster() && process.env['LIBC_DNS_TEST_KUBECONFIG'] === undefined;

describe.runIf(hasOwnCluster)('audit mode on a real API server', () => {
  let cluster: TestCluster;
  let installation: Installation;
  let folder: string;

  const events = async (name: string): Promise<AuditEvent[]> => {
    const lines = (await readFile(join(folder, 'audit.log'), 'utf8')).split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line) as AuditEvent).filter((event) => event.objectRef?.name === name);
  };

  /** What the webhooks put into the API server's log on a Pod, under the names that it gives them. */
  const annotationsOf = async (name: string): Promise<Record<string, string>> => {
    await expect.poll(async () => (await events(name)).length, { timeout: 20_000 }).toBeGreaterThan(0);
    const all = Object.entries((await events(name)).at(-1)?.annotations ?? {});
    return Object.fromEntries(all.filter(([key]) => /^[a-z]+\.libc-dns\.dev\//.test(key)));
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'libc-dns-audit-mode-'));
    await writeFile(join(folder, 'policy.json'), JSON.stringify(POLICY));
    const flags = { 'audit-policy-file': join(folder, 'policy.json'), 'audit-log-path': join(folder, 'audit.log') };
    cluster = await startCluster(flags);
    const settings = { DETECTION_REGISTRY_ENABLED: 'false', SERVER_WARNINGS: 'true' };
    installation = await install(cluster, { settings });
    for (const mode of ['audit', 'enforce'])
      await cluster.createNamespace(ownName(`n-${mode}`), { 'libc-dns.dev/mode': mode });
  });
  afterAll(async () => {
    await installation?.stop();
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it.each([
    { mode: 'audit', options: [] },
    { mode: 'enforce', options: ['timeout:5', 'attempts:10'] },
  ])('$mode: the decision is in the audit log of the API server', async ({ mode, options }) => {
    const stored = await createPod(cluster, ownName(`n-${mode}`), { name: `pod-${mode}` });
    expect(optionsOf(stored)).toEqual(options);
    expect(await annotationsOf(`pod-${mode}`)).toEqual({
      'namespaces.libc-dns.dev/mode': mode,
      'namespaces.libc-dns.dev/decision': '{"reason":"MuslRetried","remedy":["retry"],"resolvers":{"main":"musl"}}',
      'namespaces.libc-dns.dev/message': expect.stringMatching(/^musl ignores the options/) as string,
    });
  });

  it('the person who creates a Pod is told, where server.warnings is on', async () => {
    const manifest = JSON.stringify(podObject({ name: 'told' }));
    const cache = join(tmpdir(), 'libc-dns-kubectl-cache');
    const script = `kubectl --cache-dir "${cache}" --kubeconfig "${cluster.kubeconfig}" -n ${ownName('n-audit')} apply -f - 2>&1`;
    const output = await new Promise<string>((resolve, reject) => {
      const path = `${ASSETS}:${process.env['PATH']}`;
      const child = execFile('sh', ['-c', script], { env: { PATH: path } }, (error, stdout) =>
        error === null ? resolve(stdout) : reject(error),
      );
      child.stdin?.end(manifest);
    });
    expect(output).toMatch(/^Warning: libc-dns: would apply retry \(MuslRetried\): musl ignores the options/m);
  });

  it('one structured line for a decision, without a change of the Pod', async () => {
    await createPod(cluster, ownName('n-audit'), { name: 'logged' });
    const lines = () =>
      installation.replicas.flatMap(({ lines: all }) => all.filter((line) => line['pod'] === 'logged'));
    await expect.poll(lines).toMatchObject([
      {
        level: 'info',
        namespace: ownName('n-audit'),
        mode: 'audit',
        reason: 'MuslRetried',
        remedy: ['retry'],
        resolvers: { musl: 1 },
        patched: false,
      },
    ]);
  });
});

describe.runIf(hasOwnCluster)('Events on workloads', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(async () => await cluster?.stop());

  it('are what kubectl describe shows of a Deployment', async () => {
    await cluster.createNamespace(SHOP);
    await createWorkload(cluster, {
      namespace: SHOP,
      name: 'web',
      image: 'registry.test/app:1',
      pods: 1,
    });

    const { reporter, of } = recordingReporter();
    const replicas = [1, 2].map((index) =>
      createDecisionEvents({
        client: cluster.client,
        clock: systemClock,
        pace: createTokenBucket({ perSecond: 1, burst: 10, clock: systemClock }),
        verified: false,
        instance: `replica-${index}`,
        reporter,
      }),
    );
    const pod = await cluster.kubectl(['-n', SHOP, 'get', 'pod', 'web-abc12-0', '-o', 'json']);
    const { ownerReferences: owners } = (JSON.parse(pod) as { metadata: { ownerReferences: unknown } }).metadata;
    const decision = { ...decideFor({ resolvers: ['musl'] }), mode: 'audit' as const };
    for (const replica of replicas) replica.decided({ owners, namespace: SHOP, decision });
    const described = async (): Promise<string> => await cluster.kubectl(['-n', SHOP, 'describe', 'deployment', 'web']);
    await expect
      .poll(described, { timeout: 20_000 })
      .toMatch(/Normal +MuslRetried .*would apply retry to a Pod: musl ignores/);
    await expect.poll(() => of('cluster.eventWritten')).toEqual([['written']]);
    await Promise.all(replicas.map((replica) => replica.close()));
    // Both replicas had the same to say.
    const names = await cluster.kubectl(['-n', SHOP, 'get', 'events', '-o', 'name']);
    expect(names.trim().split('\n')).toHaveLength(1);
    expect(of('cluster.apiFailed')).toEqual([]);
  });
});
