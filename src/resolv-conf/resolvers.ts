import type { ResolvConf } from '../policy/model.ts';

/** How a resolver behaves with a resolv.conf. */
export interface ReaderView {
  /** In the order of use; musl queries all at once. */
  readonly servers: readonly string[];
  /** Empty if the resolver ignores the line. */
  readonly searches: readonly string[];
  readonly ndots: number;
  /** Milliseconds until it sends an unanswered query again. */
  readonly resendMs: number;
  /** Milliseconds until the look-up of one name fails if no server answers. */
  readonly giveUpMs: number;
  /** It sends the A and AAAA queries at once from one UDP socket, as the conntrack race needs. */
  readonly atOnce: boolean;
  readonly tcp: boolean;
  /** One sentence for each option without effect, and for each other problem. */
  readonly notes: readonly string[];
}

/** musl resolvconf.c: `char line[256]`; musl skips a line that fills it without its newline. */
const MUSL_LINE = 254;
const MAX_SERVERS = 3;

/**
 * Returns how musl 1.1.13 to 1.2.6 reads the file (src/network/resolvconf.c, res_msend.c). It sends a query `attempts`
 * times within `timeout` seconds, to all servers at once, and reads no other options than ndots, timeout and attempts.
 */
export function readByMusl(file: ResolvConf): ReaderView {
  const isTooLong = (line: string, words: readonly string[]): boolean =>
    `${line} ${words.join(' ')}`.length > MUSL_LINE;
  const skipsOptions = isTooLong('options', file.options);
  const options = skipsOptions ? [] : file.options;
  const timeout = capped(number(options, 'timeout'), 5, 60);
  const attempts = capped(number(options, 'attempts'), 2, 10);
  const notes = without(options, ['ndots', 'timeout', 'attempts']).map((option) => `${option} is ignored`);
  if (skipsOptions) notes.push(`the options line is longer than ${MUSL_LINE} bytes and is ignored whole`);
  if (attempts === 0) notes.push('attempts:0 crashes the program at its first look-up');
  if (timeout === 0) notes.push('timeout:0 fails every look-up at once');
  const tooLong = isTooLong('search', file.searches);
  if (tooLong) notes.push(`the search line is longer than ${MUSL_LINE} bytes and is ignored whole`);
  return {
    servers: file.servers.length === 0 ? ['127.0.0.1'] : file.servers.slice(0, MAX_SERVERS),
    searches: tooLong ? [] : file.searches,
    ndots: capped(number(options, 'ndots'), 1, 15),
    resendMs: attempts === 0 ? 0 : (timeout * 1000) / attempts,
    giveUpMs: timeout * 1000,
    atOnce: true,
    tcp: false,
    notes,
  };
}

/**
 * Returns how glibc reads the file (resolv.conf(5); resolv/res_init.c RES_MAXRETRANS, RES_MAXRETRY, RES_MAXNDOTS,
 * MAXNS).
 */
export function readByGlibc(file: ResolvConf): ReaderView {
  // res_send.c waits for a second at least.
  const timeout = Math.max(capped(number(file.options, 'timeout'), 5, 30), 1);
  const attempts = capped(number(file.options, 'attempts'), 2, 5);
  const tcp = file.options.includes('use-vc');
  const sequential = file.options.some((option) => option === 'single-request' || option === 'single-request-reopen');
  const servers = file.servers.length === 0 ? ['127.0.0.1'] : file.servers.slice(0, MAX_SERVERS);
  return {
    servers,
    searches: file.searches,
    ndots: capped(number(file.options, 'ndots'), 1, 15),
    resendMs: attempts === 0 ? 0 : timeout * 1000,
    giveUpMs: timeout * 1000 * attempts * servers.length,
    atOnce: !sequential && !tcp,
    tcp,
    notes: tcp && sequential ? ['single-request options have no effect over TCP'] : [],
  };
}

/** Options that Go's net package knows (net/dnsconfig_unix.go); any other makes it use cgo if it can. */
const GO_OPTIONS = ['ndots', 'timeout', 'attempts', 'rotate', 'single-request', 'single-request-reopen', 'use-vc'];
const GO_IGNORED = ['usevc', 'tcp', 'trust-ad', 'edns0', 'no-reload'];

/**
 * Returns how Go's own resolver reads the file (net/dnsconfig_unix.go, dnsclient_unix.go). Without a sequential option
 * it queries A and AAAA at once, but from two sockets.
 */
export function readByGo(file: ResolvConf): ReaderView {
  const timeout = Math.max(number(file.options, 'timeout') ?? 5, 1);
  const attempts = Math.max(number(file.options, 'attempts') ?? 2, 1);
  const servers = file.servers.length === 0 ? ['127.0.0.1', '::1'] : file.servers.slice(0, MAX_SERVERS);
  const tcp = file.options.some((option) => option === 'use-vc' || option === 'usevc' || option === 'tcp');
  const unknown = without(file.options, [...GO_OPTIONS, ...GO_IGNORED]);
  return {
    servers,
    searches: file.searches,
    ndots: capped(number(file.options, 'ndots'), 1, 15),
    resendMs: timeout * 1000,
    giveUpMs: timeout * 1000 * attempts * servers.length,
    atOnce: false,
    tcp,
    notes: unknown.map(
      (option) => `${option} is not known to Go, which then resolves through libc where it is linked to one`,
    ),
  };
}

function number(options: readonly string[], name: string): number | undefined {
  const found = options.findLast((option) => option.startsWith(`${name}:`));
  const digits = /^\d+/.exec(found?.slice(name.length + 1) ?? '')?.[0];
  return digits === undefined ? undefined : Number(digits);
}

const capped = (value: number | undefined, fallback: number, cap: number): number => Math.min(value ?? fallback, cap);

const without = (options: readonly string[], honoured: readonly string[]): string[] =>
  options.filter((option) => !honoured.includes(option.split(':', 1)[0] ?? option));
