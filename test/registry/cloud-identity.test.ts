import { randomUUID } from 'node:crypto';
import { inspect } from 'node:util';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Cloud } from '../../src/registry/cloud/hosts.ts';
import { type CloudIdentitiesOptions, createCloudIdentities } from '../../src/registry/cloud/identities.ts';
import { createCertificate } from '../support/certificate.ts';
import {
  type CloudRegistries,
  cloudRegistryNames,
  refreshToken,
  startCloudRegistries,
} from '../support/cloud-registries.ts';
import { type IdentityKind, startClouds } from '../support/clouds.ts';
import { amd64, collect, lookupContext, sampleImage, testClient } from '../support/registry-harness.ts';

const certificate = await createCertificate(['localhost', '127.0.0.1', ...cloudRegistryNames]);
const clouds = await startClouds(certificate);
const registries = await startCloudRegistries(certificate);
if (registries === undefined) {
  console.warn('\n*** port 443 of 127.0.0.1 cannot be listened on: the tests of cloud registries are SKIPPED ***\n');
}
const elastic = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const built = sampleImage(50_000);
const problems: string[] = [];
const closing: (() => Promise<void>)[] = [];
/** The services' clock, which is the machine's, and what a test has turned it on. */
let shift = 0;
const clock = { now: () => Date.now() + shift, monotonic: () => performance.now() + shift };

beforeAll(() => {
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_PROFILE', 'AWS_REGION']) vi.stubEnv(name, undefined);
});
beforeEach(() => {
  shift = 0;
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map(async (close) => await close()));
  vi.unstubAllEnvs();
  clouds.asked.length = 0;
  clouds.refuse = undefined;
  problems.length = 0;
});
afterAll(async () => {
  await Promise.all([clouds.close(), registries?.close()]);
});

const lists = {
  // Written out, so that they may lie on loopback.
  allow: [...cloudRegistryNames],
  deny: [],
  insecure: [],
  allowPrivateAddresses: true,
};

/** Our own identity in a Pod to which a cloud gives one in this way. */
function identities(kind: IdentityKind, options: Partial<CloudIdentitiesOptions> = {}) {
  for (const [name, value] of Object.entries(clouds.environments[kind])) vi.stubEnv(name, value);
  const source = createCloudIdentities({
    ...lists,
    clouds: ['aws', 'google', 'azure'],
    environment: process.env,
    concurrency: 8,
    ca: certificate.cert,
    userAgent: 'libc-dns-test',
    clock,
    resolve: async () => [{ address: '127.0.0.1', family: 4 }],
    onProblem: (message) => problems.push(message),
    ...options,
  });
  closing.push(source.close);
  return source;
}

async function readImage({ registry }: CloudRegistries, kind: IdentityKind, host: string) {
  registry.put('team/app:v1', built);
  const client = testClient({
    ...lists,
    ca: certificate.cert,
    credentials: identities(kind),
    resolve: async () => [{ address: '127.0.0.1', family: 4 }],
  });
  closing.push(client.close);
  const context = lookupContext();
  const source = client.open(`${host}/team/app:v1`);
  const manifest = await source.manifest(amd64, context);
  await source.config(manifest, context);
  await collect(source.read(manifest.layers[0]!, 0, 1000, context));
  return manifest.digest;
}

describe.skipIf(registries === undefined)('a private image is read as', () => {
  it.each<[IdentityKind, string, string[]]>([
    ['IRSA', elastic, ['AWS STS', 'AWS ECR eu-central-1']],
    ['EKS Pod Identity', elastic, ['EKS agent', 'AWS ECR eu-central-1']],
    ["the node's role", elastic, ['IMDS', 'IMDS', 'IMDS', 'AWS ECR eu-central-1']],
    ['the GKE metadata server', 'europe-west3-docker.pkg.dev', ['GCE metadata']],
    ['the GKE metadata server', 'gcr.io', ['GCE metadata']],
    ['workload identity federation', 'gcr.io', ['Google STS']],
    ['AKS workload identity', 'team.azurecr.io', ['Entra discovery', 'Entra']],
    ['a managed identity', 'team.azurecr.io', ['Azure IMDS aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee']],
  ])('%s says, from %s', async (kind, host, asked) => {
    expect(await readImage(registries!, kind, host)).toBe(built.digest);
    expect(clouds.asked).toEqual(asked);
    expect(problems).toEqual([]);
  });
});

describe('a login', () => {
  it('is asked for once by all who need it, and again before it expires', async () => {
    const source = identities('IRSA');
    const found = await Promise.all(Array.from({ length: 50 }, () => source.find(elastic, 'team/app')));
    expect(new Set(found.map((credentials) => credentials[0]?.username))).toEqual(new Set(['AWS']));
    await source.find('210987654321.dkr.ecr.eu-central-1.amazonaws.com', 'another/account');
    expect(clouds.asked).toEqual(['AWS STS', 'AWS ECR eu-central-1']);
    shift += 11 * 3_600_000;
    await source.find(elastic, 'team/app');
    expect(clouds.asked).toHaveLength(2);
    shift += 3_600_000 - 60_000;
    await source.find(elastic, 'team/app');
    expect(clouds.asked).toHaveLength(4);
  });

  it('of one region is not sent to another', async () => {
    const source = identities('IRSA');
    await source.find(elastic, 'team/app');
    await source.find('123456789012.dkr.ecr.us-east-1.amazonaws.com', 'team/app');
    expect(clouds.asked.filter((what) => what.startsWith('AWS ECR'))).toEqual([
      'AWS ECR eu-central-1',
      'AWS ECR us-east-1',
    ]);
  });

  it.each<[string, Cloud[], string]>([
    ['a cloud that is not configured', ['google', 'azure'], elastic],
    ['a host that only looks like one', ['aws'], `${elastic}.evil.example`],
    ['no cloud at all', ['aws', 'google', 'azure'], 'registry.example'],
  ])('is not asked for where the registry is of %s', async (_, configured, host) => {
    expect(await identities('IRSA', { clouds: configured }).find(host, 'team/app')).toEqual([]);
    expect(clouds.asked).toEqual([]);
  });

  it.each<[IdentityKind, string, string]>([
    ['IRSA', elastic, 'aws eu-central-1: '],
    ['EKS Pod Identity', elastic, 'aws eu-central-1: '],
    ['the GKE metadata server', 'gcr.io', 'google: '],
    ['workload identity federation', 'gcr.io', 'google: '],
    ['AKS workload identity', 'team.azurecr.io', 'azure team.azurecr.io: '],
    ['a managed identity', 'team.azurecr.io', 'azure team.azurecr.io: '],
  ])('that is refused to %s is none, said once, without a secret', async (kind, host, message) => {
    const echo = `${'s3cr3t-'.repeat(20)} refused`;
    clouds.refuse = { status: 400, body: { error: 'invalid_grant', error_description: echo, message: echo } };
    const source = identities(kind);
    // The SDK keeps the tokens of managed identities for the whole process.
    vi.stubEnv('AZURE_CLIENT_ID', randomUUID());
    expect(await source.find(host, 'team/app')).toEqual([]);
    const asked = clouds.asked.length;
    expect(asked).toBeGreaterThan(0);
    expect(await source.find(host, 'other/app')).toEqual([]);
    expect(clouds.asked).toHaveLength(asked);
    expect(problems).toEqual([expect.stringContaining(`detection.registry.identities: ${message}`)]);
    expect(inspect(problems)).not.toContain('s3cr3t');
    expect(problems[0]!.length).toBeLessThan(500);
  });
});

describe.skipIf(registries === undefined)('an Azure registry', () => {
  const find = async (options: Partial<CloudIdentitiesOptions> = {}) =>
    await identities('a managed identity', options).find('team.azurecr.io', 'team/app');
  const exchanges = () => registries!.asked.filter(({ url }) => url.pathname === '/oauth2/exchange');

  beforeEach(() => {
    registries!.asked.length = 0;
    registries!.exchange = { body: { refresh_token: refreshToken() } };
  });

  it('is given our Entra token with its own name, and gives a refresh token', async () => {
    vi.stubEnv('AZURE_TENANT_ID', 'contoso');
    const found = await find();
    expect(found).toEqual([{ username: '', password: '', identityToken: expect.stringContaining('s3cr3t.') }]);
    const [asked] = exchanges();
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toEqual({
      grant_type: 'access_token',
      service: 'team.azurecr.io',
      tenant: 'contoso',
      access_token: 's3cr3t-entra-token',
    });
  });

  it('has a refresh token of its own', async () => {
    const source = identities('a managed identity');
    await source.find('team.azurecr.io', 'team/app');
    await source.find('other.azurecr.io', 'team/app');
    expect(exchanges().map(({ url }) => url.hostname)).toEqual(['team.azurecr.io', 'other.azurecr.io']);
  });

  it.each([
    [
      'refuses us',
      { status: 401, body: { errors: [{ code: 'UNAUTHORIZED', message: 's3cr3t' }] } },
      '401 UNAUTHORIZED',
    ],
    ['fails', { status: 500, body: 's3cr3t' }, 'failed (500)'],
    ['gives no token', { body: { access_token: 's3cr3t' } }, 'no refresh token'],
    ['gives a token that no header can hold', { body: { refresh_token: 's3cr3t\r\nx: y' } }, 'no refresh token'],
    ['gives no JSON', { body: '<s3cr3t>' }, 'no refresh token'],
    ['gives more than is read', { body: { refresh_token: 's3cr3t'.repeat(20_000) } }, 'longer than'],
    ['sends us elsewhere', { status: 307, headers: { location: 'https://other.azurecr.io/' } }, 'redirected'],
  ])('that %s gives no login', async (_, reply, message) => {
    registries!.exchange = reply;
    expect(await find()).toEqual([]);
    expect(problems).toEqual([expect.stringContaining(message)]);
    expect(problems.join()).not.toContain('s3cr3t');
    expect(registries!.asked.every(({ url }) => url.hostname === 'team.azurecr.io')).toBe(true);
  });

  it.each([
    ['whose name leads to loopback', { allow: [] }, 'loopback'],
    ['that is denied', { deny: ['*.azurecr.io'] }, 'denied'],
    ['outside of the networks that are allowed', { allow: ['10.0.0.0/8'] }, 'not in the list of allowed'],
  ])('%s is not given our token', async (_, change, message) => {
    expect(await find(change)).toEqual([]);
    expect(registries!.asked).toEqual([]);
    expect(problems).toEqual([expect.stringContaining(message)]);
  });
});
