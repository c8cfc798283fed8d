import { afterEach, describe, expect, it } from 'vitest';

import type { ImageDetectorOptions } from '../../../src/detection/image-detector.ts';
import { inspectImage } from '../../../src/inspection/inspect.ts';
import { elf } from '../../support/elf-builder.ts';
import { image } from '../../support/image-builder.ts';
import { layer } from '../../support/layer-builder.ts';
import { localDetector } from '../../support/local-detector.ts';
import { testClient } from '../../support/registry-harness.ts';
import { type RegistryServerOptions, startRegistry } from '../../support/registry-server.ts';
import { minute, noDeadline, request, within } from './support.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const loaders = ['/lib/ld-musl-x86_64.so.1', '/lib64/ld-linux-x86-64.so.2'] as const;

const appImage = (id: number) =>
  image({
    layers: [
      layer(
        [
          { path: 'bin/app', mode: 0o755, content: elf({ interpreter: loaders[id % 2] ?? '', text: `app ${id}` }) },
          { path: loaders[id % 2]?.slice(1) ?? '', mode: 0o755, content: elf({ type: 3, text: 'loader' }) },
        ],
        'gzip',
      ),
    ],
    config: { entrypoint: ['/bin/app'] },
  });

async function setUp(server: RegistryServerOptions, options: Partial<ImageDetectorOptions> = {}) {
  const registry = await startRegistry(server);
  const client = testClient({ insecure: [registry.host] });
  const detector = localDetector({
    sources: client,
    inspect: inspectImage,
    entries: 1000,
    tagTtlMs: 10 * minute,
    failureTtlMs: minute,
    clock: { now: () => Date.now() },
    ...options,
  });
  closing.push(
    () => detector.close(),
    () => client.close(),
    registry.close,
  );
  return { registry, detector };
}

describe('with a real registry and real layers', () => {
  it('1,000 requests for 50 unseen images are 50 look-ups, all inside their deadline', async () => {
    const { registry, detector } = await setUp({ delayMs: 20 });
    const names = Array.from({ length: 50 }, (_, id) => registry.put(`team/app-${id}:v1`, appImage(id)));
    const deadline = within(4000);
    const all = Array.from({ length: 1000 }, (_, index) => detector.detect(request(names[index % 50]!), deadline));
    const answers = await Promise.all(all);
    expect(answers.filter(({ failure }) => failure !== undefined && failure.code !== 'deadline')).toEqual([]);
    await expect.poll(() => detector.stats().underWay).toBe(0);
    const manifests = registry.requests.filter(({ path }) => path.includes('/manifests/'));
    expect([manifests.length, new Set(manifests.map(({ path }) => path)).size]).toEqual([50, 50]);
    const later = await Promise.all(names.map((name) => detector.detect(request(name), within(1))));
    expect(later.map(({ from }) => from)).toEqual(names.map(() => 'memory'));
    expect(later.map(({ verdict }) => verdict.resolver)).toEqual(
      names.map((_, id) => (id % 2 === 0 ? 'musl' : 'glibc')),
    );
  });

  it('a registry that hangs costs a Pod its budget and no more, and memory serves others meanwhile', async () => {
    let hangs = false;
    const { registry, detector } = await setUp(
      { fault: () => (hangs ? { kind: 'hang' } : undefined) },
      { backgroundMs: 150 },
    );
    const known = registry.put('team/known:v1', appImage(0));
    const unknown = registry.put('team/unknown:v1', appImage(1));
    await detector.detect(request(known), noDeadline);
    hangs = true;
    const late = await detector.detect(request(unknown), within(50));
    expect(late.failure?.code).toBe('deadline');
    expect((await detector.detect(request(known), within(50))).verdict.resolver).toBe('musl');
    await expect.poll(() => detector.stats()).toMatchObject({ underWay: 0, failures: 1 });
    const { failure } = await detector.detect(request(unknown), within(50));
    expect(failure?.code).toBe('unavailable');
  });
});
