import type { Cluster } from '../cluster/cluster.ts';
import { until } from '../cluster/daemons.ts';
import { CLUSTER_DNS, NODES } from '../cluster/place.ts';
import { COUNT, createPair, figureText, lookUps, reasonsOf, whileRaced } from '../loss.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { upgrade } from './install.ts';
import { rolledOutCache, turnCacheOff } from './node-local.ts';

/** Returns how many questions the caches of all nodes have got at the address of the cluster DNS, by their metrics. */
async function questionsToCaches(): Promise<number> {
  let sum = 0;
  for (const { address } of NODES) {
    const text = await (await fetch(`http://${address}:9253/metrics`)).text();
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith('coredns_dns_requests_total{') && line.includes(`dns://${CLUSTER_DNS}:53`));
    sum += lines.reduce((all, line) => all + Number(line.split(' ').at(-1)), 0);
  }
  return sum;
}

/** Waits until the webhook decides for this reason about a new Pod of musl. */
export async function untilDecided(cluster: Cluster, reason: string): Promise<void> {
  const pod = ['-n', 'default', 'run', 'new', '--labels=libc-dns.dev/mode=enforce', '--dry-run=server'];
  const output = ['--image=registry.e2e.test/apps/musl:1', '-o', 'jsonpath={.metadata.annotations}'];
  const decided = async (): Promise<true | undefined> =>
    (await cluster.kubectl(...pod, ...output)).includes(reason) || undefined;
  await until(reason, decided, 120_000);
}

/** The cache answers at the cluster DNS address, so that every Pod asks it, ours or not. */
export const intercept: Scenario = {
  id: 'intercept',
  name: 'the node-local cache takes over the address of the cluster DNS: nothing is lost, and no Pod is redirected',
  repeatable: true,
  async run(cluster) {
    const flags = ['nodeLocalDns.enabled=true', `nodeLocalDns.interceptAddress=${CLUSTER_DNS}`];
    await upgrade(cluster, ...flags.flatMap((flag) => ['--set', flag]));
    await rolledOutCache(cluster);
    await untilDecided(cluster, 'NodeLocalIntercepts');
    await createPair(cluster, 'intercepted');
    await createPair(cluster, 'intercepted-ours', 'enforce');
    const reasons = await reasonsOf(cluster, 'intercepted-ours');
    expectThat(reasons === 'OptionsAdded, NodeLocalIntercepts', reasons);
    const [before, figures] = await whileRaced(async () => {
      const questions = await questionsToCaches();
      const all = [];
      for (const namespace of ['intercepted', 'intercepted-ours']) {
        for (const pod of ['glibc', 'musl']) all.push({ namespace, pod, ...(await lookUps(cluster, namespace, pod)) });
      }
      return [questions, all] as const;
    });
    const texts = figures.map((one) => `${one.namespace} ${one.pod} ${figureText(one)} ms, ${one.lost} lost`);
    expectThat(
      figures.every(({ worst, lost }) => worst < 400 && lost === 0),
      texts.join('; '),
    );
    // A and AAAA.
    const questions = (await questionsToCaches()) - before;
    expectThat(questions >= 2 * COUNT * figures.length, `the caches got ${questions} questions`);
    await turnCacheOff(cluster);
    await untilDecided(cluster, 'MuslRetried');
    // Their rules and addresses are gone with them.
    for (const { namespace, pod } of figures) {
      await cluster.kubectl('exec', '-n', namespace, pod, '--', '/probe', 'lookup', 'www.example.com');
    }
    await cluster.kubectl('delete', 'namespace', 'intercepted', 'intercepted-ours', '--wait=false');
    return `${texts.join('; ')}; ${questions} questions to the caches; without them names still resolve`;
  },
};
