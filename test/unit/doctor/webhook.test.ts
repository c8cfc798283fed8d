import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';

import type { PodSeen } from '../../../src/cluster/pod-seen.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { deployment } from '../../../src/doctor/view/objects.ts';
import type { DeploymentSeen } from '../../../src/doctor/view/view.ts';
import { judgeFailOpen, readSample } from '../../../src/doctor/webhook/fail-open.ts';
import {
  certificateSecretOf,
  chooses,
  configMapOf,
  readConfig,
  targetOf,
} from '../../../src/doctor/webhook/installation.ts';
import { judgeRehearsal, skipReason } from '../../../src/doctor/webhook/rehearsal.ts';
import {
  judgeLeader,
  judgeReplicas,
  type LeaderEvidence,
  type ReplicasEvidence,
} from '../../../src/doctor/webhook/replicas.ts';
import { describeRight, judgeRights, rightsNeeded } from '../../../src/doctor/webhook/rights.ts';
import { readPod } from '../../../src/policy/read-pod.ts';

const manifest = (name: string): string =>
  readFileSync(new URL(`../../../certs/${name}.yaml`, import.meta.url), 'utf8');

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly resourceNames?: readonly string[];
    readonly verbs: readonly string[];
  }[];
}

const documents = (name: string): Manifest[] => parseAllDocuments(manifest(name)).map((one) => one.toJS() as Manifest);

const pod = (name: string, node: string, more: Partial<PodSeen> = {}): PodSeen => ({
  namespace: 'libc-dns',
  name,
  view: readPod({ metadata: { labels: { app: 'webhook' } }, spec: { nodeName: node, containers: [{ name: 'a' }] } }),
  phase: 'Running',
  ready: true,
  ip: '10.0.0.1',
  restarts: 0,
  trouble: [],
  ...more,
});
const deploymentSeen = (desired = 2): DeploymentSeen => ({
  name: 'webhook',
  podLabels: { app: 'webhook' },
  desired,
  ready: desired,
  updated: desired,
  serviceAccount: 'webhook',
  words: [],
  environment: {},
  mounts: [],
});
const budget = {
  name: 'b',
  selector: { matchLabels: { app: 'webhook' }, matchExpressions: [] },
  disruptionsAllowed: 1,
};
const evidence = (pods: PodSeen[], more: Partial<ReplicasEvidence> = {}): ReplicasEvidence => ({
  service: 'libc-dns/webhook',
  hasSelector: true,
  deployments: [deploymentSeen()],
  pods,
  budgets: [budget],
  ...more,
});

describe('replicas', () => {
  it.each<[string, ReplicasEvidence, string, string]>([
    ['two on two nodes', evidence([pod('a', '1'), pod('b', '2')]), 'ok', '2 replicas ready on 2 nodes'],
    [
      'two on one',
      evidence([pod('a', '1'), pod('b', '1')]),
      'warning',
      'both replicas are on the node 1: it takes them all with it',
    ],
    [
      'no budget',
      evidence([pod('a', '1'), pod('b', '2')], { budgets: [] }),
      'warning',
      'no PodDisruptionBudget: a drain of nodes may take all replicas at once',
    ],
    [
      'one',
      evidence([pod('a', '1')], { deployments: [deploymentSeen(1)] }),
      'warning',
      'there is one replica: Pods that are created while it restarts are not patched',
    ],
    [
      'none ready',
      evidence([pod('a', '1', { ready: false, trouble: ['ImagePullBackOff'] })]),
      'failure',
      'no replica is ready (ImagePullBackOff): every Pod is created as it is written',
    ],
    ['nobody', evidence([], { deployments: [] }), 'failure', 'nobody stands behind Service libc-dns/webhook'],
    [
      'out of memory',
      evidence([pod('a', '1'), pod('b', '2', { restarts: 1, trouble: ['OOMKilled'] })]),
      'warning',
      'b has restarted 1 time (last: OOMKilled)',
    ],
    ['often', evidence([pod('a', '1'), pod('b', '2', { restarts: 9 })]), 'warning', 'b has restarted 9 times'],
    [
      'no selector',
      evidence([], { hasSelector: false }),
      'skipped',
      'Service libc-dns/webhook selects no Pods: its replicas are unknown',
    ],
  ])('%s', (_, seen, status, sentence) => {
    expect(judgeReplicas(seen)).toMatchObject({ status, seen: sentence });
  });
});

describe('who finds out what the policy of the API server does not know', () => {
  const NOW = Date.parse('2026-01-02T03:04:05Z');
  const STALLED = 'the policy goes on with what it knows, and nobody looks new images up';
  const waiting = pod('b', '2', { ready: false, trouble: ['ImagePullBackOff'] });

  it.each<[string, Partial<LeaderEvidence>, string, string]>([
    ['one leads', {}, 'ok', '2 replicas ready, a leads'],
    ['the Lease may not be read', { lease: 'unread' }, 'ok', '2 replicas ready'],
    ['one of two', { pods: [pod('a', '1'), waiting] }, 'warning', '1 of 2 replicas are ready (ImagePullBackOff)'],
    ['none ready', { pods: [waiting] }, 'failure', `no replica is ready (ImagePullBackOff): ${STALLED}`],
    ['scaled down', { pods: [] }, 'failure', `no replica runs in namespace libc-dns: ${STALLED}`],
    ['no Lease', { lease: undefined }, 'failure', `no replica leads (there is no Lease libc-dns/lead): ${STALLED}`],
    [
      'a Lease that was never held',
      { lease: { holder: '', renewedAt: undefined } },
      'failure',
      `no replica leads (Lease libc-dns/lead): ${STALLED}`,
    ],
    [
      'nobody has renewed it for two minutes',
      { lease: { holder: 'a_1', renewedAt: NOW - 120_001 } },
      'failure',
      `no replica leads (Lease libc-dns/lead) since 2026-01-02T03:02:04.999Z: ${STALLED}`,
    ],
    [
      'renewed a little late',
      { lease: { holder: 'a_1', renewedAt: NOW - 119_000 } },
      'ok',
      '2 replicas ready, a leads',
    ],
  ])('%s', (_, change, status, seen) => {
    const all: LeaderEvidence = {
      namespace: 'libc-dns',
      deployments: [deploymentSeen()],
      pods: [pod('a', '1'), pod('b', '2')],
      name: 'lead',
      lease: { holder: 'a_5f0e', renewedAt: NOW - 3000 },
      now: NOW,
    };
    expect(judgeLeader({ ...all, ...change })).toMatchObject({ status, seen });
  });
});

describe('what the API server has counted', () => {
  it.each([
    ['a_total{name="x",type="admit"} 5', { metric: 'a_total', labels: { name: 'x', type: 'admit' }, value: 5 }],
    ['a_total 1e+06', { metric: 'a_total', labels: {}, value: 1_000_000 }],
    [String.raw`a{b="c\"} d"} 2`, { metric: 'a', labels: { b: String.raw`c\"} d` }, value: 2 }],
    ['# HELP a b', undefined],
    ['a{b="c"} not-a-number', undefined],
  ])('%s', (line, expected) => expect(readSample(line)).toEqual(expected));

  const OPEN = 'apiserver_admission_webhook_fail_open_count';
  const CALLS = 'apiserver_admission_webhook_request_total';
  const REJECTED = 'apiserver_admission_webhook_rejection_count';
  it.each<[string[], string, string]>([
    [[], 'ok', 'no call so far: no Pod in scope was created'],
    [[`${CALLS}{name="pods.libc-dns.dev"} 7`], 'ok', '7 calls, none of them failed'],
    [[`${CALLS}{name="pods.libc-dns.dev"} 7`, `${OPEN}{name="istio"} 9`], 'ok', '7 calls, none of them failed'],
    [
      [`${CALLS}{name="pods.libc-dns.dev"} 7`, `${OPEN}{name="pods.libc-dns.dev"} 1`],
      'warning',
      '1 Pod let through unpatched, for the webhook could not be asked (7 calls in all)',
    ],
    [
      [`${REJECTED}{name="pods.libc-dns.dev"} 2`],
      'warning',
      '2 Pods refused, for the webhook could not be asked (failurePolicy Fail)',
    ],
  ])('%j', (lines, status, seen) => {
    expect(judgeFailOpen(lines, ['pods.libc-dns.dev'])).toMatchObject({ status, seen });
  });
});

describe('rights', () => {
  /** All rights that the roles of a manifest give. */
  const granted = (name: string): string[] =>
    documents(name).flatMap(({ kind, metadata: { namespace }, rules = [] }) =>
      ['Role', 'ClusterRole'].includes(kind)
        ? rules.flatMap(({ apiGroups, resources, resourceNames = [undefined], verbs }) =>
            resources.flatMap((full) => {
              const [resource = '', subresource] = full.split('/');
              return verbs.flatMap((verb) =>
                resourceNames.map((of) =>
                  describeRight({
                    verb,
                    group: apiGroups[0] ?? '',
                    resource,
                    ...(subresource !== undefined && { subresource }),
                    ...(namespace !== undefined && { namespace }),
                    ...(of !== undefined && { name: of }),
                  }),
                ),
              );
            }),
          )
        : [],
    );
  const configOf = (name: string) => {
    const text = documents(name).find(({ kind, data }) => kind === 'ConfigMap' && data?.['config.yaml'])?.data?.[
      'config.yaml'
    ];
    return loadConfig({ file: { name, text: text ?? '' }, environment: {}, flags: [] }).config;
  };

  it.each(['manifests', 'cert-manager', 'openssl'])(
    'are those that %s/rbac.yaml grants, neither more nor less',
    (folder) => {
      const needed = rightsNeeded(configOf(`${folder}/webhook`), 'libc-dns').map(describeRight);
      expect(needed.toSorted()).toEqual(granted(`${folder}/rbac`).toSorted());
    },
  );

  it('nodes and what tells the mode of kube-proxy are read with exposure: auto alone', () => {
    const of = (settings: object): string[] =>
      rightsNeeded(configSchema.parse(settings), 'libc-dns').map((need) => describeRight(need));
    const without = of({});
    expect(of({ exposure: 'auto' }).filter((right) => !without.includes(right))).toEqual([
      'list nodes',
      'watch nodes',
      'get configmaps kube-proxy in kube-system',
      'get configmaps kube-proxy-config in kube-system',
      'get configmaps cilium-config in kube-system',
      'list pods in kube-system',
    ]);
    expect(without).toContain('list daemonsets.apps');
    expect(of({ exposure: 'auto', warmUp: { enabled: false } })).toContain('list daemonsets.apps');
  });

  it('PodResolvers are written with admissionPolicy alone', () => {
    const of = (settings: object): string[] =>
      rightsNeeded(configSchema.parse(settings), 'libc-dns').map((need) => describeRight(need));
    const without = of({});
    expect(of({ admissionPolicy: { enabled: true } }).filter((right) => !without.includes(right))).toEqual(
      ['list', 'create', 'patch', 'delete'].map((verb) => `${verb} podresolvers.libc-dns.dev`),
    );
  });

  it('owners of Pods are read with server.events alone', () => {
    const of = (settings: object): string[] =>
      rightsNeeded(configSchema.parse(settings), 'libc-dns').map((need) => describeRight(need));
    const without = of({});
    expect(of({ server: { events: true } }).filter((right) => !without.includes(right))).toEqual([
      'create events',
      'get replicasets.apps',
      'get statefulsets.apps',
      'get daemonsets.apps',
      'get jobs.batch',
    ]);
  });

  it.each([
    ['dns/cache', 'get daemonsets.apps cache in dns'],
    ['dns/cache-*', 'list daemonsets.apps in dns'],
    ['dns/app.kubernetes.io/name=cache', 'list daemonsets.apps in dns'],
  ])('over the DaemonSets of %s: %s', (daemonSet, right) => {
    const needs = rightsNeeded(configSchema.parse({ nodeLocal: { daemonSet } }), 'libc-dns');
    expect(needs.map(describeRight)).toContain(right);
  });

  const config = configSchema.parse({ tls: { mode: 'self-managed' }, warmUp: { enabled: false } });
  const answers = (allowed: (what: string) => boolean) =>
    rightsNeeded(config, 'libc-dns').map((need) => ({ need, allowed: allowed(describeRight(need)) }));
  it('says what is lost without those that are missing', () => {
    const user = 'system:serviceaccount:libc-dns:webhook';
    expect(
      judgeRights(
        user,
        answers(() => true),
      ),
    ).toMatchObject({
      status: 'ok',
      seen: 'service account libc-dns/webhook has all 34 rights that the configuration needs',
    });
    const outcome = judgeRights(
      user,
      answers((what) => !what.startsWith('get ')),
    );
    expect(outcome).toMatchObject({ status: 'failure', seen: 'service account libc-dns/webhook lacks 3 of 34 rights' });
    expect(outcome.details).toEqual([
      'get namespaces: without it the labels of namespaces are unknown, and their Pods are left alone',
      'get services kube-dns in kube-system: without it the addresses of the cluster DNS are unknown',
      'get daemonsets.apps node-local-dns in kube-system: without it the node-local cache is not used',
    ]);
    expect(
      judgeRights(
        user,
        answers((what) => !what.includes('daemonsets')),
      ).status,
    ).toBe('warning');
  });
});

describe('the rehearsal', () => {
  it.each<[string, Parameters<typeof judgeRehearsal>[1], string]>([
    ['patched', { annotations: { 'libc-dns.dev/decision': '{}' } }, 'ok'],
    ['as it was', { annotations: {} }, 'failure'],
    ['Pod security or a quota', { refused: 'pods "x" is forbidden: violates PodSecurity' }, 'skipped'],
    ['failurePolicy Fail', { refused: 'failed calling webhook "pods.libc-dns.dev": x509' }, 'failure'],
    ["somebody else's webhook", { refused: 'failed calling webhook "istio.io": x509' }, 'skipped'],
  ])('%s', (_, rehearsal, status) => expect(judgeRehearsal('shop', rehearsal).status).toBe(status));

  it.each([
    [undefined, 'there is no namespace shop'],
    [{ 'libc-dns.dev/mode': 'audit' }, 'namespace shop is audited: nothing is patched there'],
    [{ 'libc-dns.dev/mode': 'off' }, undefined],
    [{}, undefined],
  ])('labels %j: %s', (labels, seen) => expect(skipReason('shop', labels, ['kube-system'])?.seen).toBe(seen));

  it.each([
    [{ 'libc-dns.dev/mode': 'enforce' }, undefined],
    [{}, "namespace shop has no label libc-dns.dev/mode: enforce, and the API server's policy goes by that"],
  ])('by the policy alone, labels %j: %s', (labels, seen) =>
    expect(skipReason('shop', labels, [], true)?.seen).toBe(seen),
  );

  it('advises by what was to patch the Pod', () => {
    const adviceFor = (byPolicy: boolean) => judgeRehearsal('shop', { annotations: {} }, byPolicy).advice[0]?.text;
    expect(adviceFor(true)).toContain('kubectl get podresolvers -A');
    expect(adviceFor(false)).toContain('an answer it trusts');
  });

  it('is not held in a namespace that is never in scope', () => {
    expect(skipReason('kube-system', {}, ['kube-system'])?.seen).toBe('namespace kube-system is never in scope');
  });
});

describe('the installation', () => {
  const own = documents('manifests/webhook').find(({ kind }) => kind === 'Deployment');
  const certManager = documents('cert-manager/webhook').find(({ kind }) => kind === 'Deployment');

  it('is found by the Service of the registration: the one in the namespace named, else the first', () => {
    const entry = (namespace: string) =>
      ({ name: 'x', entries: [{ service: { namespace, name: 'w', port: 443 } }] }) as never;
    expect(targetOf([entry('a'), entry('b')], 'b')).toMatchObject({ namespace: 'b' });
    expect(targetOf([entry('a'), entry('b')], 'c')).toMatchObject({ namespace: 'a' });
    expect(targetOf([], undefined)).toBeUndefined();
  });

  it('tells the ConfigMap and the Secret that it reads', () => {
    const seen = deployment.parse(own);
    expect(configMapOf(seen)).toEqual({ name: 'libc-dns-webhook', key: 'config.yaml' });
    expect(certificateSecretOf(configSchema.parse({ tls: { mode: 'self-managed' } }), seen)).toBe(
      'libc-dns-webhook-ca',
    );
    const { config } = readConfig(
      {
        from: 'x',
        text: documents('cert-manager/webhook').find(({ kind }) => kind === 'ConfigMap')?.data?.['config.yaml'] ?? '',
        environment: {},
      },
      configSchema.parse({}),
    );
    expect(certificateSecretOf(config, deployment.parse(certManager))).toBe('libc-dns-webhook-tls');
  });

  it.each([
    [['serve', '--config=/etc/x/c.yaml'], {}, { name: 'm', key: 'c.yaml' }],
    [['serve'], { LIBC_DNS_CONFIG: '/etc/x/c.yaml' }, { name: 'm', key: 'c.yaml' }],
    [['serve', '--config', '/elsewhere/c.yaml'], {}, undefined],
    [['serve'], {}, undefined],
  ])('reads the path of the configuration from %j and %j', (words, environment, expected) => {
    const mounts = [{ path: '/etc/x/', kind: 'configMap', name: 'm' }] as const;
    expect(configMapOf({ ...deploymentSeen(), words, environment, mounts })).toEqual(expected);
  });

  it('takes the configuration with its environment, and the defaults where it is not valid', () => {
    const fallback = configSchema.parse({});
    const good = readConfig(
      { from: 'ConfigMap a/b', text: 'scope: cluster', environment: { LIBC_DNS_MODE: 'audit' } },
      fallback,
    );
    expect(good).toMatchObject({ from: 'ConfigMap a/b', problems: [], config: { scope: 'cluster', mode: 'audit' } });
    const bad = readConfig({ from: 'ConfigMap a/b', text: 'scop: cluster', environment: {} }, fallback);
    expect(bad).toMatchObject({
      from: 'defaults',
      problems: [expect.stringContaining('did you mean scope?')],
      config: { scope: 'opt-in' },
    });
  });

  it('a Service without selector chooses nothing', () => {
    expect(chooses({}, { a: 'b' })).toBe(false);
    expect(chooses({ a: 'b' }, { a: 'b', c: 'd' })).toBe(true);
    expect(chooses({ a: 'b' }, { a: 'c' })).toBe(false);
  });
});
