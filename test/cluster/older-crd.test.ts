import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import {
  CRD_PATH,
  digestOf,
  foundMusl,
  installImageLibcs,
  keyOf,
  LIBCS_PATH,
  openStore,
} from '../support/image-libc.ts';

const INDEX = '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/detection/properties/indexDigest';

describe.runIf(hasCluster())('an older CustomResourceDefinition on a real API server', () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    cluster = await startCluster();
    await installImageLibcs(cluster.client);
    await cluster.client.request({
      method: 'PATCH',
      path: `${CRD_PATH}/imagelibcs.libc-dns.dev`,
      contentType: 'application/json-patch+json',
      body: [{ op: 'remove', path: INDEX }],
    });
  });
  afterAll(async () => {
    await cluster?.client.request({ method: 'DELETE', path: `${CRD_PATH}/imagelibcs.libc-dns.dev` });
    await cluster?.stop();
  });

  it('refuses a verdict that has a newer field; the log says which, and other verdicts are written', async () => {
    const { report, ...store } = openStore(cluster.client);
    let puts = 0;
    // The API server needs a while for the change.
    const refused = (): unknown[] => {
      store.put(keyOf(`index:${(puts += 1)}`), { ...foundMusl(Date.now()), named: digestOf('e') });
      return report.lines.map(({ message, fields }) => [message, fields['error']]);
    };
    const told = expect.stringContaining('.spec.detection.indexDigest: field not declared in schema') as string;
    await expect.poll(refused, { timeout: 15_000 }).toContainEqual(['an ImageLibc was not written', told]);
    store.put(keyOf('app:1'), foundMusl(Date.now()));
    const images = async (): Promise<unknown[]> => {
      const { items } = await cluster.client.request<{ items: { spec: { image: string } }[] }>({ path: LIBCS_PATH });
      return items.map(({ spec }) => spec.image);
    };
    await expect.poll(images).toContain('docker.io/library/app:1');
    await store.close();
  });
});
