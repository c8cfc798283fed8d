import { setTimeout as sleep } from 'node:timers/promises';

import type { Answer } from '../../support/reviews.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { whileEnforced } from '../cluster/policies.ts';
import { reasonsOf, startPair } from '../loss.ts';
import { freshNamespace } from '../namespaces.ts';
import { ENFORCE } from '../apps.ts';
import { podOf, untilAllDecide, untilDecided } from '../replicas.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { NAMESPACE, RELEASE, upgrade } from '../installation.ts';

const WALLED = 'walled';

const onlyDnsOverUdp = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'dns', namespace: WALLED },
  spec: { podSelector: {}, policyTypes: ['Egress'], egress: [{ ports: [{ port: 53, protocol: 'UDP' }] }] },
};

/** A Pod as the webhook would break it if it did not read the policy. */
const overTcp = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'tcp', namespace: WALLED, labels: { 'libc-dns.dev/mode': 'off' } },
  spec: {
    dnsConfig: { options: [{ name: 'use-vc' }] },
    containers: [{ name: 'app', image: 'registry.e2e.test/apps/glibc:1' }],
  },
};

/** Reports whether a name resolves in a Pod within 5 s. Where TCP is dropped, glibc waits for minutes. */
async function resolves(cluster: Cluster, pod: string): Promise<boolean> {
  const lookedUp = cluster.kubectl('exec', '-n', WALLED, pod, '--', '/probe', 'lookup', 'www.example.com').then(
    () => true,
    () => false,
  );
  return await Promise.race([lookedUp, sleep(5000, false)]);
}

/** Reports whether a replica of the webhook can open a TCP connection. */
async function replicaReaches(cluster: Cluster, host: string, port: number): Promise<boolean> {
  const script = `
    const socket = require('node:net').connect({ host: '${host}', port: ${port}, timeout: 3000 });
    const end = (word) => { console.log(word); process.exit(0); };
    socket.once('connect', () => end('yes')).once('timeout', () => end('no')).once('error', () => end('no'));`;
  const words = ['exec', '-n', NAMESPACE, `deployment/${RELEASE}`, '--', '/nodejs/bin/node', '-e', script];
  return (await cluster.kubectl(...words)).trim() === 'yes';
}

/** The chart's own policy, with the ports of API server and registries named. */
async function checkOwn(cluster: Cluster): Promise<void> {
  await upgrade(cluster, '--set', 'networkPolicy.egressPorts={443,6443}');
  // Nothing is known already.
  await cluster.kubectl('delete', 'imagelibcs', '--all');
  await cluster.kubectl('-n', NAMESPACE, 'rollout', 'restart', `deployment/${RELEASE}`);
  await cluster.kubectl('-n', NAMESPACE, 'rollout', 'status', `deployment/${RELEASE}`, '--timeout=120s');
  const tested = await cluster.helm('test', RELEASE, '-n', NAMESPACE, '--timeout', '2m');
  expectThat(/Phase:\s+Succeeded/.test(tested), tested);
  // Known by the registry alone, within the time of one Pod or of the next.
  await untilDecided(cluster, 'MuslRetried');
  const dns = await cluster.get<{ items: readonly { status: { podIP: string } }[] }>(
    'pods',
    '-n',
    'kube-system',
    '-l',
    'k8s-app=kube-dns',
  );
  const address = dns.items[0]?.status.podIP ?? '';
  expectThat(await replicaReaches(cluster, address, 53), 'a replica does not reach the cluster DNS over TCP');
  expectThat(!(await replicaReaches(cluster, address, 9153)), "a replica reaches what the chart's policy forbids");
}

/** What NetworkPolicies let through, where something enforces them. */
export const networkPolicy: Scenario = {
  id: 'network-policy',
  name: 'NetworkPolicies are enforced: UDP 53 alone for Pods, and the policy of the chart for the webhook',
  run: (cluster) =>
    whileEnforced(cluster, async () => {
      await freshNamespace(cluster, WALLED, ENFORCE);
      await cluster.apply(onlyDnsOverUdp, overTcp);
      const forbidden = ({ audit }: Answer): boolean => audit.decision?.reason === 'TcpNotAllowed';
      await untilAllDecide(cluster, 'TcpNotAllowed', podOf(WALLED, 'glibc'), forbidden);
      await startPair(cluster, WALLED);
      const reasons = await reasonsOf(cluster, WALLED);
      expectThat(reasons === 'TcpNotAllowed, MuslRetried, none', reasons);
      expectThat(!(await resolves(cluster, 'tcp')), 'nothing enforces the policy: names resolve over TCP');
      for (const pod of ['glibc', 'musl']) expectThat(await resolves(cluster, pod), `${pod} does not resolve names`);
      await checkOwn(cluster);
      await cluster.kubectl('delete', 'namespace', WALLED, '--wait=false');
      await upgrade(cluster);
      return `where the policy lets out UDP 53 alone: ${reasons}; both resolve names, and over TCP none does; the webhook started anew within its policy, read an image, and reached nothing else`;
    }),
};
