import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import { index } from '../support/image-builder.ts';
import { amd64, collect, lookupContext, sampleImage, testClient } from '../support/registry-harness.ts';
import { startZot, zotBinary } from '../support/zot.ts';

const built = sampleImage(300_000);
const [digest = '', layer = Buffer.alloc(0)] = [...built.blobs].find(([, { length }]) => length > 100_000) ?? [];
const images = {
  'team/app:v1': built,
  'team/both': index([built, sampleImage(1000, { architecture: 'arm64' })]),
  'private/app:v1': built,
};

/** bcrypt of "correct horse". */
const htpasswd = 'alice:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n';

describe.skipIf(zotBinary === undefined)('zot (skipped where LIBC_DNS_TEST_ZOT does not name it)', () => {
  let zot: Awaited<ReturnType<typeof startZot>>;
  beforeAll(async () => {
    zot = await startZot({ images, htpasswd });
  });
  afterAll(async () => {
    await zot.close();
  });

  async function requestsOf(name: string, password?: string): Promise<number> {
    const logins = password === undefined ? [] : [{ host: zot.host, credential: { username: 'alice', password } }];
    const client = testClient({ insecure: [zot.host], credentials: listedCredentials(logins) });
    onTestFinished(client.close);
    const source = client.open(`${zot.host}/${name}`);
    const context = lookupContext();
    const manifest = await source.manifest(amd64, context);
    await source.config(manifest, context);
    const blob = manifest.layers.find((one) => one.digest === digest)!;
    const bytes = await collect(source.read(blob, 1000, 5000, context));
    expect(bytes.equals(layer.subarray(1000, 6000))).toBe(true);
    return context.meter.requests;
  }

  it('serves an image and an index to everybody', async () => {
    expect(await requestsOf('team/app:v1')).toBe(3);
    expect(await requestsOf('team/both')).toBe(4);
  });

  it('serves a private image to its user, beside public ones (project-zot/zot#1917)', async () => {
    expect(await requestsOf('private/app:v1', 'correct horse')).toBeLessThanOrEqual(6);
    await expect(requestsOf('private/app:v1', 'wrong')).rejects.toMatchObject({ code: 'unauthorized' });
    await expect(requestsOf('private/app:v1')).rejects.toMatchObject({ code: 'unauthorized' });
  });

  it('says what is not there', async () => {
    await expect(requestsOf('team/none:v1')).rejects.toMatchObject({ code: 'not-found' });
  });
});
