import { describe, expect, it } from 'vitest';

import type { DetectRequest } from '../../../src/detection/detector.ts';
import { createKeyMemory, imageKeys, runKeys } from '../../../src/detection/keys.ts';

const linux = { os: 'linux', architecture: 'amd64' };
const request = (change: Partial<DetectRequest> = {}): DetectRequest => ({
  reference: 'nginx:1',
  platform: linux,
  command: [],
  args: [],
  ...change,
});

function counting() {
  const read: string[] = [];
  const keysOf = createKeyMemory((reference) => {
    read.push(reference);
    return `docker.io/library/${reference}`;
  });
  return { read, keysOf };
}

describe('remembered keys', () => {
  it('are those that would be made, and made once', () => {
    const { read, keysOf } = counting();
    const expected = { ...imageKeys(linux, 'docker.io/library/nginx:1'), ...runKeys(request()) };
    expect(keysOf(request())).toEqual(expected);
    expect(keysOf(request({ dryRun: true }))).toEqual(expected);
    expect(read).toEqual(['nginx:1']);
  });

  it('of one image are made once, whatever runs in it', () => {
    const { read, keysOf } = counting();
    for (let step = 0; step < 5; step += 1) {
      const change = { command: ['sh'], args: [`--step=${step}`] };
      expect(keysOf(request(change))).toEqual({
        ...imageKeys(linux, 'docker.io/library/nginx:1'),
        ...runKeys(request(change)),
      });
    }
    expect(read).toHaveLength(1);
  });

  it.each<[string, Partial<DetectRequest>]>([
    ['reference', { reference: 'nginx:2' }],
    ['architecture', { platform: { os: 'linux', architecture: 'arm64' } }],
    ['variant', { platform: { ...linux, variant: 'v8' } }],
    ['command', { command: ['sh'] }],
    ['arguments', { args: ['sh'] }],
    ['where words end', { command: ['a b'] }],
    ['environment', { env: { GODEBUG: 'netdns=cgo' } }],
    ['any variable', { env: { MODE: 'web' } }],
    ['variable from elsewhere', { envElsewhere: ['MODE'] }],
    ['envFrom', { envFrom: true }],
    ['working directory', { workingDir: '/srv' }],
    ['user', { user: '0' }],
    ['mounts', { mounts: ['/etc/app'] }],
  ])('are others where the %s is another', (_, change) => {
    const { keysOf } = counting();
    const others = [request(), request({ command: ['a', 'b'] })].map((each) => keysOf(each));
    for (const other of others) expect(keysOf(request(change))).not.toEqual(other);
  });

  it("of runs that depend on the Entrypoint or the first word alone are the environment's, too", () => {
    const env = { GODEBUG: 'netdns=cgo' };
    const plain = runKeys(request({ args: ['serve'] }));
    const set = runKeys(request({ args: ['serve'], env }));
    expect(Object.keys(set)).toEqual(Object.keys(plain));
    expect(Object.values(set).filter((key) => Object.values(plain).includes(key))).toEqual([]);
  });

  it.each<[string, Partial<DetectRequest>]>([
    ['a variable', { env: { MODE: 'web' } }],
    ['a variable from elsewhere', { envElsewhere: ['MODE'] }],
    ['a user', { user: '0' }],
    ['a mount where no program is', { mounts: ['/etc/app', '/var/lib/app'] }],
  ])('of runs that the Entrypoint or the first word alone decides are the same with %s', (_, change) => {
    const plain = runKeys(request({ args: ['serve'] }));
    const other = runKeys(request({ args: ['serve'], ...change }));
    expect(other).toEqual({ ...plain, run: other.run });
    expect(other.run).not.toBe(plain.run);
  });

  it.each<[string, Partial<DetectRequest>]>([
    ['PATH', { env: { PATH: '/opt' } }],
    ['a working directory', { workingDir: '/srv' }],
    ['a mount where programs may be', { mounts: ['/app'] }],
    ['a mount over everything', { mounts: ['/'] }],
  ])('of runs that the Entrypoint or the first word alone decides are others with %s', (_, change) => {
    const plain = Object.values(runKeys(request({ args: ['serve'] })));
    expect(Object.values(runKeys(request({ args: ['serve'], ...change }))).some((key) => plain.includes(key))).toBe(
      false,
    );
  });

  it('are made anew for what is long, and for what was pushed out', () => {
    const { read, keysOf } = counting();
    const long = request({ reference: 'x'.repeat(600) });
    keysOf(long);
    keysOf(long);
    expect(read).toHaveLength(2);
    for (let index = 0; index < 1500; index += 1) keysOf(request({ reference: `app:${index}` }));
    keysOf(request({ reference: 'app:1499' }));
    expect(read).toHaveLength(1502);
    keysOf(request({ reference: 'app:0' }));
    expect(read).toHaveLength(1503);
  });
});
