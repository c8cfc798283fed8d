import { expect, it } from 'vitest';

import { reasonsIn } from '../../e2e/meanwhile.ts';

const failed = (reason: string): string =>
  `W1130 18:00:00.123456   12345 dispatcher.go:243] Failed calling webhook, failing open pods.libc-dns.dev: failed calling webhook ` +
  `"pods.libc-dns.dev": failed to call webhook: Post "https://libc-dns-webhook.libc-dns.svc:443/mutate?timeout=5s": ${reason}`;

it('the reasons of calls that failed open are counted as the API server logs them', () => {
  const log = [
    failed('EOF'),
    'E1130 18:00:00.123457   12345 dispatcher.go:250] "Unhandled Error" err="failed calling webhook \\"pods.libc-dns.dev\\": EOF"',
    failed('read tcp 172.30.0.11:38172->10.105.237.238:443: read: connection reset by peer'),
    failed('read tcp 172.30.0.11:44962->10.105.237.238:443: read: connection reset by peer'),
    failed('dial tcp 10.105.237.238:443: connect: connection refused'),
    'I1130 18:00:00.123458   12345 httplog.go:134] "HTTP" verb="POST"',
  ].join('\n');
  expect(reasonsIn(log)).toBe('1 EOF, 2 connection reset by peer, 1 connection refused');
  expect(reasonsIn('I1130 18:00:00.123458   12345 httplog.go:134] "HTTP" verb="POST"')).toBe('');
});
