import { describe, expect, it } from 'vitest';

import { encodeDecision, readDeclared, redirectedByUs } from '../../../src/policy/annotations.ts';
import { readPod } from '../../../src/policy/read-pod.ts';

const declared = (annotations: Record<string, string>, names = ['app', 'sidecar']) =>
  readDeclared(readPod({ metadata: { annotations }, spec: { containers: names.map((name) => ({ name })) } }));

describe('the libc-dns.dev/libc annotations', () => {
  it.each([
    { value: 'glibc', resolver: 'glibc', libc: 'glibc' },
    { value: 'musl', resolver: 'musl', libc: 'musl' },
    { value: 'go', resolver: 'go', libc: 'unknown' },
    { value: 'other', resolver: 'other', libc: 'other' },
  ])('$value', ({ value, resolver, libc }) => {
    const { verdictFor, warnings } = declared({ 'libc-dns.dev/libc': value });
    expect(verdictFor('app')).toEqual({
      resolver,
      libc,
      evidence: { source: 'annotation', detail: `annotation libc-dns.dev/libc: ${value}`, confidence: 1 },
    });
    expect(warnings).toEqual([]);
  });

  it("a container's own wins over the Pod's", () => {
    const { verdictFor } = declared({ 'libc-dns.dev/libc.sidecar': 'go', 'libc-dns.dev/libc': 'musl' });
    expect(verdictFor('app')?.resolver).toBe('musl');
    expect(verdictFor('sidecar')?.resolver).toBe('go');
  });

  it('says nothing about containers it does not name', () => {
    expect(declared({ 'libc-dns.dev/libc.sidecar': 'go' }).verdictFor('app')).toBeUndefined();
  });

  it.each(['', 'Musl', 'uclibc', '__proto__', 'constructor', 'toString'])('%j is ignored with a warning', (value) => {
    const { verdictFor, warnings } = declared({ 'libc-dns.dev/libc': value, 'libc-dns.dev/libc.app': 'musl' });
    expect(verdictFor('sidecar')).toBeUndefined();
    expect(verdictFor('app')?.resolver).toBe('musl');
    expect(warnings).toEqual([
      `annotation libc-dns.dev/libc is ${JSON.stringify(value)}: ignored; use glibc, musl, go or other`,
    ]);
  });

  it('a container that is not there is a warning', () => {
    expect(declared({ 'libc-dns.dev/libc.ap': 'musl' }).warnings).toEqual([
      'annotation libc-dns.dev/libc.ap names no container of this Pod',
    ]);
  });

  it('that are wrong are told about 32 times at most', () => {
    const wrong = Array.from({ length: 50_000 }, (_, index): [string, string] => [`libc-dns.dev/libc.c${index}`, 'x']);
    const { warnings, verdictFor } = declared({ 'libc-dns.dev/libc': 'musl', ...Object.fromEntries(wrong) });
    expect(warnings).toHaveLength(32);
    expect(verdictFor('app')?.resolver).toBe('musl');
  });
});

describe('the decision annotation', () => {
  it('stays small whatever containers are called', () => {
    const containers = [{ name: 'x'.repeat(1_000_000), resolver: 'musl' as const }];
    expect(encodeDecision('MuslRedirected', ['redirect'], containers).length).toBeLessThan(200);
  });

  it('is compact JSON: reason, remedy, resolvers', () => {
    const containers = [{ name: 'web', resolver: 'musl' as const }];
    expect(encodeDecision('MuslRedirected', ['redirect'], containers)).toBe(
      '{"reason":"MuslRedirected","remedy":["redirect"],"resolvers":{"web":"musl"}}',
    );
  });

  it('names all resolvers that may be at work in a container', () => {
    const evidence = { source: 'executable', detail: '', confidence: 1 } as const;
    const resolvers = (['go', 'musl', 'go'] as const).map(
      (resolver) => ({ resolver, libc: 'none', evidence }) as const,
    );
    const text = encodeDecision('MixedRetried', ['retry'], [{ name: 'app', resolver: 'unknown', resolvers }]);
    expect(JSON.parse(text)).toMatchObject({ resolvers: { app: 'go+musl' } });
  });

  it('stays small for a Pod of 10,000 containers', () => {
    const containers = Array.from({ length: 10_000 }, (_, index) => ({
      name: `c${index}`,
      resolver: 'glibc' as const,
    }));
    const text = encodeDecision('OptionsAdded', ['options'], containers);
    expect(text.length).toBeLessThan(1000);
    expect(JSON.parse(text)).toMatchObject({ more: 9968 });
  });

  it('is read with the longest names that we write', () => {
    const containers = Array.from({ length: 40 }, (_, index) => ({
      name: `${index}`.padEnd(63, '\u{20ac}'),
      resolver: 'unknown' as const,
    }));
    const text = encodeDecision('MuslRedirected', ['options', 'redirect'], containers);
    expect(redirectedByUs({ annotations: { 'libc-dns.dev/decision': text } })).toBe(true);
  });

  it.each([
    ['lists in lists', '['.repeat(6_000_000)],
    ['a long text', `{"remedy":["redirect"],"x":"${'x'.repeat(6_000_000)}"}`],
  ])('is not read if it cannot be ours: %s', (_name, text) => {
    const started = performance.now();
    expect(redirectedByUs({ annotations: { 'libc-dns.dev/decision': text } })).toBe(false);
    expect(performance.now() - started).toBeLessThan(50);
  });
});
