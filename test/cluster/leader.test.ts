import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { createLeader, type Leader } from '../../src/kubernetes/leader.ts';
import { type KubeObject, resourcePath, RESOURCES } from '../../src/kubernetes/objects.ts';
import { systemClock } from '../../src/util/clock.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { recordingReporter } from '../support/recording-reporter.ts';

const PROGRAM = fileURLToPath(new URL('../support/leader-process.ts', import.meta.url));
const patience = { timeout: 30_000, interval: 50 };

interface Replica {
  readonly child: ChildProcess;
  readonly lines: string[];
  readonly leads: () => boolean;
}

describe.runIf(hasCluster())('leader election on a real API server', () => {
  let cluster: TestCluster;
  let namespaces = 0;
  const replicas: Replica[] = [];
  const leaders: Leader[] = [];
  const clients: KubeClient[] = [];

  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterEach(async () => {
    for (const { child } of replicas.splice(0)) child.kill('SIGKILL');
    await Promise.all(leaders.splice(0).map((leader) => leader.close()));
    await Promise.all(clients.splice(0).map((client) => client.close()));
  });
  afterAll(async () => await cluster?.stop());

  async function place(): Promise<string> {
    namespaces += 1;
    await cluster.createNamespace(ownName(`election-${namespaces}`));
    return ownName(`election-${namespaces}`);
  }

  function replica(namespace: string, identity: string): Replica {
    const child = spawn(process.execPath, [PROGRAM, cluster.kubeconfig, namespace, identity], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
    const leads = () => lines.findLast((line) => line !== 'acts') === 'started';
    replicas.push({ child, lines, leads });
    return { child, lines, leads };
  }

  async function specOf(namespace: string): Promise<Record<string, unknown>> {
    const path = resourcePath(RESOURCES.leases, 'election', namespace);
    return (await cluster.client.request<KubeObject & { spec: Record<string, unknown> }>({ path })).spec;
  }

  it('one of three leads; killed, another takes over; ended, the third does so at once', async () => {
    const namespace = await place();
    const all = ['a', 'b', 'c'].map((identity) => replica(namespace, identity));
    const leading = () => all.filter(({ leads, child }) => leads() && child.exitCode === null && !child.killed);
    await expect.poll(() => leading().length, patience).toBe(1);
    const [first] = leading();
    first?.child.kill('SIGKILL');
    const killedAt = performance.now();
    await expect.poll(() => leading().length, patience).toBe(1);
    expect(performance.now() - killedAt).toBeGreaterThan(1500);

    const [second] = leading();
    second?.child.kill('SIGTERM');
    await once(second!.child, 'exit');
    expect(second?.lines.at(-1)).toBe('stopped');
    await expect.poll(() => leading().length, patience).toBe(1);
    expect(all.every(({ lines }) => lines.filter((line) => line === 'started').length <= 1)).toBe(true);
    expect(await specOf(namespace)).toMatchObject({ leaseTransitions: 2, leaseDurationSeconds: 3 });
  });

  it('one that was stopped for a while does nothing more when it wakes', async () => {
    const namespace = await place();
    const a = replica(namespace, 'a');
    await expect.poll(() => a.lines.includes('acts'), patience).toBe(true);
    const b = replica(namespace, 'b');
    a.child.kill('SIGSTOP');
    await expect.poll(() => b.leads(), patience).toBe(true);
    const before = a.lines.length;
    a.child.kill('SIGCONT');
    await expect.poll(() => a.lines.includes('stopped'), patience).toBe(true);
    expect(a.lines.slice(before)).toEqual(['stopped']);
    expect((await specOf(namespace))['holderIdentity']).toBe('b');
  });

  it('needs get, create and update of Leases in its own namespace alone, and says which is missing', async () => {
    const namespace = await place();
    const client = createKubeClient(
      kubeConfigTransport({ files: [await cluster.kubeconfigOf(namespace, 'default')], userAgent: 'test' }),
    );
    clients.push(client);
    const { reporter, lines } = recordingReporter();
    const lost = () => lines.filter(({ level }) => level === 'warn');
    const leader = createLeader({
      client,
      namespace,
      name: 'election',
      identity: 'least',
      clock: systemClock,
      timing: { durationMs: 3000, renewMs: 2000, retryMs: 100 },
      trouble: reporter.trouble('the Lease cannot be used', 'lease'),
    });
    leaders.push(leader);
    await expect.poll(() => lost().length, patience).toBe(1);
    expect(lost()[0]?.fields['error']).toMatch(/cannot get resource "leases" in API group "coordination.k8s.io"/);
    await cluster.apply(...roleFor(namespace));
    await expect.poll(() => leader.isLeader(), patience).toBe(true);
    // A renewal that a busy machine makes too late is lost, too, and not for the rights.
    expect(lost().filter(({ fields }) => /cannot \w+ resource/.test(String(fields['error'])))).toHaveLength(1);
    expect(await specOf(namespace)).toMatchObject({ holderIdentity: 'least' });
  });

  it('a Lease that is deleted or edited by hand costs nobody the lead', async () => {
    const namespace = await place();
    const a = replica(namespace, 'a');
    await expect.poll(() => a.leads(), patience).toBe(true);
    await cluster.kubectl(['delete', 'lease', 'election', '-n', namespace]);
    const holder = async () => (await specOf(namespace).catch(() => undefined))?.['holderIdentity'];
    await expect.poll(holder, patience).toBe('a');
    await cluster.kubectl(['annotate', 'lease', 'election', '-n', namespace, 'note=kept']);
    const { renewTime } = await specOf(namespace);
    await expect.poll(async () => (await specOf(namespace))['renewTime'], patience).not.toBe(renewTime);
    const lease = await cluster.kubectl(['get', 'lease', 'election', '-n', namespace, '-o', 'yaml']);
    expect(lease).toContain('note: kept');
    expect(a.lines.filter((line) => line !== 'acts')).toEqual(['started']);
  });
});

/** What docs/security.md asks for. */
function roleFor(namespace: string): object[] {
  const api = 'rbac.authorization.k8s.io';
  const metadata = { name: 'leader', namespace };
  const leases = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] };
  return [
    {
      apiVersion: `${api}/v1`,
      kind: 'Role',
      metadata,
      rules: [
        { ...leases, verbs: ['create'] },
        { ...leases, verbs: ['get', 'update'], resourceNames: ['election'] },
      ],
    },
    {
      apiVersion: `${api}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: api, kind: 'Role', name: 'leader' },
      subjects: [{ kind: 'ServiceAccount', name: 'default', namespace }],
    },
  ];
}
