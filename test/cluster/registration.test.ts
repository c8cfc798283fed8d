import { readFile } from 'node:fs/promises';
import { parse, parseAllDocuments } from 'yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { exemption } from '../../src/policy/exemptions.ts';
import { readPod } from '../../src/policy/read-pod.ts';
import { effectiveMode, MODE_LABEL } from '../../src/policy/scope.ts';
import { hasHelm, renderText } from '../chart/helm.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { createPod, podObject, type PodRequest } from '../support/pods.ts';
import { policy } from '../support/policy.ts';
import { startRecorder, type Recorder } from '../support/recorder.ts';

const OWN = 'libc-dns';
const LABELS = [undefined, 'enforce', 'audit', 'off', 'enforced'] as const;
const SYSTEM = ['kube-system', 'kube-public', 'kube-node-lease', OWN];

const mode = (value: string | undefined): Record<string, string> =>
  value === undefined ? {} : { [MODE_LABEL]: value };

const servers = { dnsPolicy: 'None', dnsConfig: { nameservers: ['10.0.0.9'] } };
const MAIN = { name: 'main', image: 'registry.test/app:1' };

/** A Pod about whose container `main` the policy has decided. */
function afterPolicy(spec: object, resolvers: object = { main: 'musl' }) {
  const annotations = {
    'libc-dns.dev/decision': JSON.stringify({ reason: 'MuslRetried', remedy: ['retry'], resolvers }),
  };
  return { annotations, spec: { dnsConfig: { options: [{ name: 'attempts', value: '10' }] }, ...spec } };
}

const decided = (value: string): Record<string, string> => ({ 'libc-dns.dev/decision': value });

/** Pods that the API server's policy has left, and what another webhook then did. `true`: ours is to decide. */
const BESIDE_POLICY: readonly [pod: Omit<PodRequest, 'labels'>, isOurs: boolean][] = [
  [{ name: 'not-known' }, true],
  [{ name: 'known', ...afterPolicy({}) }, false],
  [{ name: 'known-in-part', ...afterPolicy({}, { main: 'musl', other: 'unknown' }) }, true],
  [{ name: 'copied-decision', annotations: afterPolicy({}).annotations }, true],
  [{ name: 'container-added', ...afterPolicy({ containers: [MAIN, { ...MAIN, name: 'istio-proxy' }] }) }, true],
  [{ name: 'sidecar-added', ...afterPolicy({ initContainers: [{ ...MAIN, name: 'istio-proxy' }] }) }, true],
];

/** Everything that an exemption looks at, alone and beside what could be mistaken for it. */
const SHAPES: readonly Omit<PodRequest, 'labels'>[] = [
  { name: 'plain' },
  { name: 'bare', annotations: {} },
  { name: 'policy-default', spec: { dnsPolicy: 'Default' } },
  { name: 'policy-none', spec: servers },
  { name: 'policy-none-bare', annotations: {}, spec: servers },
  {
    name: 'redirected',
    annotations: decided('{"reason":"MuslRedirected","remedy":["redirect"],"resolvers":{"main":"musl"}}'),
    spec: servers,
  },
  {
    name: 'redirected-mixed',
    annotations: decided('{"reason":"MixedRedirected","remedy":["redirect","options"],"resolvers":{}}'),
    spec: servers,
  },
  {
    name: 'redirected-last',
    annotations: decided('{ "remedy" : [ "options",\n "redirect" ] }'),
    spec: servers,
  },
  {
    name: 'with-sidecar',
    annotations: decided('{"reason":"SidecarAdded","remedy":["sidecar"],"resolvers":{"main":"musl"}}'),
    spec: servers,
  },
  {
    name: 'not-redirected',
    annotations: decided('{"reason":"OptionsAdded","remedy":["options"],"resolvers":{"redirect":"glibc"}}'),
    spec: servers,
  },
  { name: 'decision-garbage', annotations: decided('redirect'), spec: servers },
  { name: 'decision-empty', annotations: decided(''), spec: servers },
  { name: 'decided-cluster-first', annotations: decided('{"remedy":["redirect"]}') },
  { name: 'host-network', spec: { hostNetwork: true } },
  { name: 'host-network-cluster', spec: { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' } },
  { name: 'host-network-default', spec: { hostNetwork: true, dnsPolicy: 'Default' } },
  { name: 'cluster-with-host-net', spec: { dnsPolicy: 'ClusterFirstWithHostNet' } },
  { name: 'windows', spec: { os: { name: 'windows' } } },
  { name: 'linux', spec: { os: { name: 'linux' }, nodeSelector: { 'kubernetes.io/os': 'linux' } } },
  { name: 'windows-node', spec: { nodeSelector: { 'kubernetes.io/os': 'windows' } } },
  { name: 'windows-node-old', spec: { nodeSelector: { 'beta.kubernetes.io/os': 'windows', disk: 'ssd' } } },
  { name: 'other-node', spec: { nodeSelector: { disk: 'windows' } } },
  {
    name: 'mirror',
    annotations: { 'kubernetes.io/config.mirror': 'x' },
    spec: { nodeName: 'node', automountServiceAccountToken: false },
  },
];

interface Case {
  readonly namespace: string;
  readonly namespaceLabel: string | undefined;
  readonly pod: PodRequest;
}

function* cases(): Generator<Case> {
  const labelled = LABELS.map((label) => [ownName(`ns-${label ?? 'plain'}`), label] as const);
  const system = SYSTEM.map((name) => [name, 'enforce'] as const);
  for (const [namespace, namespaceLabel] of [...labelled, ...system]) {
    for (const label of LABELS) {
      for (const shape of SHAPES) {
        const name = `${namespace}.${label ?? 'plain'}.${shape.name}`;
        yield { namespace, namespaceLabel, pod: { ...shape, name, labels: mode(label) } };
      }
    }
  }
}

/** Whether the server's own rules would have it look into the Pod. */
function isWanted({ namespace, namespaceLabel, pod }: Case, scope: 'opt-in' | 'cluster'): boolean {
  const view = readPod(podObject(pod));
  const of = { name: namespace, labels: mode(namespaceLabel) };
  return effectiveMode(view, of, policy({ scope }), OWN).mode !== 'off' && exemption(view) === undefined;
}

interface Registration {
  readonly webhooks: readonly { clientConfig: object }[];
}

async function registration(scope: string, clientConfig: object): Promise<object> {
  const file = new URL(`../../certs/manifests/registration-${scope}.yaml`, import.meta.url);
  return calling(parse(await readFile(file, 'utf8')) as Registration, clientConfig);
}

/** The registration that the chart installs beside the API server's policy. */
function registrationBesidePolicy(clientConfig: object): object {
  const rendered = renderText(['admissionPolicy={"enabled":true,"webhook":true}']);
  const objects = parseAllDocuments(rendered).map((document) => document.toJS() as { readonly kind?: string } | null);
  const found = objects.find((object) => object?.kind === 'MutatingWebhookConfiguration');
  return calling(found as Registration & { kind: string }, clientConfig);
}

function calling(object: Registration, clientConfig: object): object {
  for (const webhook of object.webhooks) webhook.clientConfig = clientConfig;
  return object;
}

describe.runIf(hasCluster())('the selectors and conditions of the registration', () => {
  let cluster: TestCluster;
  let recorder: Recorder;

  beforeAll(async () => {
    // Mirror Pods have no service account, and nobody here makes one for each namespace.
    cluster = await startCluster({ 'disable-admission-plugins': 'ServiceAccount,NodeRestriction' });
    recorder = await startRecorder();
    await cluster.createNamespace(OWN, mode('enforce'));
    for (const label of LABELS) await cluster.createNamespace(ownName(`ns-${label ?? 'plain'}`), mode(label));
    for (const name of SYSTEM) await cluster.kubectl(['label', 'ns', name, '--overwrite', `${MODE_LABEL}=enforce`]);
  });
  afterAll(async () => {
    await recorder?.stop();
    await cluster?.stop();
  });

  const dryRun = (namespace: string, pod: PodRequest): Promise<unknown> =>
    createPod(cluster, namespace, pod, { dryRun: 'All' });

  it.each(['opt-in', 'cluster'] as const)(
    'scope %s: those Pods reach the webhook, once each, that its own rules would look into',
    async (scope) => {
      await cluster.apply(await registration(scope, recorder.clientConfig));
      // The API server takes a moment to learn of it: only in scope cluster does the second of these come through.
      const [namespace, is] = scope === 'cluster' ? [ownName('ns-plain'), 'plain'] : [ownName('ns-enforce'), 'enforce'];
      await expect
        .poll(async () => {
          await dryRun(namespace, { name: `probe-${is}` });
          return recorder.take().size;
        })
        .toBe(1);

      const all = [...cases()];
      for (let start = 0; start < all.length; start += 20) {
        await Promise.all(all.slice(start, start + 20).map((one) => dryRun(one.namespace, one.pod)));
      }
      const seen = recorder.take();
      const wanted = all.filter((one) => isWanted(one, scope)).map(({ pod }) => pod.name);
      expect(wanted.length).toBeGreaterThan(80);
      expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(wanted.map((name) => [name, 1])));
    },
  );

  it.runIf(hasHelm())(
    'beside the policy: Pods reach the webhook whose containers the policy does not all know',
    async () => {
      await cluster.apply(registrationBesidePolicy(recorder.clientConfig));
      const namespace = ownName('ns-enforce');
      // The API server takes a moment to learn of it: only beside the policy does this one not come through.
      await expect
        .poll(async () => {
          await dryRun(namespace, { ...afterPolicy({}), name: 'probe-policy' });
          return recorder.take().size;
        })
        .toBe(0);
      for (const [pod] of BESIDE_POLICY) await dryRun(namespace, pod);
      const ours = BESIDE_POLICY.filter(([, isOurs]) => isOurs).map(([{ name }]) => name);
      expect([...recorder.take().keys()].toSorted()).toEqual(ours.toSorted());
    },
  );
});
