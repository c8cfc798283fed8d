import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openDoctor } from '../../src/app/doctor.ts';
import type { DoctorReport } from '../../src/doctor/report.ts';
import { REACHES_ALL } from '../../src/exposure/dns-target.ts';
import { applySpec, podResolversSpec } from '../../src/pod-resolvers/object.ts';
import { finishedRemedies } from '../../src/pod-resolvers/remedies.ts';
import { hasHelm, renderText } from '../chart/helm.ts';
import { objects } from '../chart/rendered.ts';
import { cli } from '../support/cli.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
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

  const registration = async (): Promise<string> => {
    const words = ['doctor', '--kubeconfig', cluster.kubeconfig, '--check', 'registration', '-o', 'json'];
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
});
