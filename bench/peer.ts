import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

import { agnhostFolder, missingIn } from '../test/kubernetes/programs.ts';

/** Another webhook to compare with, and its path. */
export interface Peer {
  readonly command: string;
  readonly path: string;
}

/** Its webhook that gives Pods named as it likes an init container, and leaves others alone. */
const PATH = '/mutating-pods';

/**
 * Returns agnhost, Kubernetes' test webhook in Go. Builds it from its published Go module if that was not done before; undefined, after a
 * warning, if it cannot be built here.
 */
export function findPeer(): Peer | undefined {
  const build = fileURLToPath(new URL('../test/kubernetes/main.ts', import.meta.url));
  if (missingIn(agnhostFolder, ['agnhost']).length > 0) {
    spawnSync(process.execPath, [build, '--agnhost'], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  if (missingIn(agnhostFolder, ['agnhost']).length === 0)
    return { command: join(agnhostFolder, 'agnhost'), path: PATH };
  process.stderr.write('!! agnhost was not built: there are no rows of a peer\n');
  return undefined;
}
