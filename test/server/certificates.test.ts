import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type DetailedPeerCertificate } from 'node:tls';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ephemeralPair, type EphemeralPair } from '../../src/certificates/ephemeral.ts';
import { fixture } from '../support/reviews.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

const NAMES = [{ type: 'ip', value: '127.0.0.1' }] as const;
const pair = (days = 30): Promise<EphemeralPair> => ephemeralPair({ names: NAMES, now: Date.now(), days });

let folder: string;
let webhook: WebhookProcess | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-tls-'));
});

afterEach(async () => {
  await webhook?.stop();
  webhook = undefined;
  rmSync(folder, { recursive: true });
});

const start = async (): Promise<WebhookProcess> => {
  const files = { TLS_CERT_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key') };
  webhook = await startWebhook({ settings: { TLS_MODE: 'files', ...files }, flags: ['--offline'] });
  return webhook;
};

/** As the kubelet writes a Secret volume: files are links through `..data`, which is swapped by a rename. */
function writeSecretVolume({ cert, key }: { cert: string; key: string }, version: string): void {
  mkdirSync(join(folder, version));
  writeFileSync(join(folder, version, 'tls.crt'), cert);
  writeFileSync(join(folder, version, 'tls.key'), key);
  symlinkSync(version, join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
}

function served(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
      const certificate: DetailedPeerCertificate = socket.getPeerCertificate(true);
      resolve(certificate.fingerprint256);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

const fingerprint = ({ cert }: EphemeralPair): string => new X509Certificate(cert).fingerprint256;

const eventually = async (check: () => Promise<boolean> | boolean): Promise<void> => {
  for (let tries = 0; tries < 100; tries += 1) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it never came true');
};

describe('certificates in files', () => {
  it('a Secret volume is swapped: new connections see the new certificate, open ones go on', async () => {
    const [first, second] = await Promise.all([pair(), pair()]);
    writeSecretVolume(first, '..1');
    symlinkSync('..data/tls.crt', join(folder, 'tls.crt'));
    symlinkSync('..data/tls.key', join(folder, 'tls.key'));
    const { url, post } = await start();
    expect(await served(url)).toBe(fingerprint(first));
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const body = JSON.stringify(fixture('plain'));
    expect((await post(body, { ca: first.ca, agent })).status).toBe(200);

    writeSecretVolume(second, '..2');
    await eventually(async () => (await served(url)) === fingerprint(second));
    expect((await post(body, { ca: first.ca, agent })).status).toBe(200);
    expect((await post(body, { ca: second.ca })).status).toBe(200);
    agent.destroy();
  });

  it.each([
    { name: 'cut short', write: (cert: string) => cert.slice(0, 200), says: 'no PEM certificate' },
    { name: 'of another key', write: (_cert: string, other: string) => other, says: 'does not belong' },
    { name: 'empty', write: () => '', says: 'no PEM certificate' },
  ])('a new certificate that is $name is not taken: the old one stays, logged and counted', async ({ write, says }) => {
    const [first, other] = await Promise.all([pair(), pair()]);
    writeFileSync(join(folder, 'tls.crt'), first.cert);
    writeFileSync(join(folder, 'tls.key'), first.key);
    const running = await start();
    writeFileSync(join(folder, 'tls.crt'), write(first.cert, other.cert));
    await eventually(() => running.lines.some((line) => line.level === 'error'));
    expect(JSON.stringify(running.lines.find((line) => line.level === 'error'))).toContain(says);
    expect(await served(running.url)).toBe(fingerprint(first));
    const metrics = await (await fetch(`${running.probes}/metrics`)).text();
    expect(metrics).toContain('libc_dns_certificate_reload_failures_total 1');
    expect((await fetch(`${running.probes}/readyz`)).status).toBe(200);
  });

  it('an expired certificate: not ready, and says so', async () => {
    const expired = await ephemeralPair({ names: NAMES, now: Date.now() - 48 * 3_600_000, days: 1 });
    writeFileSync(join(folder, 'tls.crt'), expired.cert);
    writeFileSync(join(folder, 'tls.key'), expired.key);
    const { probes } = await start();
    const response = await fetch(`${probes}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.text()).toMatch(/^not ready: the certificate expired at \d{4}-/);
    expect((await fetch(`${probes}/livez`)).status).toBe(200);
  });

  it('no file at the start: the process ends and names it', async () => {
    await expect(start()).rejects.toThrow(/serve ended with 1: .*tls\.crt: cannot be read: ENOENT/);
  });
});
