import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { ephemeralPair, type EphemeralPair } from '../../src/certificates/ephemeral.ts';
import { clientAuthority, type ClientAuthority, type Pair } from '../support/client-certificates.ts';
import { fixture } from '../support/reviews.ts';
import { type Reply, startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

const BODY = JSON.stringify(fixture('plain'));

const NONE = 'no client certificate was presented, and tls.clientCaFile asks for one';
const UNTRUSTED = 'no CA of tls.clientCaFile signed the client certificate for this use';
const EXPIRED = 'the client certificate has expired';
const NAME = 'the client certificate has none of the names in tls.clientNames';

let folder: string;
let ours: ClientAuthority;
let other: ClientAuthority;
let webhook: WebhookProcess;

beforeAll(async () => {
  [ours, other] = await Promise.all([clientAuthority(), clientAuthority()]);
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-callers-'));
});

afterEach(async () => {
  await webhook?.stop();
  rmSync(folder, { recursive: true });
});

/** Writes the bundle as a whole, as a mounted volume changes. */
function writeBundle(...authorities: readonly string[]): void {
  writeFileSync(join(folder, 'next'), authorities.join(''));
  renameSync(join(folder, 'next'), join(folder, 'ca.crt'));
}

async function start(bundle: readonly string[] = [ours.cert], settings: Record<string, string> = {}): Promise<void> {
  writeBundle(...bundle);
  const tls = { TLS_CLIENT_CA_FILE: join(folder, 'ca.crt'), ...settings };
  webhook = await startWebhook({ settings: tls, flags: ['--offline'] });
}

const call = async (client?: Pair, agent?: Agent): Promise<Reply> =>
  await webhook.post(BODY, { ...(client && { client }), ...(agent && { agent }) });

const refused = (text: string): object => ({
  status: 403,
  body: `${text} (docs/security.md, "Who may call")`,
  headers: expect.objectContaining({ 'content-type': 'text/plain; charset=utf-8', connection: 'close' }) as object,
});

const accepted = { status: 200, body: expect.stringContaining('"allowed":true') as string };

const servingPair = (): Promise<EphemeralPair> =>
  ephemeralPair({ names: [{ type: 'ip', value: '127.0.0.1' }], now: Date.now(), days: 30 });

const metrics = async (): Promise<string> => await (await fetch(`${webhook.probes}/metrics`)).text();

describe('with tls.clientCaFile', () => {
  it('a caller with a certificate of that CA is answered; any other is refused, told why, logged and counted', async () => {
    await start();
    expect(await call(await ours.sign())).toMatchObject(accepted);
    expect(await call()).toMatchObject(refused(NONE));
    expect(await call(await other.sign())).toMatchObject(refused(UNTRUSTED));
    expect(await call(await ours.sign({ forServers: true }))).toMatchObject(refused(UNTRUSTED));
    expect(await call(await ours.sign({ lifetimeMs: -1000 }))).toMatchObject(refused(EXPIRED));
    const lines = (): object[] => webhook.lines.filter(({ msg }) => msg.startsWith('caller refused'));
    // A sentence is logged once in a while.
    await expect.poll(lines).toHaveLength(3);
    expect(lines()).toMatchObject([
      { level: 'warn', msg: `caller refused: ${NONE}`, status: 403, from: '127.0.0.1' },
      { msg: `caller refused: ${UNTRUSTED}` },
      { msg: `caller refused: ${EXPIRED}` },
    ]);
    const text = await metrics();
    expect(text).toContain('libc_dns_refused_callers_total{reason="none"} 1');
    expect(text).toContain('libc_dns_refused_callers_total{reason="untrusted"} 2');
    expect(text).toContain('libc_dns_bad_requests_total{status="403"} 4');
    expect(text).toMatch(/libc_dns_client_ca_expiry_timestamp_seconds 1\d{9}/);
  });

  it('every path is refused, and a body is not waited for', async () => {
    await start();
    const options = { headers: { 'content-length': '7000000' }, path: '/elsewhere' };
    expect(await webhook.post('{', options)).toMatchObject(refused(NONE));
  });

  it('tls.clientNames: the common name or a DNS name has to be one of them, to the letter', async () => {
    await start([ours.cert], { TLS_CLIENT_NAMES: 'kube-apiserver,api.svc.example,*.svc.test' });
    expect(await call(await ours.sign())).toMatchObject(accepted);
    expect(await call(await ours.sign({ subject: 'CN=x', dns: ['kube-apiserver'] }))).toMatchObject(accepted);
    for (const subject of [
      'CN=system:node:a',
      'CN=kube-apiserver.evil',
      'O=kube-apiserver',
      'CN=a+CN=kube-apiserver',
    ]) {
      expect({ subject, ...(await call(await ours.sign({ subject }))) }).toMatchObject({ subject, ...refused(NAME) });
    }
    for (const dns of ['*.svc.example', '*', 'a.svc.test']) {
      expect(await call(await ours.sign({ subject: 'CN=x', dns: [dns] }))).toMatchObject(refused(NAME));
    }
  });

  it('a bundle of several CAs; what is below one of them counts with the intermediates that the caller sends', async () => {
    const below = await other.intermediate('CN=below');
    await start([ours.cert, other.cert]);
    expect(await call(await ours.sign())).toMatchObject(accepted);
    expect(await call(await other.sign())).toMatchObject(accepted);
    const leaf = await below.sign();
    expect(await call(leaf)).toMatchObject(refused(UNTRUSTED));
    expect(await call({ ...leaf, cert: leaf.cert + below.cert })).toMatchObject(accepted);
    writeBundle(other.cert, below.cert);
    await expect.poll(async () => (await call(leaf)).status, { timeout: 15_000 }).toBe(200);
  });

  it('a rotation loses no call: old, both, new. A connection of the CA that is gone is refused, too', async () => {
    await start();
    const [before, after] = await Promise.all([ours.sign(), other.sign()]);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await call(before, agent)).toMatchObject(accepted);
    expect(await call(after)).toMatchObject(refused(UNTRUSTED));

    writeBundle(ours.cert, other.cert);
    await expect.poll(async () => (await call(after)).status, { timeout: 15_000 }).toBe(200);
    expect(await call(before, agent)).toMatchObject(accepted);
    expect(await call(before)).toMatchObject(accepted);

    writeBundle(other.cert);
    await expect.poll(async () => (await call(before)).status, { timeout: 15_000 }).toBe(403);
    expect(await call(before, agent)).toMatchObject(refused(UNTRUSTED));
    expect(await call(after)).toMatchObject(accepted);
    agent.destroy();
  });

  it('a CA of the same name takes over: what the old one signed is refused, whatever is sent along', async () => {
    const [before, after] = await Promise.all([clientAuthority('CN=same'), clientAuthority('CN=same')]);
    await start([before.cert]);
    const leaf = await before.sign();
    const client = { ...leaf, cert: leaf.cert + after.cert };
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await call(client, agent)).toMatchObject(accepted);
    writeBundle(after.cert);
    await expect.poll(async () => (await call(leaf)).status, { timeout: 15_000 }).toBe(403);
    expect(await call(client, agent)).toMatchObject(refused(UNTRUSTED));
    agent.destroy();
  });

  it('a connection that was made before its CA was taken out, and is used first after it', async () => {
    await start();
    const client = await ours.sign();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    // The answer to a path that does not exist is an answer: the caller is known.
    expect((await webhook.post('{}', { client, agent, path: '/x' })).status).toBe(404);
    writeBundle(other.cert);
    await expect.poll(async () => (await call(client)).status, { timeout: 15_000 }).toBe(403);
    expect(await call(client, agent)).toMatchObject(refused(UNTRUSTED));
    agent.destroy();
  });

  it('a certificate that expires while its connection is open', async () => {
    await start();
    const client = await ours.sign({ lifetimeMs: 2500 });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await call(client, agent)).toMatchObject(accepted);
    await expect
      .poll(async () => await call(client, agent), { timeout: 10_000, interval: 300 })
      .toMatchObject(refused(EXPIRED));
    agent.destroy();
  });

  it.each([
    ['cut short', 'no PEM certificate in it', () => ours.cert.slice(0, 200)],
    ['empty', 'no PEM certificate in it', () => ''],
    [
      'broken in its second part',
      'certificate 2 cannot be read',
      () => ours.cert + ours.cert.replace('\nMII', '\nAAA'),
    ],
    ['not of a CA', "certificate 1 is not a CA's", async () => (await ours.sign()).cert],
    ['no root', 'certificate 1 is not self-signed', async () => (await other.intermediate('CN=below')).cert],
  ])('a new bundle that is %s is not taken: the old one stays, logged and counted', async (_what, says, write) => {
    await start();
    writeBundle(await write());
    const errors = (): string => JSON.stringify(webhook.lines.filter(({ level }) => level === 'error'));
    await expect.poll(errors, { timeout: 15_000 }).toContain(says);
    expect(await call(await ours.sign())).toMatchObject(accepted);
    expect(await metrics()).toContain('libc_dns_certificate_reload_failures_total 1');
  });

  it('the certificates that docs/security.md makes are accepted, in files that an API server takes', async () => {
    const page = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8');
    const commands = /```sh\n([^`]*callers-ca\.key[^`]*)```/.exec(page)?.[1] ?? '';
    execFileSync('sh', ['-ec', commands], { cwd: folder, stdio: 'pipe' });
    const file = (name: string): string => readFileSync(join(folder, name), 'utf8');
    await start([file('callers-ca.crt')], { TLS_CLIENT_NAMES: 'kube-apiserver' });
    expect(await call({ cert: file('client.crt'), key: file('client.key') })).toMatchObject(accepted);
  });

  it('tls.mode files: a new serving certificate leaves it as it is', async () => {
    const [first, second] = await Promise.all([servingPair(), servingPair()]);
    const writePair = ({ cert, key }: EphemeralPair): void => {
      writeFileSync(join(folder, 'tls.key'), key);
      writeFileSync(join(folder, 'tls.crt'), cert);
    };
    writePair(first);
    const files = { TLS_CERT_FILE: join(folder, 'tls.crt'), TLS_KEY_FILE: join(folder, 'tls.key') };
    await start([ours.cert], { TLS_MODE: 'files', ...files });
    const client = await ours.sign();
    expect(await webhook.post(BODY, { client, ca: first.ca })).toMatchObject(accepted);
    writePair(second);
    const posted = (): Promise<unknown> => webhook.post(BODY, { client, ca: second.ca }).catch(() => undefined);
    await expect.poll(posted, { timeout: 15_000 }).toMatchObject(accepted);
    expect(await webhook.post(BODY, { ca: second.ca })).toMatchObject(refused(NONE));
    expect(await webhook.post(BODY, { client: await other.sign(), ca: second.ca })).toMatchObject(refused(UNTRUSTED));
  });

  it('no such file at the start: the process ends and names it', async () => {
    const settings = { TLS_CLIENT_CA_FILE: join(folder, 'ca.crt') };
    await expect(startWebhook({ settings, flags: ['--offline'] })).rejects.toThrow(
      /serve ended with 1: .*ca\.crt: cannot be read: ENOENT/,
    );
  });

  it('names without a CA are refused as a configuration', async () => {
    await expect(startWebhook({ settings: { TLS_CLIENT_NAMES: 'a' }, flags: ['--offline'] })).rejects.toThrow(
      /tls\.clientNames: expected none without tls\.clientCaFile/,
    );
  });
});

describe('without tls.clientCaFile', () => {
  it('anybody is answered, with or without a certificate', async () => {
    webhook = await startWebhook({ flags: ['--offline'] });
    expect(await call()).toMatchObject(accepted);
    expect(await call(await ours.sign())).toMatchObject(accepted);
    expect(await metrics()).not.toContain('libc_dns_client_ca_expiry_timestamp_seconds');
  });
});
