import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { install, type Installation } from '../support/installation.ts';
import { startSidecarInjector } from '../support/sidecar-injector.ts';
import { createPod, optionsOf, podObject, type PodObject, type PodRequest } from '../support/pods.ts';

const SHOP = ownName('shop');

const RETRY = ['timeout:5', 'attempts:10'];

const modes = [undefined, 'enforce', 'audit', 'off'] as const;
type Label = (typeof modes)[number];

const label = (mode: Label): Record<string, string> => (mode === undefined ? {} : { 'libc-dns.dev/mode': mode });

/** design: a Pod's label before its namespace's, but it cannot raise above its namespace's audit. */
function expected(scope: string, namespace: Label, pod: Label): 'patched' | 'audited' | 'off' {
  const mode = pod ?? namespace ?? (scope === 'cluster' ? 'enforce' : 'off');
  if (mode === 'enforce') return namespace === 'audit' ? 'audited' : 'patched';
  return mode === 'audit' ? 'audited' : 'off';
}

async function decisions(installation: Installation): Promise<number> {
  const counts = await Promise.all(
    installation.replicas.map(async ({ probes }) => {
      const text = await (await fetch(`${probes}/metrics`)).text();
      const values = text.matchAll(/^libc_dns_decisions_total\{.*\} (\d+)$/gm);
      return [...values].reduce((sum, [, value]) => sum + Number(value), 0);
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

describe.runIf(hasCluster())('Pods created through a real API server', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(async () => await cluster?.stop());

  describe.each(['opt-in', 'cluster'] as const)('scope %s', (scope) => {
    let installation: Installation;
    beforeAll(async () => {
      installation = await install(cluster, { scope, settings: { DETECTION_REGISTRY_ENABLED: 'false' } });
      for (const mode of modes) await cluster.createNamespace(ownName(`${scope}-${mode ?? 'plain'}`), label(mode));
    });
    afterAll(async () => await installation?.stop());

    it.each(
      modes.flatMap((namespace) => modes.map((pod) => ({ namespace, pod, is: expected(scope, namespace, pod) }))),
    )('namespace $namespace, Pod $pod: $is', async ({ namespace, pod, is }) => {
      const before = await decisions(installation);
      const request = { name: `pod-${pod ?? 'plain'}`, labels: label(pod) };
      const stored = await createPod(cluster, ownName(`${scope}-${namespace ?? 'plain'}`), request);
      expect(optionsOf(stored)).toEqual(is === 'patched' ? RETRY : []);
      expect(stored.metadata.annotations).toEqual({
        'libc-dns.dev/libc': 'musl',
        ...(is === 'patched' && {
          'libc-dns.dev/decision': '{"reason":"MuslRetried","remedy":["retry"],"resolvers":{"main":"musl"}}',
        }),
      });
      // What is off never reaches the webhook: the registration's selectors say the same as its policy.
      expect((await decisions(installation)) - before).toBe(is === 'off' ? 0 : 1);
    });

    it.each<[string, PodRequest]>([
      ['dnsPolicy Default', { name: 'default-policy', spec: { dnsPolicy: 'Default' } }],
      [
        'dnsPolicy None',
        { name: 'none-policy', spec: { dnsPolicy: 'None', dnsConfig: { nameservers: ['10.0.0.9'] } } },
      ],
      [
        'hostNetwork with ClusterFirst',
        { name: 'host-network', spec: { hostNetwork: true, dnsPolicy: 'ClusterFirst' } },
      ],
      ['Windows', { name: 'windows', spec: { os: { name: 'windows' } } }],
    ])('%s is left alone without a call', async (_, request) => {
      const before = await decisions(installation);
      const stored = await createPod(cluster, ownName(`${scope}-enforce`), request);
      expect(optionsOf(stored)).toEqual([]);
      expect((await decisions(installation)) - before).toBe(0);
    });

    it('leaves system namespaces and its own alone, whatever their labels', async () => {
      for (const namespace of ['kube-system', 'kube-public', 'libc-dns']) {
        await cluster.kubectl(['label', 'namespace', namespace, '--overwrite', 'libc-dns.dev/mode=enforce']);
        const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
        const account = { metadata: { name: 'default' } };
        await cluster.client.request({ method: 'POST', path, body: account }).catch(() => {});
        const stored = await createPod(cluster, namespace, { name: `${scope}-pod`, labels: label('enforce') });
        expect(optionsOf(stored)).toEqual([]);
      }
    });
  });

  describe('what a Pod meets on its way', () => {
    let installation: Installation;
    beforeAll(async () => {
      installation = await install(cluster, {
        settings: { DETECTION_REGISTRY_ENABLED: 'false' },
        flags: ['--node-local', 'on'],
      });
      await cluster.createNamespace(SHOP, label('enforce'));
    });
    afterAll(async () => await installation?.stop());

    it('keeps the token of its service account', async () => {
      const stored = await createPod(cluster, SHOP, { name: 'with-token' });
      expect(stored.spec.volumes?.map(({ name }) => name)).toEqual([expect.stringMatching(/^kube-api-access-/)]);
      expect(stored.spec).toMatchObject({
        dnsPolicy: 'None',
        dnsConfig: {
          nameservers: ['169.254.20.10', expect.any(String)],
          searches: expect.arrayContaining([`${SHOP}.svc.cluster.local`]) as string[],
        },
      });
    });

    it('is patched in a dry run too, and nothing is stored', async () => {
      const answered = await createPod(cluster, SHOP, { name: 'dry' }, { dryRun: 'All' });
      expect(answered.spec.dnsPolicy).toBe('None');
      const stored = cluster.client.request({ path: `/api/v1/namespaces/${SHOP}/pods/dry` });
      await expect(stored).rejects.toMatchObject({ code: 'not-found' });
    });

    it('can be applied again by server-side apply, which changes nothing', async () => {
      const apply = (): Promise<PodObject> =>
        cluster.client.request<PodObject>({
          method: 'PATCH',
          path: `/api/v1/namespaces/${SHOP}/pods/applied`,
          query: { fieldManager: 'gitops' },
          contentType: 'application/apply-patch+yaml',
          body: podObject({ name: 'applied' }),
        });
      const first = await apply();
      expect(first.spec.dnsPolicy).toBe('None');
      const again = await apply();
      expect(again.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
      expect(again.spec.dnsConfig).toEqual(first.spec.dnsConfig);
    });

    it('is looked at again when another webhook has added a container', async () => {
      const sidecar = await startSidecarInjector(cluster);
      const stored = await createPod(cluster, SHOP, { name: 'injected', labels: { sidecar: 'yes' } });
      await sidecar.stop();
      expect(stored.spec.containers.map(({ name }) => name)).toEqual(['main', 'sidecar']);
      // For those that ask in order, and would wait for a cache that is gone.
      expect(stored.spec.dnsConfig?.nameservers?.[1]).toBe('169.254.20.10');
      expect(optionsOf(stored)).toEqual(['ndots:5', ...RETRY, 'single-request-reopen']);
      expect(JSON.parse(stored.metadata.annotations?.['libc-dns.dev/decision'] ?? '')).toEqual({
        reason: 'MixedRedirected',
        remedy: ['options', 'redirect'],
        resolvers: { main: 'musl', sidecar: 'glibc' },
      });
    });
  });
});
