/**
 * Loaded into a replica by `--import`. Reports what the process holds, after garbage collection, to each connection to
 * `$SOAK_FOLDER/<pid>`. With `SOAK_LEAK` it leaks so many bytes per review, to show that the soak finds a leak.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { getHeapSpaceStatistics } from 'node:v8';

import { collectGarbage } from '../../../src/util/memory.ts';

// Without it garbage would count as a leak.
if (globalThis.gc === undefined) throw new Error('a replica that is looked into needs --expose-gc');

const leak = Number(process.env['SOAK_LEAK'] ?? 0);
const kept: number[][] = [];
let reviews = 0;
subscribe('http.server.request.start', (message) => {
  if ((message as { request: IncomingMessage }).request.method !== 'POST') return;
  reviews += 1;
  // V8 stores a small integer in eight bytes.
  if (leak > 0) kept.push(Array.from({ length: leak / 8 }, (_, index) => index));
});

/** Code is not a leak: V8 goes on compiling hot functions for an hour at ten Pods a second. */
function bytesOfCode(): number {
  const spaces = getHeapSpaceStatistics().filter(({ space_name: name }) => /^(code|trusted)_/.test(name));
  return spaces.reduce((sum, { space_used_size: bytes }) => sum + bytes, 0);
}

createServer((socket) => {
  // A last-resort collection: any other keeps object shapes, and code that has not run recently.
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  // Minus this connection, which ends with the answer.
  const handles = process.getActiveResourcesInfo().length - 1;
  socket.on('error', () => {});
  socket.end(JSON.stringify({ heap: heapUsed + external - bytesOfCode(), reviews, handles }));
})
  .listen(join(process.env['SOAK_FOLDER'] ?? '', `${process.pid}`))
  .unref();
