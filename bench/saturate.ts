import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { createCaller, type Target } from './client.ts';
import { closedLoop } from './load.ts';
import { inTurn } from './reviews.ts';

/** Saturates a server with these reviews over `connections` connections. Resolves to the number of answered requests. */
type Saturate = (target: Target, reviews: readonly string[], connections: number, seconds: number) => Promise<number>;

const WRK = '/usr/bin/wrk';

/** Prefers wrk, which takes a fifth of the processor time of a client in JavaScript. */
export const generator = (): 'wrk' | 'own' => (existsSync(WRK) ? 'wrk' : 'own');

const own: Saturate = async (target, reviews, connections, seconds) => {
  const caller = createCaller(target);
  const next = inTurn(reviews);
  try {
    return await closedLoop(connections, seconds, () => caller.call(next()));
  } finally {
    caller.close();
  }
};

/** Returns a wrk script that sends the lines of the file in a cycle. */
const scriptFor = (file: string): string => `
local requests, at = {}, 0
function init()
  local headers = { ['content-type'] = 'application/json' }
  for line in io.lines('${file}') do requests[#requests + 1] = wrk.format('POST', nil, headers, line) end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
`;

function wrkIn(folder: string): Saturate {
  return async ({ port, path }, reviews, connections, seconds) => {
    const [file, script] = [join(folder, 'reviews.jsonl'), join(folder, 'reviews.lua')];
    writeFileSync(file, reviews.join('\n'));
    writeFileSync(script, scriptFor(file));
    const url = `https://127.0.0.1:${port}${path}`;
    const args = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '-s', script, url];
    const { stdout } = await promisify(execFile)(WRK, args);
    if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`${url}: ${stdout}`);
    return Number(/(\d+) requests in/.exec(stdout)?.[1]);
  };
}

/** Returns a load generator that writes its files to `folder`. */
export const saturateFrom = (folder: string): Saturate => (generator() === 'wrk' ? wrkIn(folder) : own);
