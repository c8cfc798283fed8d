import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

import { agnhostFolder, missingIn } from '../test/kubernetes/programs.ts';
import { installPepr, startPepr } from './pepr.ts';
import { startPeer, type BenchServer, type Keys } from './servers.ts';

/** Another webhook to compare with. */
export interface Peer {
  /** Of its rows. */
  readonly name: string;
  readonly start: (keys: Keys) => Promise<BenchServer>;
}

/** Returns a webhook that takes agnhost's flags. */
export const likeAgnhost = (name: string, command: string, path: string): Peer => ({
  name,
  start: (keys) => startPeer(keys, name, command, path),
});

/** Its webhook that gives Pods named as it likes an init container, and leaves others alone. */
const PATH = '/mutating-pods';

/**
 * Returns agnhost, Kubernetes' test webhook in Go. Builds it from its published Go module if that was not done before; undefined, after a
 * warning, if it cannot be built here.
 */
export function findAgnhost(): Peer | undefined {
  const build = fileURLToPath(new URL('../test/kubernetes/main.ts', import.meta.url));
  if (missingIn(agnhostFolder, ['agnhost']).length > 0) {
    spawnSync(process.execPath, [build, '--agnhost'], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  if (missingIn(agnhostFolder, ['agnhost']).length === 0)
    return likeAgnhost('agnhost', join(agnhostFolder, 'agnhost'), PATH);
  process.stderr.write('!! agnhost was not built: it has no rows\n');
  return undefined;
}

/** Returns Pepr, a framework for webhooks in TypeScript; undefined, after a warning, if it cannot be installed here. */
export function findPepr(): Peer | undefined {
  const folder = installPepr();
  return folder === undefined ? undefined : { name: 'pepr', start: (keys) => startPepr(keys, folder) };
}
