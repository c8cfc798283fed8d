/** Prints, as JSON, the bytes of heap that an entry of each cache takes. Needs --expose-gc. */
import { setImmediate } from 'node:timers/promises';

import { createVerdictMemory } from '../../src/detection/caches.ts';
import { type DetectionKeys, imageKeys, runKeys } from '../../src/detection/keys.ts';
import { createLibcIndex } from '../../src/image-libc/copy.ts';
import { createSharedValues, readImageLibc } from '../../src/image-libc/object.ts';
import { applyVerdict } from '../../src/image-libc/writes.ts';
import type { KubeObject } from '../../src/kubernetes/objects.ts';
import { collectGarbage } from '../../src/util/memory.ts';
import { canonical, foundMusl, keyOf } from '../../test/support/image-libc.ts';

const ENTRIES = 20_000;

/** Collects garbage from the event loop: otherwise values that the stack still references would count. */
async function usedBytes(): Promise<number> {
  for (let time = 0; time < 5; time += 1) {
    await setImmediate();
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

/** Returns the bytes that each call of `add` retains. */
async function bytesEach(add: (index: number) => void): Promise<number> {
  const before = await usedBytes();
  for (let index = 0; index < ENTRIES; index += 1) add(index);
  return Math.round(((await usedBytes()) - before) / ENTRIES);
}

const imageOf = (index: number): string => `registry.example.com/team-${index % 100}/service-${index}:v1.${index}.0`;

/** An image for several platforms: its tag names an index. Its digest is a text of one part, as it comes from another process. */
const found = (index: number, program: string) => {
  const { inspection, checkedAt } = foundMusl(Date.now(), {
    digest: `sha256:${index.toString(16).padStart(64, '0')}`,
    executable: program,
  });
  const { verdict } = inspection;
  const evidence = { ...verdict.evidence, detail: `${program}: interpreter /lib/ld-musl-x86_64.so.1` };
  const named = Buffer.from(inspection.digest.replace(':0', ':1')).toString('latin1');
  return { checkedAt, named, inspection: { ...inspection, verdict: { ...verdict, evidence } } };
};

const ownProgram = (index: number): string => `/usr/local/bin/service-${index}`;

async function verdictMemory(): Promise<Record<string, number>> {
  const memory = createVerdictMemory({ entries: ENTRIES, bytes: 2 ** 30, tagTtlMs: 600_000, clock: Date });
  const keysOf = (index: number): DetectionKeys => ({
    ...imageKeys({ os: 'linux', architecture: 'amd64' }, imageOf(index)),
    ...runKeys({ command: [], args: [] }),
  });
  const remembered = await bytesEach((index) => {
    const { inspection, checkedAt, named } = found(index, ownProgram(index));
    memory.remember(keysOf(index), inspection, checkedAt, named);
  });
  const asked = await bytesEach((index) => {
    if (memory.find(keysOf(index)) === undefined) throw new Error(`${imageOf(index)} was forgotten`);
  });
  // Uses the memory after measuring, so that it cannot be collected before.
  if (memory.size().verdicts !== ENTRIES) throw new Error('not all are held');
  return {
    'a verdict and its reference': remembered,
    'the same, once a Pod had it': remembered + asked,
  };
}

async function imageLibcs(programOf: (index: number) => string): Promise<number> {
  const held = new Map<string, unknown>();
  const index = createLibcIndex();
  const options = { now: Date.now(), canonical, shared: createSharedValues() };
  const each = await bytesEach((number) => {
    const { body } = applyVerdict(keyOf(imageOf(number)), found(number, programOf(number)));
    const object = JSON.parse(JSON.stringify(body)) as KubeObject;
    const libc = readImageLibc(object, options);
    if (typeof libc === 'string') throw new Error(libc);
    index.change(libc, undefined);
    held.set(object.metadata.name, libc);
  });
  if (index.size().detected !== ENTRIES || held.size !== ENTRIES) throw new Error('not all are held');
  return each;
}

const rows = {
  ...(await verdictMemory()),
  'an ImageLibc': await imageLibcs(ownProgram),
  'the same, of a program that others have': await imageLibcs(() => '/usr/sbin/nginx'),
};
process.stdout.write(`${JSON.stringify(rows)}\n`);
