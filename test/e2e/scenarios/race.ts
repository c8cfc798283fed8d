import { tableOf, tableRow } from '../../support/pages.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { COUNT, createPair, type Figure, figureText, lookUps, reasonsOf, whileRaced } from '../loss.ts';
import { ENFORCE } from '../apps.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { turnCacheOff, turnCacheOn } from './node-local.ts';

export interface Measured {
  /** The head of its column. */
  readonly name: string;
  readonly glibc: Figure;
  readonly musl: Figure;
}

/** Bounds in milliseconds: of the median, and of the worst look-up. */
type Bounds = readonly [least: number, most: number, worst: number];

/** glibc sends again after 5 s, musl after 2.5 s, and after 0.5 s with `timeout:5 attempts:10`. Nothing was lost: far below. */
const LOST_5: Bounds = [4900, 5500, 11_000];
const LOST_2_5: Bounds = [2400, 3000, 5500];
const LOST_0_5: Bounds = [450, 700, 2000];
const NOT_LOST: Bounds = [0, 100, 400];

/** What is expected of each way: of Pods as they were, of ours, and of ours with a node-local cache. */
export const EXPECTED = {
  before: { glibc: LOST_5, musl: LOST_2_5 },
  ours: { glibc: NOT_LOST, musl: LOST_0_5 },
  cached: { glibc: NOT_LOST, musl: NOT_LOST },
} as const;

/** Throws with the figure that is out of its bounds. */
export function check({ name, glibc, musl }: Measured, bounds: (typeof EXPECTED)[keyof typeof EXPECTED]): void {
  for (const [libc, { median, worst }, [least, most, longest]] of [
    ['glibc', glibc, bounds.glibc],
    ['musl', musl, bounds.musl],
  ] as const) {
    const kept = median >= least && median <= most && worst <= longest;
    expectThat(
      kept,
      `${name}, ${libc}: ${median} / ${worst} ms; median ${least} to ${most}, worst ${longest} expected`,
    );
  }
}

async function measure(cluster: Cluster, namespace: string, name: string, reasons: string): Promise<Measured> {
  const found = await reasonsOf(cluster, namespace);
  expectThat(found === reasons, `${name}: decided ${found} instead of ${reasons}`);
  return {
    name,
    glibc: await lookUps(cluster, namespace, 'glibc'),
    musl: await lookUps(cluster, namespace, 'musl'),
  };
}

const tableOfAll = (all: readonly Measured[]): string =>
  tableOf(
    ['milliseconds, median / worst', ...all.map(({ name }) => name)],
    (['glibc', 'musl'] as const).map((libc) => tableRow([libc, ...all.map((one) => figureText(one[libc]))])),
  );

/** What the product is for: the loss, emulated behind the rules of kube-proxy, and real Pods. */
export const race: Scenario = {
  id: 'race',
  name: `the race behind kube-proxy's rules: ${COUNT} look-ups in Pods of each libc, before and after`,
  async run(cluster) {
    await turnCacheOff(cluster);
    const all = await whileRaced(async () => {
      await createPair(cluster, 'race-before');
      const before = await measure(cluster, 'race-before', 'before', 'none, none');
      check(before, EXPECTED.before);
      const lost = before.glibc.lost + before.musl.lost;
      expectThat(lost >= COUNT, `only ${lost} packets of ${2 * COUNT} look-ups were lost`);
      await createPair(cluster, 'race-after', ENFORCE);
      const after = await measure(cluster, 'race-after', 'ours', 'OptionsAdded, MuslRetried');
      check(after, EXPECTED.ours);
      await turnCacheOn(cluster);
      await createPair(cluster, 'race-cache', ENFORCE);
      const cached = await measure(cluster, 'race-cache', 'ours, node-local cache', 'OptionsAdded, MuslRedirected');
      check(cached, EXPECTED.cached);
      return [before, after, cached];
    });
    await cluster.kubectl('delete', 'namespace', 'race-before', 'race-after', 'race-cache', '--wait=false');
    const words = all.map((one) => `${one.name}: glibc ${figureText(one.glibc)} ms, musl ${figureText(one.musl)} ms`);
    const lost = all.map(({ glibc, musl }) => glibc.lost + musl.lost);
    return { seen: `median / worst ${words.join('; ')}; packets lost: ${lost.join(', ')}`, table: tableOfAll(all) };
  },
};
