import { expect, it } from 'vitest';

import type { Inspection } from '../../../src/detection/detector.ts';
import { surer } from '../../../src/detection/look-up.ts';
import type { Candidate, Resolver } from '../../../src/policy/verdict.ts';

const candidate = (resolver: Resolver, confidence: number): Candidate => ({
  resolver,
  libc: 'unknown',
  evidence: { source: 'executable', detail: '', confidence },
});

const looked = (confidence: number, programs: readonly Resolver[] = [], outdated = false): Inspection => ({
  verdict: {
    ...candidate(programs.length === 1 ? (programs[0] ?? 'unknown') : 'unknown', confidence),
    ...(programs.length > 1 && { resolvers: programs.map((resolver) => candidate(resolver, confidence)) }),
  },
  digest: 'sha256:1',
  platform: { os: 'linux', architecture: 'amd64' },
  ...(outdated && { outdated: true }),
});

it.each<[name: string, worse: Inspection | undefined, better: Inspection]>([
  ['any that there is', undefined, looked(0)],
  ['newer rules, whatever the confidence', looked(0.99, ['musl'], true), looked(0, [])],
  ['more confidence', looked(0.55, ['go', 'glibc']), looked(0.99, ['go'])],
  ['more programs that are known, at the same confidence', looked(0, ['go', 'unknown']), looked(0, ['go', 'glibc'])],
  ['one that is known', looked(0), looked(0, ['go', 'unknown'])],
])('%s', (_name, worse, better) => {
  expect(surer(worse, better)).toBe(better);
  if (worse !== undefined) expect(surer(better, worse)).toBe(better);
});

it('of two that say as much the first one stays', () => {
  const first = looked(0.5, ['glibc']);
  expect(surer(first, looked(0.5, ['musl']))).toBe(first);
});
