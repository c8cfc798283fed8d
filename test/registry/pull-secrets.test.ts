import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openPullSecrets } from '../../src/app/cluster.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Credential } from '../../src/detection/image-source.ts';
import { podVerdicts } from '../../src/detection/pod/pod-verdicts.ts';
import { inspectImage } from '../../src/inspection/inspect.ts';
import { readPod } from '../../src/policy/read-pod.ts';
import { combineCredentials, listedCredentials } from '../../src/registry/auth/credentials.ts';
import { silentReporter } from '../../src/telemetry/reporter.ts';
import { hasDebianRegistry, startDebianRegistry } from '../support/debian-registry.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { localDetector } from '../support/local-detector.ts';
import { testClient } from '../support/registry-harness.ts';
import { type Recording, recordingReporter } from '../support/recording-reporter.ts';
import { type RegistryServer, startRegistry } from '../support/registry-server.ts';
import { dockerConfigSecret, type SecretsApi, startSecretsApi } from '../support/secrets-api.ts';
import { startTokenServer } from '../support/token-server.ts';

if (!hasDebianRegistry) {
  console.warn('\n*** docker-registry is not installed: its tests are SKIPPED. apt-get install docker-registry ***\n');
}

const app = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
const built = image({
  layers: [layer([{ path: 'bin/app', mode: 0o755, content: app }])],
  config: { entrypoint: ['/bin/app'] },
});
const alice: Credential = { username: 'alice', password: 'correct horse' };
const closing: (() => Promise<void>)[] = [];
let api: SecretsApi;
let recording: Recording;

beforeEach(async () => {
  api = await startSecretsApi();
  recording = recordingReporter();
});
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
  await api.close();
});

const secret = (namespace: string, name: string, host: string, credential: Credential) =>
  api.objects.set(`${namespace}/secrets/${name}`, dockerConfigSecret({ auths: { [host]: credential } }));
const basic = ({ username, password }: Credential) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
const sent = ({ requests }: RegistryServer, repository = '') =>
  requests.filter(({ path }) => path.includes(repository)).map(({ headers }) => headers.authorization ?? '-');

/** The webhook's way from a Pod to verdicts, with the registries spoken to over plain HTTP. */
function webhook(insecure: string[], { configured = [], identities = [] }: Record<string, Credential[]> = {}) {
  const config = configSchema.parse({ detection: { registry: { pullSecrets: true } } });
  const pullSecrets = openPullSecrets(config, api.client, recording.reporter)!;
  const listed = (credentials: Credential[]) =>
    listedCredentials(credentials.map((credential) => ({ host: insecure[0]!, credential })));
  const client = testClient({ insecure, credentials: combineCredentials([listed(configured), listed(identities)]) });
  const detector = localDetector({
    sources: client,
    inspect: inspectImage,
    entries: 100,
    tagTtlMs: 60_000,
    failureTtlMs: 60_000,
    clock: { now: () => Date.now() },
  });
  closing.push(
    async () => pullSecrets.close(),
    async () => await detector.close(),
    client.close,
  );
  const platform = { os: 'linux', architecture: 'amd64' };
  return async (namespace: string, images: string[], imagePullSecrets: string[] = []) => {
    const containers = images.map((reference, index) => ({ name: `c${index}`, image: reference }));
    const spec = { containers, imagePullSecrets: imagePullSecrets.map((name) => ({ name })) };
    const options = { platform, detector, credentials: pullSecrets.loginsOf };
    return (await podVerdicts(readPod({ spec }), { namespace, budgetMs: 10_000 }, options)).map(
      ({ resolver }) => resolver,
    );
  };
}

describe.skipIf(!hasDebianRegistry)("with Debian's docker-registry (skipped where it is not installed)", () => {
  it.each([
    ['the Pod names', ['expired', 'regcred']],
    ['its service account names', []],
  ])('a private image is read with what %s, the right one after a wrong one', async (_, names) => {
    // bcrypt of "correct horse".
    const htpasswd = 'alice:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n';
    const registry = await startDebianRegistry({ images: { 'team/app:v1': built }, htpasswd });
    closing.push(registry.close);
    secret('shop', 'expired', `${registry.host}/team`, { ...alice, password: 'of last year' });
    secret('shop', 'regcred', registry.host, alice);
    const imagePullSecrets = [{ name: 'expired' }, { name: 'regcred' }];
    api.objects.set('shop/serviceaccounts/default', { imagePullSecrets });
    const verdicts = webhook([registry.host]);
    expect(await verdicts('other', [`${registry.host}/team/app:v1`], names)).toEqual(['unknown']);
    expect(await verdicts('shop', [`${registry.host}/team/app:v1`], names)).toEqual(['musl']);
  });
});

describe('the order in which a registry sees logins', () => {
  it("is: the Pod's, the most specific first, the configured ones, our own identity's, and none", async () => {
    const registry = await startRegistry({ auth: { kind: 'basic', username: 'nobody', password: 'has this' } });
    closing.push(registry.close);
    const users = ['general', 'specific', 'last', 'configured', 'identity'];
    const [general, specific, last, configured, identity] = users.map((username) => ({ username, password: 'x' }));
    secret('shop', 'general', registry.host, general!);
    secret('shop', 'specific', `${registry.host}/team`, specific!);
    secret('shop', 'last', `http://${registry.host}/v2/`, last!);
    const verdicts = webhook([registry.host], { configured: [configured!], identities: [identity!] });
    const reference = registry.put('team/app:v1', built);
    expect(await verdicts('shop', [reference], ['general', 'specific', 'last'])).toEqual(['unknown']);
    const tried = sent(registry).slice(1);
    expect(tried).toEqual([...[specific, general, last, configured, identity].map((one) => basic(one!)), '-']);
  });
});

describe('a login', () => {
  it('is not sent to a host that it is not for', async () => {
    const registry = await startRegistry({ auth: { kind: 'basic', ...alice } });
    closing.push(registry.close);
    for (const host of ['registry.example', '*.0.0.1', '127.0.0.1', `${registry.host}1`, `${registry.host}/other`]) {
      secret('shop', `s${api.objects.size}`, host, alice);
    }
    const verdicts = webhook([registry.host]);
    const reference = registry.put('team/app:v1', built);
    expect(await verdicts('shop', [reference], ['s0', 's1', 's2', 's3', 's4'])).toEqual(['unknown']);
    expect(new Set(sent(registry))).toEqual(new Set(['-']));
  });

  it("of one namespace serves no other's look-up, whoever comes first, and whatever they name", async () => {
    const tokens = await startTokenServer({ users: { alice: 'correct horse' } });
    const { realm, service } = tokens;
    const verify = (token: string, scope: string) => tokens.verify(token, scope);
    const registry = await startRegistry({ auth: { kind: 'bearer', realm, service, verify } });
    closing.push(registry.close, tokens.close);
    secret('shop', 'regcred', registry.host, alice);
    const verdicts = webhook([registry.host, tokens.host]);
    const references = ['a', 'b', 'c'].map((name) => registry.put(`team/${name}:v1`, built));
    const [a, b, c] = references as [string, string, string];
    const all = await Promise.all([
      verdicts('other', [a], ['regcred']),
      verdicts('shop', [a], ['regcred']),
      verdicts('other', [a], ['../../shop/secrets/regcred']),
    ]);
    expect(all).toEqual([['unknown'], ['musl'], ['unknown']]);
    // The same login's token is at hand now, and its failures are not.
    expect(await verdicts('shop', [b], ['regcred'])).toEqual(['musl']);
    expect(await verdicts('other', [c], ['regcred'])).toEqual(['unknown']);
    expect(await verdicts('shop', [c], ['regcred'])).toEqual(['musl']);
    const logins = tokens.asked.filter(({ parameters }) => parameters.get('scope') === 'repository:team/c:pull');
    expect(logins.map(({ authorization }) => authorization)).toEqual([undefined, basic(alice)]);
    expect(api.requests.filter((path) => path.includes('/other/'))).toEqual([
      'GET /api/v1/namespaces/other/secrets/regcred',
      'GET /api/v1/namespaces/other/serviceaccounts/default',
    ]);
  });

  it('that is broken does not keep a public image from being read; it is said in one line', async () => {
    const registry = await startRegistry();
    closing.push(registry.close);
    secret('shop', 'wrong', registry.host, { username: 'mallory', password: 's3cr3t' });
    api.objects.set('shop/secrets/garbage', dockerConfigSecret('s3cr3t'));
    api.objects.set('shop/secrets/forbidden', { status: 403, message: 'User "webhook" cannot get resource "secrets"' });
    const verdicts = webhook([registry.host]);
    const reference = registry.put('team/app:v1', built);
    expect(await verdicts('shop', [reference], ['wrong', 'garbage', 'forbidden', 'missing'])).toEqual(['musl']);
    expect(recording.messages().toSorted()).toEqual([
      expect.stringMatching(/^Secret shop\/forbidden: it may not be read: grant get on it/),
      expect.stringMatching(/^Secret shop\/garbage: it is not what was expected/),
      expect.stringMatching(/^Secret shop\/missing: it is not there/),
    ]);
    const codes = recording.of('cluster.pullSecretFailed').map(([code]) => String(code));
    expect(codes.toSorted()).toEqual(['forbidden', 'invalid', 'not-found']);
    expect(JSON.stringify(recording.lines)).not.toContain('s3cr3t');
  });
});

describe('Secrets', () => {
  it.each([
    ['pullSecrets is not set', {}],
    ['registries are not asked', { enabled: false, pullSecrets: true }],
  ])('are not read where %s', (_, registry) => {
    const config = configSchema.parse({ detection: { registry } });
    expect(openPullSecrets(config, api.client, silentReporter)).toBeUndefined();
  });
});
