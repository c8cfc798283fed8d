import { CLUSTER_DNS } from '../cluster/place.ts';
import { ENFORCE } from '../apps.ts';
import { questionsToCaches } from '../questions.ts';
import { untilDecided } from '../replicas.ts';
import { COUNT, createPair, figureText, lookUps, reasonsOf, whileRaced } from '../loss.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { upgrade } from '../installation.ts';
import { rolledOutCache, turnCacheOff } from './node-local.ts';

/** The cache answers at the cluster DNS address, so that every Pod asks it, ours or not. */
export const intercept: Scenario = {
  id: 'intercept',
  name: 'the node-local cache takes over the address of the cluster DNS: nothing is lost, and no Pod is redirected',
  async run(cluster) {
    const flags = ['nodeLocalDns.enabled=true', `nodeLocalDns.interceptAddress=${CLUSTER_DNS}`];
    await upgrade(cluster, ...flags.flatMap((flag) => ['--set', flag]));
    await rolledOutCache(cluster);
    await untilDecided(cluster, 'NodeLocalIntercepts');
    await createPair(cluster, 'intercepted');
    await createPair(cluster, 'intercepted-ours', ENFORCE);
    const reasons = await reasonsOf(cluster, 'intercepted-ours');
    expectThat(reasons === 'OptionsAdded, NodeLocalIntercepts', reasons);
    const [before, figures] = await whileRaced(async () => {
      const questions = await questionsToCaches(CLUSTER_DNS);
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
    const questions = (await questionsToCaches(CLUSTER_DNS)) - before;
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
