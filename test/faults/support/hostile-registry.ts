import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from 'node:zlib';

import { sha256Digest } from '../../support/digest.ts';
import { elf } from '../../support/elf-builder.ts';
import { image, OCI_INDEX, OCI_MANIFEST } from '../../support/image-builder.ts';
import { layer } from '../../support/layer-builder.ts';
import { drip, flood, type RawAnswer, type RawRequest } from './raw-server.ts';

/** What registries do to their callers, by name. Each has an address of its own, where all requests meet it. */
type Attacks = Readonly<Record<string, RawAnswer>>;

interface Answer {
  readonly status?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

function respond(socket: Socket, { status = '200 OK', headers = {}, body = '' }: Answer): void {
  const all = { 'content-type': OCI_MANIFEST, 'content-length': String(body.length), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n`);
  socket.write(body);
}

const answering =
  (answer: Answer): RawAnswer =>
  (_, socket) =>
    respond(socket, answer);
/** Writes these bytes in place of a response, and no more. */
const saying =
  (text: string): RawAnswer =>
  (_, socket) =>
    void socket.write(text);
const flooding =
  (head: string, piece: string): RawAnswer =>
  (_, socket) => {
    socket.write(head);
    flood(socket, piece);
  };

const program = Buffer.concat([elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }), randomBytes(200_000)]);
const good = image({ layers: [layer([{ path: 'app', content: program }], 'gzip')], config: { entrypoint: ['/app'] } });
const [manifest = Buffer.alloc(0)] = [...good.manifests.values()].map(({ bytes }) => bytes);
const [config = Buffer.alloc(0), layerBytes = Buffer.alloc(0)] = [...good.blobs.values()];

/** An image that is right but for what its configuration or its layer is answered with. */
const imageWith =
  (wrong: { readonly config?: RawAnswer; readonly layer?: RawAnswer }): RawAnswer =>
  (request, socket) => {
    if (request.path.includes('/manifests/')) return respond(socket, { body: manifest });
    const isConfig = request.path.includes(sha256Digest(config));
    const answer = isConfig ? wrong.config : wrong.layer;
    if (answer !== undefined) return answer(request, socket);
    return respond(socket, { body: isConfig ? config : layerBytes });
  };

/** A document of its own instead of the configuration, whose digest is right. */
function imageOf(body: Buffer): RawAnswer {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256Digest(body), size: body.length },
    layers: [],
  });
  return (request, socket) => respond(socket, { body: request.path.includes('/manifests/') ? text : body });
}

/** Wants a token of its own server, which answers with `token`. */
const withToken =
  (token: RawAnswer, challenge = ''): RawAnswer =>
  (request, socket) => {
    if (request.path.startsWith('/token')) return token(request, socket);
    const realm = `Bearer realm="http://${request.headers['host']}/token",service="s"${challenge}`;
    return respond(socket, { status: '401 Unauthorized', headers: { 'www-authenticate': realm } });
  };

const challenging = (value: string): RawAnswer =>
  answering({ status: '401 Unauthorized', headers: { 'www-authenticate': value } });
const redirecting = (location: string): RawAnswer =>
  answering({ status: '307 Temporary Redirect', headers: { location } });

const ZEROS = Buffer.alloc(64 << 20);
/** 4 GB of zeros in less than 4 MB; 16 GB; 1 GB. */
const bombs = {
  gzip: Buffer.alloc(60 * gzipSync(ZEROS).length, gzipSync(ZEROS)),
  zstd: Buffer.alloc(250 * zstdCompressSync(ZEROS).length, zstdCompressSync(ZEROS)),
  br: brotliCompressSync(Buffer.alloc(1 << 30), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
};
const bomb = (coding: keyof typeof bombs): RawAnswer =>
  answering({ headers: { 'content-encoding': coding }, body: bombs[coding] });
const nestedBomb = answering({
  headers: { 'content-encoding': 'gzip, gzip' },
  body: gzipSync(bombs.gzip),
});

const list = (count: number, item: string, around: (items: string) => string): Buffer =>
  Buffer.from(around(`${`${item},`.repeat(count - 1)}${item}`));
const digest = sha256Digest(Buffer.from('x'));
const entry = `{"digest":"${digest}","size":1}`;
const configured = (history: string): string =>
  `{"os":"linux","architecture":"amd64","config":{},"rootfs":{},${history}}`;

/** Documents: too large, too deep, too many of something, or grown in a content coding. */
const documentAttacks: Attacks = {
  'gzip bomb as manifest': bomb('gzip'),
  'zstd bomb as manifest': bomb('zstd'),
  'br bomb as manifest': bomb('br'),
  'bomb in a bomb as manifest': nestedBomb,
  'gzip bomb as configuration': imageWith({ config: bomb('gzip') }),
  'zstd bomb as configuration': imageWith({ config: bomb('zstd') }),
  'gzip bomb as layer': imageWith({ layer: bomb('gzip') }),
  'br bomb as layer': imageWith({ layer: bomb('br') }),
  'gzip bomb as token': withToken(
    answering({ headers: { 'content-encoding': 'gzip' }, body: gzipSync(Buffer.alloc(48 << 20)) }),
  ),
  'index of 100,000 entries': answering({
    headers: { 'content-type': OCI_INDEX },
    body: list(100_000, entry, (items) => `{"schemaVersion":2,"manifests":[${items}]}`),
  }),
  'index of 500,000 numbers': answering({
    headers: { 'content-type': OCI_INDEX },
    body: list(500_000, '1', (items) => `{"schemaVersion":2,"manifests":[${items}]}`),
  }),
  'index of itself': (request, socket) =>
    respond(socket, {
      headers: { 'content-type': OCI_INDEX },
      body: `{"schemaVersion":2,"manifests":[{"mediaType":"${OCI_INDEX}","digest":"${request.path.split('/').at(-1)}","size":1}]}`,
    }),
  '30,000 layers': answering({
    body: list(30_000, entry, (items) => `{"schemaVersion":2,"config":${entry},"layers":[${items}]}`),
  }),
  '9,000 layers of 1e308 bytes': answering({
    body: list(
      3000,
      `{"digest":"${digest}","size":1e308}`,
      (items) => `{"schemaVersion":2,"config":${entry},"layers":[${items}]}`,
    ),
  }),
  '1,000,000 lines of history': imageOf(list(1_000_000, '{}', (items) => configured(`"history":[${items}]`))),
  '4 MB in one line of history': imageOf(
    Buffer.from(configured(`"history":[{"created_by":"${'apk --'.repeat(600_000)}"}]`)),
  ),
  '9,000 names of __proto__': answering({ body: list(9000, '"__proto__":{"a":1}', (items) => `{${items}}`) }),
  'lists in lists, 4 MB': answering({ body: '['.repeat(4_000_000) }),
  'a media type of 4 MB': answering({ body: `{"schemaVersion":2,"mediaType":"${'x'.repeat(4_000_000)}"}` }),
};

const OK = 'HTTP/1.1 200 OK\r\n';
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`;
const sized = (length: number): string => `${OK}content-length: ${length}\r\n\r\n`;

/** Splits a 206 of another range than the one asked for. */
const otherRange =
  (first: number, extra: number): RawAnswer =>
  (_, socket) => {
    const body = Buffer.concat([layerBytes, Buffer.alloc(extra)]);
    const range = `bytes ${first}-${first + body.length - 1}/${first + body.length}`;
    respond(socket, { status: '206 Partial Content', headers: { 'content-range': range }, body });
  };

/** HTTP: without end, without sense, or at a snail's pace. */
const protocolAttacks: Attacks = {
  'a header byte a second': (_, socket) => {
    socket.write(`${OK}x: `);
    drip(socket, 'y', 1000);
  },
  'silence after the status': saying(OK),
  'a header of 1 MB': saying(`${OK}x: ${'y'.repeat(1 << 20)}\r\n\r\n`),
  '10,000 headers': saying(`${OK}${Array.from({ length: 10_000 }, (_, at) => `x${at}: 1\r\n`).join('')}\r\n`),
  'headers without end': flooding(OK, 'x: y\r\n'.repeat(100)),
  'early hints without end': flooding('', 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(50)),
  '100 Continue without end': flooding('', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(50)),
  'a body without end': flooding(CHUNKED, `4000\r\n${' '.repeat(0x4000)}\r\n`),
  'chunks of a byte without end': flooding(CHUNKED, '1\r\n \r\n'.repeat(1000)),
  'a chunk extension without end': flooding(`${CHUNKED}1;x=`, 'y'.repeat(10_000)),
  'a chunk extension of 10 KB for each byte': flooding(CHUNKED, `1;x=${'y'.repeat(10_000)}\r\n \r\n`),
  'trailers without end': flooding(`${CHUNKED}0\r\n`, 'x: y\r\n'.repeat(100)),
  'a chunk of 2^63 bytes': saying(`${CHUNKED}7fffffffffffffff\r\n {`),
  'more than its Content-Length': saying(`${sized(10)}${'{}'.repeat(1000)}`),
  'less than its Content-Length': (_, socket) => socket.end(`${sized(1000)}{}`),
  'a Content-Length of 2^63': saying(`${OK}content-length: 9223372036854775807\r\n\r\n{`),
  'a Content-Length below zero': saying(`${OK}content-length: -1\r\n\r\n{}`),
  'two lengths': saying(`${OK}content-length: 2\r\ncontent-length: 900\r\n\r\n{}`),
  'a length and chunks': saying(`${OK}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`),
  'two answers to one request': saying(
    `${sized(2)}{}HTTP/1.1 200 OK\r\ncontent-length: ${manifest.length}\r\n\r\n${manifest.toString()}`,
  ),
  'HTTP/0.9': (_, socket) => socket.end('{}'),
  'status 999': saying('HTTP/1.1 999 \r\ncontent-length: 0\r\n\r\n'),
  '304 to a first request': saying('HTTP/1.1 304 Not Modified\r\n\r\n'),
  'a connection closed in mid-answer': (_, socket) => {
    socket.write(`${sized(5000)}{`);
    setTimeout(() => socket.destroy(), 20);
  },
  'a layer of another range': imageWith({ layer: otherRange(7_000_000, 0) }),
  'a layer longer than was asked for': imageWith({ layer: otherRange(0, 8 << 20) }),
  'a layer without end': imageWith({ layer: flooding(CHUNKED, `4000\r\n${'\0'.repeat(0x4000)}\r\n`) }),
  'a layer of a byte a second': imageWith({
    layer: (_, socket) => {
      socket.write(sized(200_000));
      drip(socket, ' ', 1000);
    },
  }),
};

const tokenOf = (token: string): RawAnswer => answering({ body: JSON.stringify({ token }) });

/** Logins and redirects: to other hosts, in circles, of megabytes. `victim`: a host and port of loopback that nobody may be led to. */
function loginAttacks(victim: string): Attacks {
  return {
    'a token answer of 100 MB': withToken(flooding(sized(100_000_000), `{${' '.repeat(16_000)}`)),
    'a token of 10 MB': withToken(tokenOf('t'.repeat(10_000_000))),
    'a token of 60 KB': withToken(tokenOf('t'.repeat(60_000))),
    'a token of 16 KB': withToken(tokenOf('t'.repeat(16_000))),
    'a token that breaks the line': withToken(tokenOf('a\r\nx-evil: 1')),
    'a fresh token for each refusal': withToken((_, socket) =>
      tokenOf(randomBytes(8).toString('hex'))({} as RawRequest, socket),
    ),
    'a silent token server': withToken(() => {}),
    'a challenge of 30 KB of backslashes': challenging(`Bearer realm="${'\\"'.repeat(15_000)}`),
    'a challenge of 30 KB of names': challenging('a=,'.repeat(10_000)),
    'a challenge of 30 KB of commas and spaces': challenging(`Bearer ${' ,'.repeat(15_000)}`),
    'a challenge of 100 KB': challenging(`Bearer realm="${'a'.repeat(100_000)}"`),
    'a challenge with a scope of 30 KB': withToken(tokenOf('t'), `,scope="${'repository:a:pull '.repeat(1600)}"`),
    'a realm at the metadata service': challenging('Bearer realm="http://169.254.169.254/token"'),
    'a realm at the metadata service, over TLS': challenging('Bearer realm="https://169.254.169.254/token"'),
    'a realm at link-local': challenging('Bearer realm="https://[fe80::1]/token"'),
    'a realm at a port of loopback': challenging(`Bearer realm="http://${victim}/metrics"`),
    'a realm at a port of loopback, over TLS': challenging(`Bearer realm="https://${victim}/metrics"`),
    'a redirect in a circle': redirecting('/v2/again/manifests/1'),
    '1,000 redirects': (request, socket) =>
      redirecting(`/v2/r/manifests/${Number(request.path.split('/').at(-1) ?? 0) + 1 || 1}`)(request, socket),
    'a redirect to itself by another name': (request, socket) =>
      redirecting(
        `http://${request.headers['host']?.replace(/^[\d.]+/, `127.3.9.${1 + ((randomBytes(1)[0] ?? 0) % 200)}`)}/x`,
      )(request, socket),
    'a redirect to the metadata service': redirecting('http://169.254.169.254/latest/meta-data/'),
    'a redirect to the metadata service, over TLS': redirecting('https://169.254.169.254/latest/meta-data/'),
    'a redirect to it in other spellings': redirecting('https://0xa9fea9fe/'),
    'a redirect to a port of loopback': redirecting(`http://${victim}/metrics`),
    'a redirect to a port of loopback, over TLS': redirecting(`https://${victim}/metrics`),
    'a redirect with a login': redirecting(`https://root:password@${victim}/`),
    'a redirect to a file': redirecting('file:///etc/passwd'),
    'a redirect to data': redirecting('data:application/json,{}'),
    'a redirect of 30 KB': redirecting(`/${'a'.repeat(30_000)}`),
    'a redirect to nonsense': redirecting('http://[::1'),
    '429 until the end of days': answering({
      status: '429 Too Many Requests',
      headers: { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT' },
    }),
    '503 with a Retry-After of less than nothing': answering({
      status: '503 Service Unavailable',
      headers: { 'retry-after': '-1e9' },
    }),
  };
}

const KINDS = ['documents', 'protocol', 'logins'] as const;

export type AttackKind = (typeof KINDS)[number];

export const isAttackKind = (text: string): text is AttackKind => KINDS.some((kind) => kind === text);

/** Returns the attacks of a kind. `victim`: a host and port that nobody may be led to. */
export function attacksOf(kind: AttackKind, victim: string): Attacks {
  if (kind === 'documents') return documentAttacks;
  return kind === 'protocol' ? protocolAttacks : loginAttacks(victim);
}
