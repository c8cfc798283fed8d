import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

import { podReview } from '../../support/reviews.ts';
import type { WebhookProcess } from '../../support/webhook-process.ts';
import { type Fault, keep } from '../fault.ts';
import { pidOf } from '../support/measure.ts';
import { createPods, largestSpec, told } from '../support/pods.ts';
import { hasProgram, NotTried } from '../support/world.ts';

const HEAP_MB = 64;
const BEYOND_MB = 40;

/** Makes the kernel refuse the process memory beyond a fixed amount from now on. */
function limitMemory(replica: WebhookProcess): void {
  if (!hasProgram('prlimit')) throw new NotTried('no prlimit: apt-get install util-linux');
  const pid = pidOf(replica);
  const kilobytes = Number(/^VmData:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  execFileSync('prlimit', ['--pid', String(pid), `--data=${(kilobytes + BEYOND_MB * 1024) * 1024}`]);
}

const ended = ({ process }: WebhookProcess): NodeJS.Signals | number | null => process.signalCode ?? process.exitCode;

/** Sends 120 reviews of 2.9 MB at once to one replica directly: an API server itself could not hold so many. */
async function bombard(replica: WebhookProcess): Promise<void> {
  const review = JSON.stringify(podReview({ spec: largestSpec() }));
  for (let round = 0; round < 8 && ended(replica) === null; round += 1) {
    const agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
    await Promise.all(Array.from({ length: 120 }, () => replica.post(review, { agent }).catch(() => {})));
    agent.destroy();
  }
}

interface Limit {
  readonly id: string;
  readonly name: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly limit?: (replica: WebhookProcess) => void;
}

const memoryFault = ({ id, name, environment, limit }: Limit): Fault => ({
  id,
  name: `${name}, 120 reviews of 2.9 MB at once`,
  promise: 'no Pod is refused; should the replica end, the others answer: only Pods that it was sent pass as they are',
  async run(world) {
    const { installation, ...rest } = await world.cluster();
    const small = await installation.addReplica(environment && { environment });
    world.afterwards(async () => {
      if (installation.replicas.includes(small)) await installation.removeReplica(small);
    });
    limit?.(small);
    const created = await createPods(rest, 10, async () => {
      await bombard(small);
      await sleep(2000);
    });
    const how = ended(small);
    const seen = `${how === null ? 'it survived' : `it ended with ${how}`}; ${told(created, created.pods)}`;
    // One of three replicas is affected.
    keep(created.pods - created.patched <= created.pods / 3, seen);
    return seen;
  },
});

export const memoryFaults: readonly Fault[] = [
  memoryFault({
    id: 'memory-limit',
    name: `a replica that meets the limit of its heap (${HEAP_MB} MB)`,
    environment: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` },
  }),
  memoryFault({
    id: 'memory-limit-of-kernel',
    name: `a replica that the kernel gives ${BEYOND_MB} MB more than it has, and no more`,
    limit: limitMemory,
  }),
];
