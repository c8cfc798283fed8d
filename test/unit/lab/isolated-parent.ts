import { fileURLToPath } from 'node:url';
import { isolate } from '../../lab/isolation.ts';

/** For isolation.test.ts: `node isolated-parent.ts MARKER` keeps a machine with a process named so, and ends it on a signal. */
const lab = isolate(fileURLToPath(new URL('isolated-child.ts', import.meta.url)), process.argv[2] ?? '');
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    lab.kill();
    process.exit(1);
  });
}
await lab.result;
