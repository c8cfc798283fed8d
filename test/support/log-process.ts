import { setImmediate as turn } from 'node:timers/promises';

import { createLog } from '../../src/telemetry/log.ts';

/**
 * Logs as many lines of 1 KB as its argument says, as fast as it can. Then prints its resident bytes, and logs one more line for
 * each byte on standard input.
 */
const log = createLog({ level: 'info', format: 'json' });
const lines = Number(process.argv[2]);
const filler = 'x'.repeat(1000);
for (let line = 0; line < lines; line += 1) {
  log.info({ line, filler }, 'early');
  // Lets the event loop write the lines so far.
  if (line % 100 === 0) await turn();
}
process.stdout.write(`${process.memoryUsage.rss()}\n`);
process.stdin.on('data', () => log.info('late'));
