import { setTimeout as wait } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Credential } from '../../src/detection/image-source.ts';
import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import { createCertificate } from '../support/certificate.ts';
import {
  type DebianRegistry,
  hasDebianRegistry,
  installedRegistries,
  startDebianRegistry,
} from '../support/debian-registry.ts';
import { image, index } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { amd64, collect, lookupContext, sampleImage, testClient } from '../support/registry-harness.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';

if (!hasDebianRegistry) {
  console.warn('\n*** docker-registry is not installed: its tests are SKIPPED. apt-get install docker-registry ***\n');
}

const built = sampleImage(300_000);
const arm = image({
  layers: [layer([{ path: 'a', content: 'x' }])],
  config: { architecture: 'arm64' },
  mediaTypes: 'docker',
});
const both = index([arm, sampleImage(1000)], { attestation: 'first' });
const images = { 'team/app:v1': built, 'team/both': both, 'team/old': arm };
const alice: Credential = { username: 'alice', password: 'correct horse' };

const clientFor = (hosts: string[], credentials: Credential[] = []) =>
  testClient({
    insecure: hosts,
    credentials: listedCredentials(credentials.map((credential) => ({ host: hosts[0]!, credential }))),
  });

async function readLayer(client: ReturnType<typeof testClient>, name: string) {
  const source = client.open(name);
  const context = lookupContext();
  const manifest = await source.manifest(amd64, context);
  await source.config(manifest, context);
  const blob = manifest.layers[0]!;
  const bytes = await collect(source.read(blob, 1000, 5000, context));
  expect(bytes.equals(built.blobs.get(blob.digest)!.subarray(1000, 6000))).toBe(true);
  return context.meter;
}

describe.each(installedRegistries)('$name (skipped where it is not installed)', ({ binary }) => {
  describe('without a login', () => {
    let registry: DebianRegistry;
    beforeAll(async () => {
      registry = await startDebianRegistry({ binary, images });
    });
    afterAll(async () => {
      await registry.close();
    });

    it('serves an image: manifest, configuration and a range', async () => {
      const client = clientFor([registry.host]);
      const meter = await readLayer(client, `${registry.host}/team/app:v1`);
      expect(meter.requests).toBe(3);
      expect(meter.bytes).toBeLessThan(8000);
      await client.close();
    });

    it('serves an index, and Docker media types', async () => {
      const client = clientFor([registry.host]);
      const platform = { os: 'linux', architecture: 'arm64' };
      const context = lookupContext();
      const found = await client.open(`${registry.host}/team/both`).manifest(platform, context);
      expect(found.digest).toBe(arm.digest);
      expect(context.meter.requests).toBe(2);
      const old = await client.open(`${registry.host}/team/old`).manifest(platform, lookupContext());
      expect(old.platform).toEqual(platform);
      await client.close();
    });

    it('says by HEAD what a tag names: an image or an index', async () => {
      const client = clientFor([registry.host]);
      for (const [name, { digest }] of [
        ['app:v1', built],
        ['both', both],
      ] as const) {
        const source = client.open(`${registry.host}/team/${name}`);
        const context = lookupContext();
        expect((await source.manifest(amd64, context)).named).toBe(digest);
        const before = { ...context.meter };
        expect(await source.stillNames?.(digest, context)).toBe(true);
        expect(context.meter).toEqual({ requests: before.requests + 1, bytes: before.bytes });
        expect(await source.stillNames?.(arm.digest, context)).toBe(false);
      }
      await client.close();
    });

    it('says what is not there, and where a blob ends', async () => {
      const client = clientFor([registry.host]);
      await expect(client.open(`${registry.host}/team/none`).manifest(amd64, lookupContext())).rejects.toMatchObject({
        code: 'not-found',
        message: expect.stringContaining('404 MANIFEST_UNKNOWN'),
      });
      const source = client.open(`${registry.host}/team/app:v1`);
      const { layers } = await source.manifest(amd64, lookupContext());
      const blob = layers[0]!;
      expect(await collect(source.read(blob, blob.size - 10, 100, lookupContext()))).toHaveLength(10);
      expect(await collect(source.read(blob, blob.size + 10, 100, lookupContext()))).toHaveLength(0);
      await client.close();
    });
  });

  it('with htpasswd takes the login, and refuses the rest', async () => {
    // bcrypt of "correct horse".
    const htpasswd = 'alice:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n';
    const registry = await startDebianRegistry({ binary, images, htpasswd });
    const client = clientFor([registry.host], [{ ...alice, password: 'wrong' }, alice]);
    await readLayer(client, `${registry.host}/team/app:v1`);
    const stranger = clientFor([registry.host], [{ ...alice, password: 'wrong' }]);
    const lookup = stranger.open(`${registry.host}/team/app:v1`).manifest(amd64, lookupContext());
    await expect(lookup).rejects.toMatchObject({ code: 'unauthorized' });
    await Promise.all([registry.close(), client.close(), stranger.close()]);
  });

  describe('with a token server', () => {
    let tokens: TokenServer;
    let registry: DebianRegistry;
    beforeAll(async () => {
      const certificate = await createCertificate();
      tokens = await startTokenServer({
        certificate,
        users: { alice: 'correct horse' },
        refreshTokens: ['r'],
        lifetime: 2,
      });
      const { realm, service } = tokens;
      registry = await startDebianRegistry({
        binary,
        images,
        token: { realm, service, issuer: 'issuer.test', cert: certificate.cert },
      });
    });
    afterAll(async () => {
      await Promise.all([registry.close(), tokens.close()]);
    });

    it.each([
      ['a login', alice],
      ['an identity token', { username: '', password: '', identityToken: 'r' }],
    ])('takes tokens for %s, and keeps them for a minute at least', async (_, credential) => {
      const client = clientFor([registry.host, tokens.host], [credential]);
      const asked = tokens.asked.length;
      const name = `${registry.host}/team/app:v1`;
      expect((await readLayer(client, name)).requests).toBe(5);
      expect((await readLayer(client, name)).requests).toBe(3);
      expect(tokens.asked.length - asked).toBe(1);
      await wait(2100);
      // A lifetime below a minute counts as one; the registry gives it as long (registry/auth/token: Leeway).
      expect((await readLayer(client, name)).requests).toBe(3);
      expect(tokens.asked.length - asked).toBe(1);
      await client.close();
    });

    it('refuses who has no login', async () => {
      const client = clientFor([registry.host, tokens.host]);
      const lookup = client.open(`${registry.host}/team/app:v1`).manifest(amd64, lookupContext());
      await expect(lookup).rejects.toMatchObject({ code: 'unauthorized' });
      await client.close();
    });
  });
});
