import { createSocket } from 'node:dgram';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { hasProgram, NotTried, temporaryFolder, type World } from './world.ts';

const HEADER = 12;
const LOOPBACK = [127, 0, 0, 1];

/** Reads the name and type of a query's question (RFC 1035 section 4.1.2). */
function questionOf(query: Buffer): { name: string; isA: boolean; end: number } {
  const labels: string[] = [];
  let at = HEADER;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), isA: query.readUInt16BE(at + 1) === 1, end: at + 5 };
}

/** Returns the answer: 127.0.0.1 for A, no record for AAAA. */
function answerTo(query: Buffer): Buffer {
  const { isA, end } = questionOf(query);
  const answer = Buffer.from(query.subarray(0, end));
  answer.writeUInt16BE(0x8180, 2);
  answer.writeUInt16BE(isA ? 1 : 0, 6);
  answer.writeUInt32BE(0, 8);
  const record = Buffer.from([0xc0, HEADER, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...LOOPBACK]);
  return isA ? Buffer.concat([answer, record]) : answer;
}

/**
 * Starts a name server that answers for `names`, with 127.0.0.1, and is silent about all others. Returns the path of a
 * resolv.conf that names it.
 */
export async function startNameServer(world: World, names: readonly string[] = []): Promise<string> {
  if (process.getuid?.() !== 0 || !hasProgram('unshare')) throw new NotTried('needs root and unshare');
  const socket = createSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', () => reject(new NotTried('port 53 of 127.0.0.153 is taken')));
    socket.bind(53, '127.0.0.153', resolve);
  });
  world.afterwards(() => socket.close());
  socket.on('message', (query, { port, address }) => {
    if (names.includes(questionOf(query).name)) socket.send(answerTo(query), port, address);
  });
  const file = join(await temporaryFolder(world), 'resolv.conf');
  await writeFile(file, 'nameserver 127.0.0.153\n');
  return file;
}
