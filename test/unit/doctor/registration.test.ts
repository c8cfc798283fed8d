import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { policyConfig } from '../../../src/config/policy-config.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { webhookConfiguration } from '../../../src/doctor/view/objects.ts';
import type { ClusterView, LabelSelector, WebhookConfiguration, WebhookEntry } from '../../../src/doctor/view/view.ts';
import {
  judgeRegistration,
  type RegistrationEvidence,
  ourConfigurations,
} from '../../../src/doctor/webhook/registration.ts';
import { concernsPods, judgeScope, selects } from '../../../src/doctor/webhook/scope.ts';
import { createEvidence, type DoctorParts } from '../../../src/doctor/evidence.ts';
import { webhookChecks } from '../../../src/doctor/webhook/checks.ts';

const manifest = (name: string): WebhookConfiguration =>
  webhookConfiguration.parse(
    parse(readFileSync(new URL(`../../../certs/manifests/${name}.yaml`, import.meta.url), 'utf8')),
  );
const OPT_IN = manifest('registration-opt-in');
const CLUSTER = manifest('registration-cluster');

const selector = (key: string, operator: string, ...values: string[]): LabelSelector => ({
  matchLabels: {},
  matchExpressions: [{ key, operator, values }],
});

describe('selectors', () => {
  it.each<[LabelSelector, Record<string, string>, boolean]>([
    [{ matchLabels: {}, matchExpressions: [] }, {}, true],
    [{ matchLabels: { a: '1' }, matchExpressions: [] }, { a: '1' }, true],
    [{ matchLabels: { a: '1' }, matchExpressions: [] }, { a: '2' }, false],
    [selector('a', 'In', '1', '2'), { a: '2' }, true],
    [selector('a', 'In', '1'), {}, false],
    [selector('a', 'NotIn', '1'), {}, true],
    [selector('a', 'NotIn', '1'), { a: '1' }, false],
    [selector('a', 'Exists'), { a: '' }, true],
    [selector('a', 'DoesNotExist'), { a: '' }, false],
    [selector('a', 'NoSuchOperator'), { a: '' }, false],
    [selector('toString', 'Exists'), {}, false],
  ])('%j of %j: %s', (one, labels, expected) => expect(selects(one, labels)).toBe(expected));

  const rule = (apiGroups: string[], operations: string[], resources: string[]) => [
    { apiGroups, operations, resources },
  ];
  it.each([
    [rule([''], ['CREATE'], ['pods']), true],
    [rule(['*'], ['*'], ['*']), true],
    [rule([''], ['*'], ['pods/*']), true],
    [rule(['apps'], ['CREATE'], ['*']), false],
    [rule([''], ['UPDATE'], ['pods']), false],
    [rule([''], ['CREATE'], ['pods/exec', 'services']), false],
    [[], false],
  ])('%j concerns the creation of Pods: %s', (rules, expected) => expect(concernsPods(rules, 'CREATE')).toBe(expected));
});

const service = { type: 'ClusterIP', selector: { app: 'x' }, ports: [443] };
const evidence = (configurations: readonly WebhookConfiguration[], leftovers: string[] = []) => ({
  configurations,
  services: new Map([['libc-dns/libc-dns-webhook', service]]),
  config: configSchema.parse({}),
  own: 'libc-dns',
  leftovers,
  policies: [] as { name: string; bindings: string[] }[],
  podResolvers: undefined,
});
const changed = (change: Partial<WebhookEntry>): WebhookConfiguration => ({
  name: OPT_IN.name,
  entries: OPT_IN.entries.map((entry, index) => (index === 0 ? Object.assign({}, entry, change) : entry)),
});

describe('the registration', () => {
  describe('the policy of the API server', () => {
    const bound = [{ name: 'ours.libc-dns.dev', bindings: ['b'] }];
    const unbound = [{ name: 'ours.libc-dns.dev', bindings: [] }];
    const all = {
      inScope: ['a', 'b'],
      leftOut: new Map([
        ['a', 0],
        ['b', 0],
        ['c', 0],
      ]),
    };
    const FINE = 'no webhook is called: the API server patches Pods by its policy ours.libc-dns.dev';
    const UNBOUND = 'the policy ours.libc-dns.dev has no binding, and so no effect';
    const NO_KIND = 'the API server has no kind PodResolvers: its policy patches no Pod';
    const missing = (names: string): string => `no PodResolvers, so that the policy patches no Pod: ${names}`;

    it.each<[string, Pick<RegistrationEvidence, 'policies' | 'podResolvers'>, string, string]>([
      ['all is there', { policies: bound, podResolvers: all }, 'ok', FINE],
      ['nothing is in scope', { policies: bound, podResolvers: { inScope: [], leftOut: new Map() } }, 'ok', FINE],
      ['its objects may not be read', { policies: bound, podResolvers: undefined }, 'ok', FINE],
      ['its binding is gone', { policies: unbound, podResolvers: all }, 'failure', UNBOUND],
      [
        'there are two releases',
        {
          policies: [
            { name: 'ours.libc-dns.dev', namespace: 'one', bindings: ['b'] },
            { name: 'theirs.libc-dns.dev', namespace: 'two', bindings: ['b'] },
          ],
          podResolvers: all,
        },
        'warning',
        'two releases write the same PodResolvers in turn: ours.libc-dns.dev of one, theirs.libc-dns.dev of two',
      ],
      ['the kind is gone', { policies: bound, podResolvers: 'no kind' }, 'failure', NO_KIND],
      [
        'an object is gone',
        { policies: bound, podResolvers: { ...all, leftOut: new Map([['a', 0]]) } },
        'warning',
        missing('b'),
      ],
      [
        'an object has no room for some images',
        {
          policies: bound,
          podResolvers: {
            ...all,
            leftOut: new Map([
              ['a', 7],
              ['b', 0],
            ]),
          },
        },
        'warning',
        'PodResolvers have no room for all images; those that are left out count as unknown: a (7)',
      ],
      [
        'all objects are gone',
        { policies: bound, podResolvers: { ...all, leftOut: new Map() } },
        'failure',
        missing('a, b'),
      ],
    ])('in place of the registration, %s', (_, seen, status, text) => {
      const outcome = judgeRegistration({ ...evidence([], ['libc-dns/webhook']), ...seen });
      expect(outcome).toMatchObject({ status, seen: text });
    });

    const NOT_FOUND = Object.assign(new Error('no such kind'), { code: 'not-found' });
    const FORBIDDEN = Object.assign(new Error('may not'), { code: 'forbidden' });

    it.each<[string, Partial<ClusterView>, string, string]>([
      ['its objects', { podResolvers: async () => new Map([['shop', 0]]) }, 'ok', FINE],
      ['not all of them', { podResolvers: async () => new Map() }, 'failure', missing('shop')],
      ['no kind', { podResolvers: () => Promise.reject(NOT_FOUND) }, 'failure', NO_KIND],
      ['that they may not be read', { podResolvers: () => Promise.reject(FORBIDDEN) }, 'ok', FINE],
    ])('the check reads %s', async (_, change, status, seen) => {
      const rehearsed: string[] = [];
      const view: Partial<ClusterView> = {
        version: async () => 'v1',
        webhookConfigurations: async () => [],
        mutatingPolicies: async () => bound.map((one) => Object.assign({ rules: [], mutations: [] }, one)),
        namespaces: async () =>
          new Map([
            ['shop', { 'libc-dns.dev/mode': 'enforce' }],
            ['other', {}],
          ]),
        allPods: async () => [],
        rehearse: async (namespace) => {
          rehearsed.push(namespace);
          return { annotations: { 'libc-dns.dev/decision': '{}' } };
        },
        ...change,
      };
      const config = configSchema.parse({});
      const parts = { view, inside: false, config, configGiven: 'x', given: {}, namespace: 'shop' };
      const checks = webhookChecks(createEvidence(parts as unknown as DoctorParts));
      const run = async (name: string) => await checks.find(({ id }) => id === name)?.run(new AbortController().signal);
      expect(await run('registration')).toMatchObject({ status, seen });
      expect(await run('rehearsal')).toMatchObject({ status: 'ok' });
      expect(rehearsed).toEqual(['shop']);
    });

    it('beside the registration: a warning where it has no effect', () => {
      const outcome = judgeRegistration({ ...evidence([OPT_IN]), policies: unbound, podResolvers: 'no kind' });
      expect(outcome).toMatchObject({ status: 'warning', seen: UNBOUND, details: [NO_KIND] });
    });
  });

  it.each([
    ['opt-in', OPT_IN],
    ['cluster', CLUSTER],
  ])('of our own manifests is right: %s', (_, configuration) => {
    expect(judgeRegistration(evidence([configuration]))).toMatchObject({
      status: 'ok',
      seen: 'libc-dns-webhook: 2 entries, called for the creation of Pods, failurePolicy Ignore',
      details: [],
    });
  });

  it.each<[string, WebhookConfiguration[], string[], string, RegExp]>([
    ['nothing at all', [], [], 'warning', /^not installed/],
    ['replicas and no registration', [], ['libc-dns/a'], 'failure', /^not registered, though libc-dns\/a runs/],
    ['no entries', [{ name: 'libc-dns-webhook', entries: [] }], [], 'failure', /nobody is called/],
    ['v1beta1', [changed({ reviewVersions: ['v1beta1'] })], [], 'failure', /AdmissionReview v1/],
    [
      'kube-system with Fail',
      [changed({ namespaceSelector: { matchLabels: {}, matchExpressions: [] }, failurePolicy: 'Fail' })],
      [],
      'failure',
      /kube-system, kube-public, kube-node-lease, libc-dns/,
    ],
    [
      'more than Pods',
      [changed({ rules: [{ apiGroups: [''], operations: ['CREATE'], resources: ['pods', 'services'] }] })],
      [],
      'warning',
      /more than Pods/,
    ],
    ['a URL', [changed({ service: undefined as never, url: 'https://10.0.0.1/mutate' })], [], 'ok', /2 entries/],
  ])('%s', (_, configurations, leftovers, status, seen) => {
    const outcome = judgeRegistration(evidence(configurations, leftovers));
    expect(outcome.status).toBe(status);
    expect(outcome.seen).toMatch(seen);
  });

  it('puts the worst first, and every remark with its advice', () => {
    const outcome = judgeRegistration(
      evidence([changed({ failurePolicy: 'Fail', reviewVersions: [], timeoutSeconds: 1 })]),
    );
    expect(outcome).toMatchObject({ status: 'failure', seen: expect.stringContaining('AdmissionReview v1') as string });
    expect(outcome.details).toHaveLength(2);
    expect(outcome.advice).toHaveLength(3);
  });

  it('is found by its entries, or by the configured name', () => {
    const other: WebhookConfiguration = { name: 'other', entries: [changed({ name: 'istio.io' }).entries[0]!] };
    const renamed = { ...OPT_IN, name: 'renamed' };
    expect(ourConfigurations([other, renamed], 'libc-dns-webhook')).toEqual([renamed]);
    expect(ourConfigurations([other], 'other')).toEqual([other]);
    expect(ourConfigurations([changed({ name: 'evil-libc-dns.dev' })], 'x').length).toBe(1);
  });
});

describe('the scope', () => {
  const namespaces = new Map([
    ['kube-system', { 'libc-dns.dev/mode': 'enforce' }],
    ['shop', { 'libc-dns.dev/mode': 'enforce' }],
    ['lab', { 'libc-dns.dev/mode': 'audit' }],
    ['old', { 'libc-dns.dev/mode': 'off' }],
    ['plain', {}],
    ['libc-dns', {}],
  ]);
  const judge = (
    scope: 'opt-in' | 'cluster',
    entries: readonly WebhookEntry[],
    of: ReadonlyMap<string, Record<string, string>> = namespaces,
  ) => judgeScope({ entries, config: policyConfig(configSchema.parse({ scope })), namespaces: of, own: 'libc-dns' });

  it.each([
    ['opt-in', OPT_IN, 'scope opt-in: 2 of 6 namespaces in scope (lab, shop)'],
    ['cluster', CLUSTER, 'scope cluster: 3 of 6 namespaces in scope (lab, plain, shop)'],
  ] as const)('%s: our manifests mean what the configuration means', (scope, { entries }, seen) => {
    expect(judge(scope, entries)).toMatchObject({ status: 'ok', seen });
  });

  it('says how to begin where nothing is in scope', () => {
    const outcome = judge('opt-in', OPT_IN.entries, new Map([['plain', {}]]));
    expect(outcome).toMatchObject({ status: 'ok', seen: 'scope opt-in: no namespace in scope' });
    expect(outcome.advice[0]?.command).toBe('kubectl label namespace NAMESPACE libc-dns.dev/mode=audit');
  });

  it.each<[string, 'opt-in' | 'cluster', readonly WebhookEntry[], string, RegExp]>([
    [
      'registered for less',
      'cluster',
      OPT_IN.entries,
      'failure',
      /does not call for: namespace no label \/ Pod no label/,
    ],
    [
      'registered for more',
      'opt-in',
      CLUSTER.entries,
      'warning',
      /the configuration leaves alone: namespace no label \/ Pod no label/,
    ],
    ['one entry alone', 'opt-in', OPT_IN.entries.slice(0, 1), 'failure', /namespace no label \/ Pod enforce/],
    ['one entry twice', 'opt-in', [...OPT_IN.entries, ...OPT_IN.entries], 'warning', /calls twice/],
  ])('%s', (_, scope, entries, status, seen) => {
    const outcome = judge(scope, entries);
    expect(outcome.status).toBe(status);
    expect(outcome.seen).toMatch(seen);
  });
});
