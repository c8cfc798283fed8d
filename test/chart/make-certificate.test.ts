import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { ROOT } from './helm.ts';
import { hasTool } from './tools.ts';

const SCRIPT = join(ROOT, 'certs/openssl/make-certificate.sh');
const DAY = 86_400_000;

describe.runIf(hasTool('openssl', 'apt-get install openssl'))('make-certificate.sh', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'libc-dns-certs-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const run = (...args: readonly string[]) => spawnSync(SCRIPT, [...args, folder], { encoding: 'utf8' });
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
  const certificate = (file: string): X509Certificate => new X509Certificate(read(file));

  it('makes a certificate for the name that the API server calls, signed by a CA of its own', () => {
    expect(run().status).toBe(0);
    const [ca, leaf] = [certificate('ca.crt'), certificate('tls.crt')];
    expect(leaf.checkHost('libc-dns-webhook.libc-dns.svc')).toBe('libc-dns-webhook.libc-dns.svc');
    expect([leaf.verify(ca.publicKey), ca.ca, leaf.ca]).toEqual([true, true, false]);
    expect(leaf.validToDate.getTime() - Date.now()).toBeLessThanOrEqual(365 * DAY);
    expect(() => createServer({ cert: read('tls.crt'), key: read('tls.key') })).not.toThrow();
  });

  it('keeps private keys to their owner', () => {
    run();
    for (const file of ['ca.key', 'tls.key']) expect(statSync(join(folder, file)).mode & 0o077).toBe(0);
  });

  it('renews with the same CA, for other names too', () => {
    run();
    const [ca, first] = [read('ca.crt'), read('tls.crt')];
    const { stdout } = run('-n', 'dns', '-s', 'tuner', '-d', '30');
    expect(read('ca.crt')).toBe(ca);
    expect(read('tls.crt')).not.toBe(first);
    expect(certificate('tls.crt').checkHost('tuner.dns.svc')).toBe('tuner.dns.svc');
    expect(stdout).toContain('kubectl -n dns create secret tls tuner-tls');
    expect(stdout).toContain(Buffer.from(ca).toString('base64'));
  });

  it('prints a command that finds the files from anywhere', () => {
    const [, cert, key] = /--cert="(.+?)" --key="(.+?)"/.exec(run().stdout) ?? [];
    expect([cert, key]).toEqual([join(folder, 'tls.crt'), join(folder, 'tls.key')]);
  });

  it('refuses a certificate that would outlive its CA, and leaves the old one', () => {
    run('-c', '100', '-d', '90');
    const before = read('tls.crt');
    expect(run('-d', '365')).toMatchObject({ status: 1, stderr: expect.stringContaining('give -d a smaller number') });
    expect(read('tls.crt')).toBe(before);
  });

  it('says how it is used', () => {
    expect(spawnSync(SCRIPT, [], { encoding: 'utf8' })).toMatchObject({ status: 2, stdout: '' });
    expect(run('-x')).toMatchObject({ status: 2, stderr: expect.stringContaining('make-certificate.sh [-n') });
  });
});
