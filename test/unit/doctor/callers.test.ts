import { beforeAll, describe, expect, it } from 'vitest';

import { configSchema } from '../../../src/config/schema.ts';
import { webhookChecks } from '../../../src/doctor/webhook/checks.ts';
import { createEvidence, type DoctorParts } from '../../../src/doctor/evidence.ts';
import { type CallersEvidence, judgeCallers } from '../../../src/doctor/webhook/callers.ts';
import type { ClusterView } from '../../../src/doctor/view/view.ts';
import { clientAuthority } from '../../support/client-certificates.ts';

const HOUR = 3_600_000;
const OURS = 'pods.libc-dns.dev';
const CA_FILE = '/run/libc-dns/client-ca/ca.crt';

/** Valid for an hour, and for a year of these tests' clock. */
let clientCa: string;
let now: number;
beforeAll(async () => {
  clientCa = (await clientAuthority()).cert;
  now = Date.now() - 365 * 24 * HOUR;
});

const decided = (count: number): string => `libc_dns_decisions_total{mode="enforce",remedy="none",reason="x"} ${count}`;
const refused = (reason: string, count: number): string =>
  `libc_dns_refused_callers_total{reason="${reason}"} ${count}`;
const answered = (code: string, count: number, name = OURS): string =>
  `apiserver_admission_webhook_request_total{code="${code}",name="${name}",operation="CREATE",rejected="false",type="admit"} ${count}`;

const verified = (change: Partial<CallersEvidence> = {}): CallersEvidence => ({
  config: configSchema.parse({ tls: { clientCaFile: CA_FILE, clientNames: ['kube-apiserver'] } }),
  clientCa,
  replicas: [decided(5), refused('none', 0)],
  apiServer: [answered('200', 5)],
  names: [OURS],
  now,
  ...change,
});

describe('who may call', () => {
  it.each<[string, () => Partial<CallersEvidence>, string, RegExp]>([
    ['all is well', () => ({}), 'ok', /^a client certificate is asked for: 5 Pods decided about .* no call refused$/],
    [
      'no replica accepts anybody',
      () => ({ replicas: [decided(0), refused('none', 3), refused('untrusted', 1)], apiServer: [] }),
      'failure',
      /^all calls are refused \(none 3, untrusted 1\)/,
    ],
    [
      'some are refused',
      () => ({ replicas: [decided(5), refused('none', 2), refused('none', 1)] }),
      'warning',
      /^3 calls refused \(none 3\): an API server without the certificate, or somebody else$/,
    ],
    [
      'the API server is refused',
      () => ({ apiServer: [answered('403', 2)], replicas: [] }),
      'failure',
      /^2 calls of the API server refused/,
    ],
    [
      'it was refused before',
      () => ({ apiServer: [answered('403', 2)] }),
      'warning',
      /^2 calls of the API server refused/,
    ],
    [
      'another webhook refused it',
      () => ({ apiServer: [answered('403', 2, 'other.example')] }),
      'ok',
      /no call refused$/,
    ],
    [
      'no counts were read',
      () => ({ replicas: undefined as never, apiServer: undefined as never }),
      'ok',
      /replicas were not asked/,
    ],
    ['the CA has expired', () => ({ now: now + 366 * 24 * HOUR }), 'failure', /^the CA of client certificates expired/],
    ['the CA expires soon', () => ({ now: now + 340 * 24 * HOUR }), 'warning', /is valid for 25 more days/],
    ['the CA cannot be read', () => ({ clientCa: 'nothing' }), 'failure', /holds no readable certificate/],
  ])('%s', (_, change, status, seen) => {
    expect(judgeCallers(verified(change()))).toMatchObject({ status, seen: expect.stringMatching(seen) as string });
  });

  it.each<[string, object, string, RegExp]>([
    ['nothing is at stake', {}, 'ok', /^anyone who reaches the port may call \(tls\.clientCaFile is not set\)$/],
    [
      'pull secrets are for warm-up',
      { pullSecrets: true },
      'warning',
      /pull secrets are used only for workloads that warm-up sees/,
    ],
    [
      'pull secrets are for anyone',
      { pullSecrets: 'unverified' },
      'warning',
      /have the pull secrets of any namespace used/,
    ],
    [
      'no registry is asked',
      { pullSecrets: 'unverified', enabled: false },
      'ok',
      /^anyone who reaches the port may call/,
    ],
  ])('without a CA: %s', (_, registry, status, seen) => {
    const config = configSchema.parse({ detection: { registry } });
    expect(judgeCallers({ ...verified(), config })).toMatchObject({
      status,
      seen: expect.stringMatching(seen) as string,
      data: { clientCa: false },
    });
  });

  it('without a CA and without warm-up pull secrets are for nothing', () => {
    const config = configSchema.parse({ detection: { registry: { pullSecrets: true } }, warmUp: { enabled: false } });
    expect(judgeCallers({ ...verified(), config }).seen).toContain('pull secrets are used for nothing');
  });
});

describe('what the check reads', () => {
  const service = { namespace: 'libc-dns', name: 'webhook', port: 443 };
  const entry = {
    name: OURS,
    service,
    caBundle: '',
    rules: [],
    failurePolicy: 'Ignore',
    reinvocationPolicy: 'IfNeeded',
    timeoutSeconds: 5,
    reviewVersions: ['v1'],
    namespaceSelector: { matchLabels: {}, matchExpressions: [] },
    objectSelector: { matchLabels: {}, matchExpressions: [] },
  };

  const check = async (kind: 'configMap' | 'secret', change: Partial<ClusterView> = {}) => {
    const asked: string[] = [];
    const config = configSchema.parse({ tls: { clientCaFile: CA_FILE } });
    const view: Partial<ClusterView> = {
      version: async () => 'v1',
      webhookConfigurations: async () => [{ name: 'libc-dns-webhook', entries: [entry] }],
      service: async () => ({ type: 'ClusterIP', selector: { app: 'webhook' }, ports: [443] }),
      deployments: async () => [
        {
          name: 'webhook',
          podLabels: { app: 'webhook' },
          desired: 1,
          ready: 1,
          updated: 1,
          serviceAccount: 'webhook',
          words: [],
          environment: {},
          mounts: [{ path: '/run/libc-dns/client-ca', kind, name: 'callers' }],
        },
      ],
      podsWith: async () =>
        [
          { name: 'a', ready: true },
          { name: 'b', ready: false },
        ] as never,
      podMetrics: async ({ namespace, name, port }) => {
        asked.push(`${namespace}/${name}:${port}`);
        return [decided(1), refused('name', 2)];
      },
      apiServerMetrics: async () => [],
      configMap: async (namespace, name) => ({ 'any-key': clientCa, from: `${namespace}/${name}` }),
      secretCertificates: async () => ({ 'ca.crt': clientCa }),
      ...change,
    };
    const parts = { view, inside: false, config, configGiven: 'x', given: {}, clock: { now: () => now } };
    const checks = webhookChecks(createEvidence(parts as unknown as DoctorParts));
    const outcome = await checks.find(({ id }) => id === 'callers')?.run(new AbortController().signal);
    return { outcome, asked };
  };

  it.each(['configMap', 'secret'] as const)(
    'the CA in the %s that is mounted, and the counts of each ready replica',
    async (kind) => {
      const { outcome, asked } = await check(kind);
      expect(asked).toEqual(['libc-dns/a:9402']);
      expect(outcome).toMatchObject({
        status: 'warning',
        seen: '2 calls refused (name 2): an API server without the certificate, or somebody else',
        data: { answered: 1, refused: 2, expires: expect.any(String) as string },
      });
    },
  );

  it('goes on without what may not be read', async () => {
    const forbidden = async (): Promise<never> => {
      throw new Error('forbidden');
    };
    const { outcome } = await check('configMap', {
      podMetrics: forbidden,
      apiServerMetrics: forbidden,
      configMap: forbidden,
    });
    expect(outcome).toMatchObject({ status: 'ok', data: { answered: null, refused: null, expires: null } });
  });
});
