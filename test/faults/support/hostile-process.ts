import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { type AttackKind, attacksOf, isAttackKind } from './hostile-registry.ts';
import { startRawServer } from './raw-server.ts';
import type { World } from './world.ts';

/** Registries that do harm, in a process of their own: what they send without end must not slow down who measures. */

interface Hostile {
  /** Hosts and ports, each of which does something else. */
  readonly hosts: readonly string[];
  /** Resolves to the names of what nobody has asked for. */
  readonly unasked: () => Promise<readonly string[]>;
}

const FILE = fileURLToPath(import.meta.url);

const addressOf = (index: number): string => `127.3.0.${index + 1}`;

/** Starts them; they end with the fault. `victim`: a host and port that nobody may be led to. */
export async function startHostile(
  { afterwards }: Pick<World, 'afterwards'>,
  kind: AttackKind,
  victim: string,
): Promise<Hostile> {
  const child = fork(FILE, [kind, victim]);
  afterwards(() => child.kill('SIGKILL'));
  const [port] = (await once(child, 'message')) as [number];
  return {
    hosts: Object.keys(attacksOf(kind, victim)).map((_, index) => `${addressOf(index)}:${port}`),
    async unasked() {
      child.send('unasked');
      const [names] = (await once(child, 'message')) as [readonly string[]];
      return names;
    },
  };
}

async function serve(kind: AttackKind, victim: string): Promise<void> {
  const attacks = attacksOf(kind, victim);
  const names = Object.keys(attacks);
  const byAddress = new Map(names.map((name, index) => [addressOf(index), name]));
  const asked = new Set<string>();
  const port = await startRawServer({ afterwards: () => {} }, (request, socket) => {
    // A redirect may have led to an address that no attack has.
    const name = byAddress.get(request.address) ?? names[0] ?? '';
    asked.add(name);
    attacks[name]?.(request, socket);
  });
  process.on('message', () => process.send?.(names.filter((name) => !asked.has(name))));
  process.on('disconnect', () => process.exit(0));
  process.send?.(port);
}

const [, program, kind = '', victim = ''] = process.argv;
if (program === FILE && isAttackKind(kind)) await serve(kind, victim);
