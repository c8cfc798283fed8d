import { createHash, createPrivateKey, randomUUID, sign } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

import type { TestCertificate } from './certificate.ts';

/** A token request: its query or form. */
interface TokenAsked {
  readonly method: string;
  readonly parameters: URLSearchParams;
  readonly authorization: string | undefined;
}

export interface TokenServerOptions {
  /** Passwords by user. If undefined, no login is needed. */
  readonly users?: Readonly<Record<string, string>>;
  /** Refresh tokens that are accepted by POST. */
  readonly refreshTokens?: readonly string[];
  /** Lifetime of a token in seconds, sent as `expires_in`. */
  readonly lifetime?: number;
  readonly field?: 'token' | 'access_token';
  /** A response instead of a token. */
  readonly answer?: (asked: TokenAsked) => { readonly status: number; readonly body: string } | undefined;
  /** Issues JSON Web Tokens signed with this key, for a registry that trusts the certificate. */
  readonly certificate?: TestCertificate;
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface TokenServer {
  readonly realm: string;
  readonly host: string;
  readonly service: string;
  readonly asked: TokenAsked[];
  /** Reports whether a token was issued for the scope and is still valid. */
  verify(token: string, scope: string): boolean;
  /** Revokes all tokens issued so far. */
  revoke(): void;
  readonly close: () => Promise<void>;
}

const service = 'registry.test';

/** Starts a token server according to distribution's token and OAuth2 specifications. */
export async function startTokenServer(options: TokenServerOptions = {}): Promise<TokenServer> {
  const issued = new Map<string, { readonly scope: string; readonly until: number }>();
  const asked: TokenAsked[] = [];
  const lifetime = options.lifetime ?? 300;
  const answer = async (request: IncomingMessage): Promise<{ status: number; body: string }> => {
    const one = await readAsked(request);
    asked.push(one);
    const other = options.answer?.(one);
    if (other !== undefined) return other;
    if (!isKnown(options, one)) return { status: 401, body: JSON.stringify({ errors: [{ code: 'UNAUTHORIZED' }] }) };
    const scope = one.parameters.get('scope') ?? '';
    const token = options.certificate === undefined ? randomUUID() : signToken(options.certificate, scope, lifetime);
    issued.set(token, { scope, until: Date.now() + lifetime * 1000 });
    return { status: 200, body: JSON.stringify({ [options.field ?? 'token']: token, expires_in: lifetime }) };
  };
  const listener: Parameters<typeof createServer>[1] = (request, response) => {
    answer(request).then(
      ({ status, body }) => response.writeHead(status, { 'content-type': 'application/json' }).end(body),
      () => request.socket.destroy(),
    );
  };
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    realm: `${options.tls === undefined ? 'http' : 'https'}://${host}/token?account=x`,
    service,
    asked,
    verify(token, scope) {
      const known = issued.get(token);
      return known !== undefined && known.scope === scope && Date.now() < known.until;
    },
    revoke() {
      issued.clear();
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}

async function readAsked(request: IncomingMessage): Promise<TokenAsked> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const query = new URL(request.url ?? '', 'http://token').searchParams;
  const parameters = request.method === 'POST' ? new URLSearchParams(Buffer.concat(chunks).toString('utf8')) : query;
  return { method: request.method ?? '', parameters, authorization: request.headers.authorization };
}

function isKnown(options: TokenServerOptions, { method, parameters, authorization }: TokenAsked): boolean {
  if (method === 'POST') return options.refreshTokens?.includes(parameters.get('refresh_token') ?? '') ?? false;
  if (options.users === undefined) return true;
  const login = Buffer.from((authorization ?? '').replace(/^Basic /, ''), 'base64').toString('utf8');
  return Object.entries(options.users).some(([name, password]) => login === `${name}:${password}`);
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** Signs a token (distribution docs/content/spec/auth/jwt.md). */
function signToken({ key, der }: TestCertificate, scope: string, lifetime: number): string {
  const [type = '', name = '', actions = ''] = scope.split(':');
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: 'issuer.test', sub: 'test', aud: service, exp: now + lifetime, nbf: now - 1, iat: now };
  const access = scope === '' ? [] : [{ type, name, actions: actions.split(',') }];
  const jti = createHash('sha256').update(randomUUID()).digest('hex');
  const body = `${encode({ typ: 'JWT', alg: 'ES256', x5c: [der] })}.${encode({ ...claims, jti, access })}`;
  const signature = sign('sha256', Buffer.from(body), { key: createPrivateKey(key), dsaEncoding: 'ieee-p1363' });
  return `${body}.${signature.toString('base64url')}`;
}
