import { spawn } from 'node:child_process';
import { within, type Place } from '../network/namespaces.ts';
import type { Program } from '../preparation/programs.ts';

/** The result of one look-up by a fresh process. */
export interface Sample {
  /** Milliseconds as the process itself measured them; the limit if it had to be killed. */
  readonly ms: number;
  readonly outcome: 'found' | 'fails' | 'gives up';
  /** The resolver's own error. */
  readonly error: string;
}

/** Milliseconds after which a look-up is killed: no application waits so long. */
export const LIMIT_MS = 15_000;

/** What the programs print right before they look up the name. */
const ASKING = 'asking\n';

/** The addresses of every name in the lab. */
const EXPECTED = '192.0.2.1 2001:db8::1';

/** Milliseconds: an undisturbed look-up that takes longer waits for a timeout. */
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
 * Looks up `name` in a Pod with a fresh process; calls `waiting` when it needs no more processor time. Rejects if the program
 * itself does not work.
 */
export function lookUp(
  pod: Place,
  { argv, env = {} }: Program,
  name: string,
  waiting: () => void = () => {},
): Promise<Sample> {
  const [tool, ...args] = within(pod, [...argv, name]);
  // Without the machine's environment: LOCALDOMAIN and RES_OPTIONS would change the results.
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
