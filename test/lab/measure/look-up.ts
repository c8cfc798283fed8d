import { spawn } from 'node:child_process';
import { within, type Place } from '../network/namespaces.ts';
import type { Program } from '../preparation/programs.ts';

/** What one fresh process saw. */
export interface Sample {
  /** Milliseconds that the look-up took, told by the process itself; the limit where it had to be ended. */
  readonly ms: number;
  readonly outcome: 'found' | 'fails' | 'gives up';
  /** Why it failed, in the resolver's words. */
  readonly error: string;
}

/** Milliseconds after which a look-up is ended: no application waits so long. */
export const LIMIT_MS = 15_000;

/** What the programs print when they are about to look up. */
const ASKING = 'asking\n';

/** The addresses that every name in the lab has, of both families. */
const EXPECTED = '192.0.2.1 2001:db8::1';

/** Milliseconds after its start that an undisturbed look-up has ended in, or else waits for a timeout. */
const QUICK_MS = 20;

function read(output: string): Sample {
  const { ms, addresses, error } = JSON.parse(output.slice(ASKING.length)) as {
    ms: number;
    addresses: string[];
    error: string;
  };
  const found = [...new Set(addresses)].toSorted().join(' ');
  if (found === EXPECTED) return { ms, outcome: 'found', error: '' };
  return { ms, outcome: 'fails', error: error || `found only ${found || 'nothing'}` };
}

/**
 * Looks `name` up in a Pod, with a fresh process of a program; calls `waiting` when that no longer needs a processor.
 * Rejects where the program itself does not work.
 */
export function lookUp(
  pod: Place,
  { argv, env = {} }: Program,
  name: string,
  waiting: () => void = () => {},
): Promise<Sample> {
  const [tool, ...args] = within(pod, [...argv, name]);
  // Nothing of the machine's own environment: LOCALDOMAIN and RES_OPTIONS would change what is measured.
  const child = spawn(tool, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'], ...env } });
  let output = '';
  let words = '';
  let late = false;
  child.stdout.on('data', (chunk: Buffer) => {
    if (output === '') setTimeout(waiting, QUICK_MS);
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => void (words += chunk.toString()));
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, LIMIT_MS);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (late) resolve({ ms: LIMIT_MS, outcome: 'gives up', error: 'ended by the lab' });
      else if (code === 0) resolve(read(output));
      else reject(new Error(`${argv.join(' ')} in ${pod.namespace}: ${signal ?? code} ${words.slice(-500)}`));
    });
  });
}
