import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { request, type Agent } from 'node:https';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const END_WITH_PARENT = fileURLToPath(new URL('end-with-parent.mjs', import.meta.url));

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface WebhookProcess {
  readonly url: string;
  readonly probes: string;
  readonly process: ChildProcess;
  readonly lines: readonly LogLine[];
  /** The CA of an ephemeral certificate, PEM. */
  readonly ca: string;
  readonly post: (body: string | Buffer, options?: PostOptions) => Promise<Reply>;
  /** Resolves to the log line of the decision on a request, which comes a little after the response. */
  readonly decision: (uid: string) => Promise<LogLine>;
  /** Sends SIGTERM and resolves to the exit code. */
  readonly stop: () => Promise<number | null>;
}

interface PostOptions {
  readonly path?: string;
  readonly contentType?: string;
  readonly ca?: string;
  readonly agent?: Agent;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default true: the server's certificate is verified. */
  readonly rejectUnauthorized?: boolean;
  /** A client certificate and its key, PEM. */
  readonly client?: { readonly cert: string; readonly key: string };
}

export function post(url: string, ca: string, body: string | Buffer, options: PostOptions = {}): Promise<Reply> {
  const { path = '/mutate', contentType = 'application/json', method = 'POST' } = options;
  return new Promise((resolve, reject) => {
    const call = request(new URL(path, url), {
      method,
      ca: options.ca ?? ca,
      ...(options.agent && { agent: options.agent }),
      ...(options.rejectUnauthorized === false && { rejectUnauthorized: false }),
      ...options.client,
      headers: { 'content-type': contentType, 'content-length': Buffer.byteLength(body), ...options.headers },
    });
    call.on('error', reject);
    call.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    call.end(body);
  });
}

export interface StartOptions {
  /** Configuration keys as environment variables without their prefix: `{ SCOPE: 'cluster' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  /** The file to run instead of src/main.ts. */
  readonly main?: string;
  /** A single executable to run instead of Node. */
  readonly program?: string;
  /** Additional environment variables. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Starts `libc-dns serve` in its own process on free ports of loopback, and waits until it is ready. */
export async function startWebhook({
  settings = {},
  flags = [],
  main = MAIN,
  program,
  environment = {},
}: StartOptions = {}): Promise<WebhookProcess> {
  const all = { SERVER_PORT: '0', SERVER_METRICS_PORT: '0', LOG_LEVEL: 'debug', ...settings };
  const env = Object.fromEntries(Object.entries(all).map(([key, value]) => [`LIBC_DNS_${key}`, value]));
  const [command, ...words] = program === undefined ? [process.execPath, END_WITH_PARENT, main] : [program];
  const child = spawn(command ?? '', [...words, 'serve', ...flags], {
    env: { PATH: process.env['PATH'], ...environment, ...env },
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  });
  const lines: LogLine[] = [];
  const exited = new Promise<number | null>((resolve) => child.on('close', resolve));
  const ready = new Promise<LogLine>((resolve, reject) => {
    createInterface({ input: child.stderr as Readable }).on('line', (text) => {
      const line = text.startsWith('{') ? (JSON.parse(text) as LogLine) : { level: 'text', msg: text };
      lines.push(line);
      if (line.msg === 'ready') resolve(line);
    });
    void exited.then((code) =>
      reject(new Error(`serve ended with ${code}: ${lines.map((line) => line.msg).join(' | ')}`)),
    );
  });
  const { mutate, probes } = (await ready) as LogLine & { mutate: string; probes: string };
  const bundle = lines.find((line) => 'caBundle' in line)?.['caBundle'];
  const ca = typeof bundle === 'string' ? Buffer.from(bundle, 'base64').toString() : '';
  return {
    url: mutate,
    probes,
    process: child,
    lines,
    ca,
    post: (body, options) => post(mutate, ca, body, options),
    decision: async (uid) => {
      for (let tries = 0; tries < 500; tries += 1) {
        const line = lines.find((entry) => entry['uid'] === uid);
        if (line !== undefined) return line;
        await sleep(10);
      }
      throw new Error(`no decision on ${uid} was logged`);
    },
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
  };
}
