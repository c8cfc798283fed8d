import { faultyBundle } from '../../support/bundle.ts';
import { type Fault, keep } from '../fault.ts';
import { machineStalls, metric, seconds, until } from '../support/measure.ts';
import { besideAttack, BESIDE_PROMISE, openStreet, type Street, watch } from '../support/neighbour.ts';

const INNOCENTS = 20;

async function isKnown({ pod }: Street, images: readonly string[]): Promise<boolean> {
  return Object.values(await pod('quiet', images)).every((resolver) => resolver === 'musl');
}

const readerFault = (fault: string, what: string): Fault => ({
  id: `reader-${fault}`,
  name: `an image whose inspection ${what}, beside ${INNOCENTS} new images`,
  promise: `two processes that read images end, and no other; the ${INNOCENTS} are known at last; the image is not read again; meanwhile a known Pod is answered within 50 ms, /livez within 1 s; memory of all processes under the limit of 512 MB`,
  alsoIn: 'test/server/reader.test.ts, test/cluster/quarantine.test.ts',
  async run(world) {
    const { main, remove } = faultyBundle();
    world.afterwards(remove);
    const street = await openStreet(world, () => [], { main });
    const { webhook, registry, pod } = street;
    const known = registry.newImage();
    await until(() => isKnown(street, [known]), Boolean, { what: 'the first image is not known' });
    const stalls = machineStalls();
    const { end, ...seen } = watch(street, known);
    // test/support/faulty-reader.ts has the fault that the repository is called after.
    const guilty = registry.newImage(`team/fault-${fault}`);
    const innocents = Array.from({ length: INNOCENTS }, () => registry.newImage());
    const started = performance.now();
    const pods = Promise.all([pod('greedy', [guilty]), pod('quiet', innocents)]);
    const ends = (): Promise<number> => metric(webhook, 'libc_dns_reader_ends_total');
    await until(ends, (count) => count === 2, { ms: 60_000, what: 'reader processes that ended' });
    await pods;
    await until(() => isKnown(street, innocents), Boolean, { what: 'the new images are not known' });
    const took = seconds(performance.now() - started);
    for (let again = 0; again < 5; again += 1) await pod('greedy', [guilty]);
    await end();
    const stalled = stalls();
    const text = `2 ended, ${INNOCENTS} known after ${took}; known Pods p99 ${seen.known.percentile(0.99)} ms, /livez ${seen.live.percentile(1)} ms; memory ${seen.memory()} MB; stalled ${stalled} ms`;
    keep(
      (await ends()) === 2 &&
        webhook.process.exitCode === null &&
        seen.known.percentile(0.99) < 50 + 2 * stalled &&
        seen.live.percentile(1) < 1000 + 2 * stalled &&
        seen.memory() < 512,
      text,
    );
    return text;
  },
});

/** A namespace that makes one new image after the other, each in a repository of its own: quarantine does not know it. */
const newDigests: Fault = {
  id: 'reader-new-images',
  name: 'a namespace with two new images a second whose inspection ends the process, from its third on',
  promise: `the process that others share ends twice, and never again; meanwhile ${BESIDE_PROMISE}`,
  alsoIn: 'test/registry/reader.test.ts, test/unit/detection/reader/distrust.test.ts',
  async run(world) {
    const { main, remove } = faultyBundle();
    world.afterwards(remove);
    const street = await openStreet(world, () => [], { main });
    const { webhook, registry, pod } = street;
    let count = 0;
    const attack = (): Promise<unknown> => {
      count += 1;
      return pod('greedy', [registry.newImage(`greedy-${count}/fault-exit`)]);
    };
    const ends = (): Promise<number> => metric(webhook, 'libc_dns_reader_ends_total');
    for (const all of [2, 4]) {
      await attack();
      await until(ends, (ended) => ended === all, { ms: 60_000, what: 'reader processes that ended' });
    }
    const rerun = (): Promise<number> => metric(webhook, 'libc_dns_reader_suspects_total');
    const before = await rerun();
    const seen = await besideAttack(street, {
      everySecond: async () => await Promise.all([attack(), attack()]),
    });
    const further = (await ends()) - 4;
    const again = (await rerun()) - before;
    const text = `${further} further ends, for which ${again} look-ups were run again; ${seen}`;
    keep(further > 0 && again === 0, text);
    return text;
  },
};

export const readerFaults: readonly Fault[] = [
  newDigests,
  readerFault('loop', 'loops for ever'),
  readerFault('heap', 'fills the heap'),
  readerFault('buffers', 'fills buffers'),
  readerFault('exit', 'ends the process'),
  readerFault('sleep', 'waits for ever without giving back the thread'),
];
