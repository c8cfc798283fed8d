import { spawn } from 'node:child_process';
import { within } from '../network/namespaces.ts';

/** A recording of the DNS packets of a Pod. */
export interface Recording {
  /** Returns the capture so far in tcpdump's format; the last record may be incomplete. */
  soFar(): Buffer;
  /** Ends the recording and returns the whole capture. Rejects if packets were missed. */
  end(): Promise<Buffer>;
}

/** Starts recording in a namespace. Resolves when tcpdump runs; rejects if it does not start. */
export function record(namespace: string): Promise<Recording> {
  const argv = [
    'tcpdump',
    '-i',
    'eth0',
    '-n',
    '-U',
    '--immediate-mode',
    '-s',
    '512',
    '-B',
    '512',
    '-w',
    '-',
    'port',
    '53',
  ];
  const [name, ...args] = within({ namespace }, argv);
  const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  let words = '';
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const end = async (): Promise<Buffer> => {
    child.kill('SIGINT');
    await ended;
    if (!/\b0 packets dropped by kernel/.test(words))
      throw new Error(`tcpdump missed packets in ${namespace}: ${words}`);
    return Buffer.concat(chunks);
  };
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.stderr.on('data', (chunk: Buffer) => {
      words = `${words}${chunk.toString()}`.slice(-4000);
      if (words.includes('listening on')) resolve({ soFar: () => Buffer.concat(chunks), end });
    });
    void ended.then(() => reject(new Error(`tcpdump in ${namespace}: ${words}`)));
  });
}
