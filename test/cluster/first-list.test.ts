import { afterAll, beforeAll, expect, describe, it } from 'vitest';

import type { KubeClient } from '../../src/kubernetes/client.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import {
  digestOf,
  foundMusl,
  installImageLibcs,
  keyOf,
  memoryIsNew,
  openStore,
  queryOf,
} from '../support/image-libc.ts';

/** A client that notes what is read with it. */
function noting(client: KubeClient) {
  const read: unknown[] = [];
  const noted: KubeClient = {
    ...client,
    async list(call, each) {
      const version = await client.list(call, each);
      read.push({ list: call.query, version });
      return version;
    },
    watch(call) {
      read.push({ watch: call.query?.['resourceVersion'] });
      return client.watch(call);
    },
    async request(call) {
      if (call.method === undefined) read.push({ request: call.path });
      return await client.request(call);
    },
  };
  return { client: noted, read };
}

describe.runIf(hasCluster())('the first list of ImageLibcs', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
    await installImageLibcs(cluster.client);
  });
  afterAll(async () => await cluster?.stop());

  it('comes once, from the memory of the API server, and is watched on from there', async () => {
    const before = openStore(cluster.client);
    const images = Array.from({ length: 40 }, (_, index) => `app:${index}`);
    for (const image of images) before.put(keyOf(image), foundMusl(Date.now()));
    await expect.poll(() => before.stats().detected).toBe(40);
    await memoryIsNew(cluster.client);

    const { client, read } = noting(cluster.client);
    const store = openStore(client);
    await store.ready;
    for (const image of images) expect(store.get(queryOf(image))?.inspection.digest).toBe(digestOf('a'));
    const { version } = read[0] as { version: string };
    expect(version).toMatch(/^\d+$/u);
    expect(read).toEqual([{ list: { resourceVersion: '0' }, version }, { watch: version }]);
    before.put(keyOf('app:new'), foundMusl(Date.now()));
    await expect.poll(() => store.get(queryOf('app:new'))).toBeDefined();
    expect(read).toHaveLength(2);
    expect(store.report.messages('warn')).toEqual([]);
    await Promise.all([store.close(), before.close()]);
  });
});
