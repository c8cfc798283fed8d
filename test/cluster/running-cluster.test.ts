import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { guardRunningCluster } from '../support/running-cluster.ts';

const map = (name: string, data: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
  data,
});
const PATH = '/api/v1/namespaces/default/configmaps';

describe.runIf(hasCluster())('tests in a cluster that is not theirs', () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.apply(map('theirs', { kept: 'yes' }));
  });
  afterAll(async () => cluster?.stop());

  const names = async (): Promise<string[]> => {
    const { items } = await cluster.client.request<{ items: { metadata: { name: string } }[] }>({ path: PATH });
    return items.map(({ metadata }) => metadata.name).filter((name) => name !== 'kube-root-ca.crt');
  };

  it('refuse to touch what was there before, and leave it', async () => {
    const running = guardRunningCluster(cluster.client, cluster.kubectl);
    await expect(running.claim(map('theirs'))).rejects.toThrow('ConfigMap default/theirs is in this cluster already');
    await running.removeAll();
    expect(await names()).toEqual(['theirs']);
  });

  it('delete what they applied and what they posted, and wait until it is gone', async () => {
    const running = guardRunningCluster(cluster.client, cluster.kubectl);
    await running.claim(map('applied'));
    await cluster.kubectl(['apply', '-f', '-'], JSON.stringify(map('applied')));
    await running.claim(map('applied'));
    await running.client.request({
      method: 'POST',
      path: PATH,
      body: { ...map('posted'), metadata: { name: 'posted' } },
    });
    const review = { spec: { nonResourceAttributes: { verb: 'get', path: '/version' } } };
    const reviews = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    await running.client.request({ method: 'POST', path: reviews, body: review });
    expect(await names()).toEqual(['applied', 'posted', 'theirs']);

    const finalizers = (list: readonly string[]): Promise<string> =>
      cluster.kubectl([
        'patch',
        'configmap',
        'posted',
        '--type=merge',
        '-p',
        JSON.stringify({ metadata: { finalizers: list } }),
      ]);
    await finalizers(['libc-dns.dev/test']);
    let removed = false;
    const removal = running.removeAll().then(() => (removed = true));
    await expect
      .poll(async () =>
        (await cluster.kubectl(['get', 'configmap', 'posted', '-o', 'yaml'])).includes('deletionTimestamp'),
      )
      .toBe(true);
    expect(removed).toBe(false);
    await finalizers([]);
    await removal;
    expect(await names()).toEqual(['theirs']);
  });

  it('claim objects of kinds and namespaces that are not there yet', async () => {
    const running = guardRunningCluster(cluster.client, cluster.kubectl);
    const kind = { apiVersion: 'example.test/v1', kind: 'Later', metadata: { name: 'one' } };
    const place = { ...map('one'), metadata: { name: 'one', namespace: 'later' } };
    await running.claim(kind, place);
    await running.removeAll();
    expect(await names()).toEqual(['theirs']);
  });
});
