import { describe, expect, it } from 'vitest';

import type { Detection, DetectRequest } from '../../../src/detection/detector.ts';
import { imageEntry } from '../../../src/pod-resolvers/images.ts';
import { unknownVerdict, type Verdict } from '../../../src/policy/verdict.ts';
import { verdict } from '../../support/policy.ts';

const request = (more: Partial<DetectRequest> = {}): DetectRequest => ({
  reference: 'shop:1',
  platform: { os: 'linux', architecture: 'amd64' },
  command: [],
  args: [],
  ...more,
});

const detection = (more: Partial<Detection> = {}): Detection => ({
  verdict: verdict('musl'),
  digest: 'sha256:1',
  from: 'memory',
  meter: { requests: 0, bytes: 0 },
  ...more,
});

describe('the key of an image for the policy of the API server', () => {
  it.each<[string, Partial<DetectRequest>, Partial<Detection>, string]>([
    ['the entry point decides', { args: ['x'] }, { decidedBy: 'entrypoint' }, 'shop:1'],
    ['the first word of command decides', { command: ['a', 'b'] }, { decidedBy: 'first-word' }, 'shop:1 command a'],
    ['the first word of args decides', { args: ['a', 'b'] }, { decidedBy: 'first-word' }, 'shop:1 args a'],
    ['all counts, and there is nothing', {}, {}, 'shop:1 bare'],
    ['all counts', { args: ['x'] }, {}, 'shop:1 unknown'],
    ['all counts, variables', { env: { A: 'b' } }, {}, 'shop:1 unknown'],
    ['all counts, a user', { user: '1' }, {}, 'shop:1 unknown'],
    ['variables beside the entry point', { env: { A: 'b' } }, { decidedBy: 'entrypoint' }, 'shop:1'],
    ['PATH beside it', { env: { PATH: '/x' } }, { decidedBy: 'entrypoint' }, 'shop:1 unknown'],
    ['a mount over programs', { mounts: ['/usr'] }, { decidedBy: 'entrypoint' }, 'shop:1 unknown'],
    ['a mount over data', { mounts: ['/etc/x'] }, { decidedBy: 'entrypoint' }, 'shop:1'],
    [
      'a program among data, which a mount may hide',
      {},
      { decidedBy: 'entrypoint', executable: '/data/x' },
      'shop:1 unknown',
    ],
    ['nothing is known', {}, { decidedBy: 'entrypoint', verdict: unknownVerdict('x') }, 'shop:1 unknown'],
  ])('%s', (_, run, found, key) => {
    const entry = imageEntry(request(run), detection(found));
    expect(entry.key).toBe(key);
    expect(entry.resolvers).toBe(key.endsWith(' unknown') ? 'unknown' : 'musl');
  });

  it.each([
    [{}, 'shop:1'],
    [{ args: ['x'] }, 'shop:1'],
    [{ command: ['x'] }, 'shop:1 command x'],
    [{ workingDir: '/x' }, 'shop:1 unknown'],
  ])('a verdict that a person declared, for %o', (run, key) => {
    const { digest: _, ...declared } = detection({ from: 'store' });
    expect(imageEntry(request(run), declared).key).toBe(key);
  });

  it('names all resolvers, the one in the foreground first', () => {
    const both: Verdict = { ...verdict('musl'), resolvers: [verdict('musl'), verdict('go')] };
    expect(imageEntry(request(), detection({ verdict: both })).resolvers).toBe('musl+go');
  });
});
