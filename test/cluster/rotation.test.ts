import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { webhookCounts } from '../support/api-metrics.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { install, NAMESPACE, type Installation } from '../support/installation.ts';
import { startLoad } from '../support/load.ts';
import { createPod, optionsOf } from '../support/pods.ts';
import type { LogLine } from '../support/webhook-process.ts';

const SHOP = ownName('shop');

const SECRET = 'libc-dns-webhook-ca';

/** Of all replicas. */
function issued({ replicas }: Installation): LogLine[] {
  return replicas.flatMap(({ lines }) => lines.filter(({ msg }) => msg === 'certificate in use'));
}

const authorities = (installation: Installation): Set<unknown> =>
  new Set(issued(installation).map((line) => line['ca']));

describe.runIf(hasCluster())('certificates that change while Pods are created', () => {
  let cluster: TestCluster;
  let installation: Installation;

  beforeAll(async () => {
    cluster = await startCluster();
    installation = await install(cluster, {
      replicas: 2,
      settings: {
        DETECTION_REGISTRY_ENABLED: 'false',
        TLS_CERT_LIFETIME: '6s',
        TLS_OVERLAP: '2s',
        TLS_CA_LIFETIME: '1h',
      },
    });
    await cluster.createNamespace(SHOP, { 'libc-dns.dev/mode': 'enforce' });
  });
  afterAll(async () => {
    await installation?.stop();
    await cluster?.stop();
  });

  it('loses no call of the API server, at 50 Pods a second', async () => {
    const before = { authorities: authorities(installation).size, leaves: issued(installation).length };
    expect(before.authorities).toBe(1);
    const load = startLoad(50, 5000, (index) => createPod(cluster, SHOP, { name: `pod-${index}` }));
    for (let round = 1; round <= 5; round += 1) {
      await cluster.kubectl([
        'annotate',
        'secret',
        SECRET,
        '-n',
        NAMESPACE,
        '--overwrite',
        `libc-dns.dev/rotate=${round}`,
      ]);
      const changed = (): number => authorities(installation).size;
      await expect.poll(changed, { timeout: 60_000 }).toBe(before.authorities + round);
    }
    const leaves = issued(installation).length;
    await expect.poll(() => issued(installation).length, { timeout: 30_000 }).toBeGreaterThanOrEqual(leaves + 4);
    const pods = await load.stop();

    // Enough for the claim, and for both replicas to have had their share.
    expect(pods.length).toBeGreaterThan(500);
    const unpatched = pods.filter((pod) => optionsOf(pod).length === 0).map(({ metadata }) => metadata.name);
    expect(unpatched).toEqual([]);
    expect(await webhookCounts(cluster)).toEqual({ calls: pods.length, failedOpen: 0, rejected: 0 });
    process.stdout.write(
      `rotation: ${pods.length} Pods, ${issued(installation).length} certificates of ${authorities(installation).size} CAs, no call lost\n`,
    );
  });

  it('leaves only the CA in use in the registration, in the end', async () => {
    const bundle = async (): Promise<number> => {
      const text = await cluster.kubectl([
        'get',
        'mutatingwebhookconfiguration',
        'libc-dns-webhook',
        '-o',
        'jsonpath={.webhooks[0].clientConfig.caBundle}',
      ]);
      return Buffer.from(text, 'base64').toString().split('BEGIN CERTIFICATE').length - 1;
    };
    await expect.poll(bundle, { timeout: 60_000 }).toBe(1);
  });
});
