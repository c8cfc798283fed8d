import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

import { inspectImage } from '../src/inspection/inspect.ts';
import { createCertificate, type TestCertificate } from '../test/support/certificate.ts';
import { type BuiltImage, image, index } from '../test/support/image-builder.ts';
import { amd64, lookupContext, testClient } from '../test/support/registry-harness.ts';
import { startRegistry } from '../test/support/registry-server.ts';
import { startTokenServer } from '../test/support/token-server.ts';
import { smallImage } from './registry.ts';
import { digits, type Table } from './report.ts';
import { median } from './statistics.ts';

/** What a first look meets. */
interface Case {
  readonly name: string;
  readonly login: boolean;
  /** Blobs are redirected to another host, as Docker Hub does. */
  readonly elsewhere: boolean;
  readonly platforms: 'one' | 'several';
  /** What was looked at just before. */
  readonly before: 'nothing' | 'another repository' | 'the same repository';
  /** Round trips that the protocol leaves no way around, each with the reason. */
  readonly forced: readonly (readonly [count: number, why: string])[];
}

const CONNECTION = [2, 'connection'] as const;
const IMAGE = [
  [1, 'manifest'],
  [1, 'configuration'],
  [1, 'range'],
] as const;
const INDEX = [1, 'index'] as const;
const LOGIN = [[1, 'challenge'], CONNECTION, [1, 'token']] as const;
const MOVED = [[1, 'redirect of the configuration'], CONNECTION, [1, 'redirect of the range']] as const;

const plain = { login: false, elsewhere: false, platforms: 'several', before: 'nothing' } as const;
const hub = { ...plain, login: true, elsewhere: true } as const;

export const CASES: readonly Case[] = [
  { ...plain, name: 'no tokens, one platform', platforms: 'one', forced: [CONNECTION, ...IMAGE] },
  {
    ...plain,
    name: 'no tokens, one platform, connected',
    platforms: 'one',
    before: 'another repository',
    forced: IMAGE,
  },
  { ...plain, name: 'no tokens', forced: [CONNECTION, INDEX, ...IMAGE] },
  { ...plain, name: 'no tokens, connected', before: 'another repository', forced: [INDEX, ...IMAGE] },
  { ...plain, name: 'tokens', login: true, forced: [CONNECTION, ...LOGIN, INDEX, ...IMAGE] },
  {
    ...plain,
    name: 'tokens, connected',
    login: true,
    before: 'another repository',
    forced: [[1, 'token'], INDEX, ...IMAGE],
  },
  { ...plain, name: 'tokens, known repository', login: true, before: 'the same repository', forced: [INDEX, ...IMAGE] },
  { ...hub, name: 'like Docker Hub', forced: [CONNECTION, ...LOGIN, INDEX, ...MOVED, ...IMAGE] },
  {
    ...hub,
    name: 'like Docker Hub, connected',
    before: 'another repository',
    forced: [[1, 'token'], INDEX, ...IMAGE, [2, 'redirects']],
  },
  {
    ...hub,
    name: 'like Docker Hub, known repository',
    before: 'the same repository',
    forced: [INDEX, ...IMAGE, [2, 'redirects']],
  },
];

/** A server behind a line with a round trip of so many milliseconds, in which opening a connection takes one, too. */
interface Far {
  readonly host: string;
  /** Connections taken so far. */
  connections(): number;
  close(): Promise<void>;
}

/** Delivers what comes after `ms`, in order. */
function delay(from: Socket, to: Socket, ms: number, first: Promise<unknown>): void {
  let last = first;
  const after = (deliver: () => void): void => {
    const due = new Promise((resolve) => {
      setTimeout(resolve, ms);
    });
    last = Promise.all([last, due]).then(deliver);
  };
  from.on('data', (chunk: Buffer) => after(() => void (to.writable && to.write(chunk))));
  from.on('close', () => after(() => to.destroy()));
  from.on('error', () => {});
}

async function farAway(target: string, ms: number): Promise<Far> {
  const { hostname, port } = new URL(target);
  let connections = 0;
  const server = createServer({ noDelay: true }, (client) => {
    connections += 1;
    const upstream = connect({ host: hostname, port: Number(port), noDelay: true });
    const opened = new Promise((resolve) => {
      setTimeout(resolve, ms);
    });
    delay(client, upstream, ms / 2, opened);
    delay(upstream, client, ms / 2, opened);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    close: async () =>
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      }),
  };
}

const windows = image({ layers: [], config: { os: 'windows' } });
const multi = (salt: number): BuiltImage => index([windows, smallImage(salt)], { attestation: 'last' });

export interface Trips {
  /** Requests, and two for each connection: TCP's handshake and that of TLS 1.3. */
  readonly trips: number;
  readonly requests: number;
  readonly connections: number;
  readonly ms: number;
}

/** Looks one new image up, over TLS, at servers that are `ms` away. */
export async function firstLook(one: Case, ms: number, certificate: TestCertificate): Promise<Trips> {
  const { cert, key } = certificate;
  const tls = { cert, key };
  const servers: { readonly close: () => Promise<unknown> }[] = [];
  const kept = <T extends { readonly close: () => Promise<unknown> }>(server: T): T => {
    servers.unshift(server);
    return server;
  };
  const lines: Far[] = [];
  const far = async (url: string): Promise<string> => {
    const line = kept(await farAway(url, ms));
    lines.push(line);
    return line.host;
  };
  const connected = (): number => lines.reduce((sum, line) => sum + line.connections(), 0);
  const tokens = one.login ? kept(await startTokenServer({ tls })) : undefined;
  const realm = tokens && `https://${await far(`https://${tokens.host}`)}/token`;
  const store = kept(await startRegistry({ tls }));
  const blobsAt = one.elsewhere ? `https://${await far(store.url)}` : undefined;
  const registry = kept(
    await startRegistry({
      tls,
      ...(blobsAt !== undefined && { blobsAt }),
      ...(tokens && realm !== undefined && { auth: { kind: 'bearer', ...tokens, realm } }),
    }),
  );
  const host = await far(registry.url);
  const client = kept(testClient({ ca: cert, allow: ['127.0.0.0/8'] }));
  const put = (name: string, salt: number): string => {
    const built = one.platforms === 'several' ? multi(salt) : smallImage(salt);
    store.put(name, built);
    registry.put(name, built);
    return `${host}/${name}`;
  };
  const look = async (reference: string): Promise<Trips> => {
    const before = connected();
    const context = lookupContext();
    const started = performance.now();
    const request = { reference, platform: amd64, command: [], args: [] };
    const { verdict } = await inspectImage(client.open(reference), request, context);
    const took = performance.now() - started;
    if (verdict.resolver === 'unknown') throw new Error(`${one.name}: ${verdict.evidence.detail}`);
    const connections = connected() - before;
    const { requests } = context.meter;
    return { trips: requests + 2 * connections, requests, connections, ms: took };
  };
  try {
    if (one.before === 'another repository') await look(put('team/other:v1', 1));
    if (one.before === 'the same repository') await look(put('team/app:v0', 1));
    return await look(put('team/app:v1', 2));
  } finally {
    for (const server of servers) await server.close();
  }
}

const ROUND_TRIP_MS = 20;

/** Counts the round trips of first looks, beside what the protocol forces. */
export async function tripsTable(rounds: number): Promise<{ table: Table; data: unknown }> {
  const certificate = await createCertificate();
  const measured: { readonly one: Case; readonly trips: Trips; readonly ms: number }[] = [];
  for (const one of CASES) {
    const looks: Trips[] = [];
    for (let round = 0; round < rounds; round += 1) looks.push(await firstLook(one, ROUND_TRIP_MS, certificate));
    const [trips] = looks;
    if (trips !== undefined) measured.push({ one, trips, ms: median(looks.map(({ ms }) => ms)) });
  }
  const forcedOf = ({ forced }: Case): number => forced.reduce((sum, [count]) => sum + count, 0);
  const table = {
    title: 'Round trips of a first look',
    note: `One image over TLS 1.3, for several platforms if nothing else is said; each server ${ROUND_TRIP_MS} ms away. A connection takes two round trips, TCP's and TLS's. Milliseconds: median of ${rounds}.`,
    columns: ['registry', 'requests', 'connections', 'round trips', 'the protocol forces', 'ms'],
    rows: measured.map(({ one, trips, ms }) => [
      one.name,
      String(trips.requests),
      String(trips.connections),
      String(trips.trips),
      `${forcedOf(one)}: ${one.forced.map(([, why]) => why).join(', ')}`,
      digits(ms),
    ]),
  };
  return {
    table,
    data: measured.map(({ one, trips, ms }) => ({ name: one.name, trips, ms, forced: forcedOf(one) })),
  };
}
