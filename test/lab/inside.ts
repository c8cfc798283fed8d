import { writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { command } from './command.ts';
import { endWithParent } from './isolation.ts';
import { runLab } from './measure/run.ts';
import type { Program } from './preparation/programs.ts';
import { SCENARIOS } from './scenarios/all.ts';

/** The first process inside the isolation (isolation.ts). Its argument is an `Order`; it writes the cells to descriptor 3. */

export interface Order {
  readonly scenarios: readonly string[];
  readonly programs: readonly Program[];
  readonly runs: number;
  /** Path of CoreDNS. */
  readonly coreDns?: string;
}

function writeAll(descriptor: number, data: Buffer): void {
  for (let at = 0; at < data.length; at += writeSync(descriptor, data, at));
}

async function run({ scenarios, ...order }: Order): Promise<void> {
  if (process.pid !== 1) throw new Error('this runs in a machine of its own only: npm run lab');
  // Hides the machine's resolver daemons, and gives `ip netns` a private folder.
  await command('mount', ['-t', 'tmpfs', 'lab', '/run']);
  await mkdir('/run/netns');
  const chosen = SCENARIOS.filter(({ id }) => scenarios.includes(id));
  const progress = (text: string): void => console.error(`  ${text}`);
  const cells = await runLab({ ...order, scenarios: chosen, progress });
  writeAll(3, Buffer.from(JSON.stringify(cells)));
}

endWithParent();
try {
  await run(JSON.parse(process.argv[2] ?? '{}') as Order);
  process.exit(0);
} catch (error) {
  const { message, cause } = error as Error;
  console.error(`  failed: ${message}${cause instanceof Error ? `\n  ${cause.message}` : ''}`);
  process.exit(1);
}
