import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';

import { bundle } from '../test/support/bundle.ts';
import { apiServer } from './api-server.ts';
import { coldPath } from './cold.ts';
import { check } from './check.ts';
import { largeCluster } from './model.ts';
import { othersRead } from './others.ts';
import type { Bench, Part } from './part.ts';
import { findAgnhost, findPepr, likeAgnhost, type Peer } from './peer.ts';
import { markdown, withTables, type PartResult } from './report.ts';
import { makeKeys } from './servers.ts';
import { readerStart } from './reader.ts';
import { rollingRestart } from './restart.ts';
import { size } from './size.ts';
import { tracing } from './tracing.ts';
import { pace, warmPath } from './warm.ts';

/**
 * Measures what the webhook costs: `node bench/main.ts [--json] [--write] [--quick] [--check] [--peer COMMAND] [PART...]`.
 * Exits with 1 if --check fails, with 2 if there is no such part.
 */
const PARTS: Readonly<Record<string, Part>> = {
  pace,
  warm: warmPath,
  api: apiServer,
  cold: coldPath,
  others: othersRead,
  size,
  restart: rollingRestart,
  reader: readerStart,
  tracing,
  model: largeCluster,
};

const { values, positionals } = parseArgs({
  options: {
    json: { type: 'boolean' },
    // Writes the tables into bench/results.md.
    write: { type: 'boolean' },
    // One short round: shows that the benchmark works, not how fast the server is.
    quick: { type: 'boolean' },
    // For CI, takes a minute and a half: fails if ours costs far more than the floor.
    check: { type: 'boolean' },
    // Another webhook with agnhost's flags in the place of agnhost, and its path.
    peer: { type: 'string' },
    'peer-path': { type: 'string', default: '/mutating-pods' },
  },
  allowPositionals: true,
});

const DOCUMENT = new URL('results.md', import.meta.url);

function machine(): string {
  const [cpu] = cpus();
  return `${cpus().length} cores of ${cpu?.model ?? 'an unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
}

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\u001B[2K\r${text}`);
}

function write(part: string, { tables }: PartResult): void {
  writeFileSync(DOCUMENT, withTables(readFileSync(DOCUMENT, 'utf8'), part, tables));
}

const all = values.check === true ? [] : Object.keys(PARTS);
const chosen = positionals.length === 0 ? all : positionals;
const unknown = chosen.filter((name) => !Object.hasOwn(PARTS, name));
if (unknown.length > 0) {
  console.error(`no such part: ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`);
  process.exit(2);
}

/** The parts that have rows of peers. */
const WITH_PEERS = ['pace', 'warm', 'api'];

function findPeers(): readonly Peer[] {
  const named = values.peer === undefined ? undefined : likeAgnhost('peer', values.peer, values['peer-path']);
  const find = values.quick !== true && chosen.some((name) => WITH_PEERS.includes(name));
  const peers = [named ?? (find ? findAgnhost() : undefined), find ? findPepr() : undefined];
  return peers.filter((peer) => peer !== undefined);
}

const peers = findPeers();
const { main, remove } = bundle();
const keys = await makeKeys();
const bench: Bench = {
  keys,
  main,
  ...(values.quick === true ? { rounds: 1, seconds: 1 } : { rounds: 5, seconds: 4 }),
  peers,
  progress,
};
const data: Record<string, unknown> = {};
try {
  if (values.check === true && !(await check(bench))) process.exitCode = 1;
  for (const name of chosen) {
    const result = await PARTS[name]?.(bench);
    progress('');
    if (result === undefined) continue;
    data[name] = result.data;
    if (values.json !== true) console.log(`${result.tables.map(markdown).join('\n\n')}\n`);
    if (values.write === true) write(name, result);
  }
  if (values.json === true) console.log(JSON.stringify({ machine: machine(), ...data }, null, 2));
} finally {
  keys.remove();
  remove();
}
