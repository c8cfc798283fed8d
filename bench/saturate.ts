import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { createCaller, type Target } from './client.ts';
import { closedLoop } from './load.ts';

/** Keeps a server busy over so many connections; resolves to the requests it answered. */
export type Saturate = (target: Target, review: string, connections: number, seconds: number) => Promise<number>;

const WRK = '/usr/bin/wrk';

/** Which load generator is used: wrk where it is installed, for it takes a fifth of the time of a client in JavaScript. */
export const generator = (): 'wrk' | 'own' => (existsSync(WRK) ? 'wrk' : 'own');

const own: Saturate = async (target, review, connections, seconds) => {
  const caller = createCaller(target);
  try {
    return await closedLoop(connections, seconds, () => caller.call(review));
  } finally {
    caller.close();
  }
};

function wrkIn(folder: string): Saturate {
  return async ({ port, path }, review, connections, seconds) => {
    const [bodyFile, script] = [join(folder, 'review.json'), join(folder, 'review.lua')];
    writeFileSync(bodyFile, review);
    writeFileSync(
      script,
      `wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\nwrk.body = io.open('${bodyFile}'):read('*a')\n`,
    );
    const url = `https://127.0.0.1:${port}${path}`;
    const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '-s', script, url];
    const { stdout } = await promisify(execFile)(WRK, args);
    if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`${url}: ${stdout}`);
    return Number(/(\d+) requests in/.exec(stdout)?.[1]);
  };
}

/** A load generator that keeps its files in `folder`. */
export const saturateFrom = (folder: string): Saturate => (generator() === 'wrk' ? wrkIn(folder) : own);
