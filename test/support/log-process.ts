import { setImmediate as turn } from 'node:timers/promises';

import { createLog } from '../../src/telemetry/log.ts';

/**
 * A process that logs so many lines of 1 KB (arguments: their number), as fast as it can, then says on standard output how many
 * bytes it has resident, and one line more for each byte on standard input.
 */
const log = createLog({ level: 'info', format: 'json' });
const lines = Number(process.argv[2]);
const filler = 'x'.repeat(1000);
for (let line = 0; line < lines; line += 1) {
  log.info({ line, filler }, 'early');
  // Between turns the lines so far go out.
  if (line % 100 === 0) await turn();
}
process.stdout.write(`${process.memoryUsage.rss()}\n`);
process.stdin.on('data', () => log.info('late'));
