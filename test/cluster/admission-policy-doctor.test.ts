import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openDoctor } from '../../src/app/doctor.ts';
import type { DoctorReport } from '../../src/doctor/report.ts';
import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import { applySpec, podResolversSpec } from '../../src/pod-resolvers/object.ts';
import { createLeaseClaim } from '../../src/kubernetes/lease.ts';
import { finishedRemedies } from '../../src/pod-resolvers/remedies.ts';
import { systemClock } from '../../src/util/clock.ts';
import { hasHelm, renderText } from '../chart/helm.ts';
import { objects } from '../chart/rendered.ts';
import { cli } from '../support/cli.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { putReplica } from '../support/doctor-objects.ts';
import { NAMESPACE } from '../support/installation.ts';
import { installPodResolvers } from '../support/pod-resolvers.ts';
import { facts, policy } from '../support/policy.ts';

const POLICY = 'libc-dns-webhook.libc-dns.dev';

describe.runIf(hasCluster() && hasHelm())("doctor, where the API server's policy patches Pods", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.createNamespace('shop', { 'libc-dns.dev/mode': 'enforce' });
  });
  afterAll(async () => await cluster?.stop());

  const install = async (): Promise<void> => {
    await installPodResolvers(cluster);
    const text = renderText(['admissionPolicy.enabled=true'], ['-s', 'templates/admission-policy.yaml']);
    await cluster.apply(...objects(text));
  };

  /** Writes the object as the leader does. */
  const write = async (): Promise<void> => {
    const namespace = { name: 'shop', labels: {} };
    const remedies = finishedRemedies({ namespace, cluster: facts, config: policy(), reach: REACHES_ALL });
    await cluster.client.request(applySpec('shop', podResolversSpec(remedies, 'amd64', new Map())));
  };

  const check = async (name: string): Promise<string> => {
    const words = ['doctor', '--kubeconfig', cluster.kubeconfig, '--check', name, '-o', 'json'];
    const { out } = await cli(words, {
      openDoctor: (context) =>
        openDoctor(context, {
          version: 'test',
          environment: { HOME: '/nonexistent' },
          inCluster: false,
          dnsPort: 53,
          race: { pairs: 1, lostMs: 1, enough: 1, totalMs: 1 },
        }),
    });
    const [one] = (JSON.parse(out) as DoctorReport).checks;
    return `${one?.status}: ${one?.seen}`;
  };
  const registration = async (): Promise<string> => await check('registration');

  it('says what works, and what is missing', async () => {
    expect(await registration()).toMatch(/^warning: not installed/);

    await install();
    expect(await registration()).toBe('failure: no PodResolvers, so that the policy patches no Pod: shop');

    await write();
    expect(await registration()).toBe(`ok: no webhook is called: the API server patches Pods by its policy ${POLICY}`);

    await cluster.kubectl(['delete', 'mutatingadmissionpolicybinding', POLICY]);
    expect(await registration()).toBe(`failure: the policy ${POLICY} has no binding, and so no effect`);

    await install();
    await cluster.kubectl(['delete', 'crd', 'podresolvers.libc-dns.dev']);
    await expect
      .poll(registration, { timeout: 20_000, interval: 200 })
      .toBe('failure: the API server has no kind PodResolvers: its policy patches no Pod');
  });

  it('finds the release by the policy, and says whether anybody looks new images up', async () => {
    const stalled = 'the policy goes on with what it knows, and nobody looks new images up';
    await install();
    await cluster.createNamespace(NAMESPACE);
    expect(await check('replicas')).toBe(`failure: no replica runs in namespace libc-dns: ${stalled}`);

    const parts = ['serviceaccount', 'configmap', 'deployment', 'role', 'clusterrole'].flatMap((part) => [
      '-s',
      `templates/${part}.yaml`,
    ]);
    const release = objects(renderText(['admissionPolicy.enabled=true', 'config.excludeNamespaces=["shop"]'], parts));
    await cluster.apply(...release);
    expect(await check('configuration')).toBe('ok: ConfigMap libc-dns/libc-dns-webhook: valid');
    expect(await check('rights')).toMatch(/^ok: /);
    // Its own configuration says that nothing is in scope.
    expect(await registration()).toBe(`ok: no webhook is called: the API server patches Pods by its policy ${POLICY}`);

    await putReplica(cluster, { name: 'a', node: 'n1' });
    expect(await check('replicas')).toBe(
      `failure: no replica leads (there is no Lease libc-dns/libc-dns-webhook): ${stalled}`,
    );
    const leader = createLeaseClaim({
      client: cluster.client,
      namespace: NAMESPACE,
      name: 'libc-dns-webhook',
      identity: 'a_1',
      durationMs: 15_000,
      clock: systemClock,
    });
    await leader.attempt({ signal: new AbortController().signal, timeoutMs: 5000 });
    expect(await check('replicas')).toBe('warning: 1 of 3 replicas are ready');
    await cluster.kubectl(['-n', NAMESPACE, 'scale', 'deployment', 'libc-dns-webhook', '--replicas=1']);
    expect(await check('replicas')).toBe('ok: 1 replica ready, a leads');
  });
});
