/**
 * Loaded into a replica by `--import`: whoever connects to `$SOAK_FOLDER/<pid>` is told what the process holds once its garbage has
 * been collected, and is let go. With `SOAK_LEAK` it keeps so many bytes of each review, to show that a leak is seen.
 */
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { getHeapSpaceStatistics } from 'node:v8';

import { collectGarbage } from '../../../src/util/garbage.ts';

// Without it nothing would be collected, and garbage be taken for a leak.
if (globalThis.gc === undefined) throw new Error('a replica that is looked into needs --expose-gc');

const leak = Number(process.env['SOAK_LEAK'] ?? 0);
const kept: number[][] = [];
let reviews = 0;
subscribe('http.server.request.start', (message) => {
  if ((message as { request: IncomingMessage }).request.method !== 'POST') return;
  reviews += 1;
  // V8 keeps a small integer in eight bytes.
  if (leak > 0) kept.push(Array.from({ length: leak / 8 }, (_, index) => index));
});

/** V8 makes code of what is called often, for an hour at ten Pods a second: that is no leak. */
function bytesOfCode(): number {
  const spaces = getHeapSpaceStatistics().filter(({ space_name: name }) => /^(code|trusted)_/.test(name));
  return spaces.reduce((sum, { space_used_size: bytes }) => sum + bytes, 0);
}

createServer((socket) => {
  // The last resort: V8 keeps shapes of objects, and code that has not run of late, over any other collection.
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  // This connection is not counted, as it ends with the answer.
  const handles = process.getActiveResourcesInfo().length - 1;
  socket.on('error', () => {});
  socket.end(JSON.stringify({ heap: heapUsed + external - bytesOfCode(), reviews, handles }));
})
  .listen(join(process.env['SOAK_FOLDER'] ?? '', `${process.pid}`))
  .unref();
