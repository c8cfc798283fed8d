import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import type { KubeObject } from '../../src/kubernetes/objects.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { install, isReady, NAME, NAMESPACE, type Installation } from '../support/installation.ts';
import { layer } from '../support/layer-builder.ts';
import { createPod, optionsOf } from '../support/pods.ts';
import { startRegistry, type RegistryServer } from '../support/registry-server.ts';
import { answerOf, podReview } from '../support/reviews.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import type { LogLine, WebhookProcess } from '../support/webhook-process.ts';

const SHOP = ownName('shop');

const RETRY = ['timeout:5', 'attempts:10'];

interface Rule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Role extends KubeObject {
  readonly rules: readonly Rule[];
}

async function metricOf({ probes }: WebhookProcess, name: string): Promise<number> {
  const text = await (await fetch(`${probes}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? 0);
}

const said = ({ lines }: WebhookProcess, message: string): boolean => lines.some(({ msg }) => msg === message);

describe.runIf(hasCluster())('a replica whose cluster fails it', () => {
  let cluster: TestCluster;
  let registry: RegistryServer;
  let installation: Installation;
  let proxy: TcpProxy;
  let reference: string;
  let count = 0;

  const fresh = (name: string): string => {
    count += 1;
    return `${name}-${count}`;
  };
  const labelled = { 'libc-dns.dev/mode': 'enforce' };
  /** A Pod of a musl image; its options as stored. */
  const answered = async (namespace = SHOP, which = reference): Promise<string[]> => {
    const spec = { containers: [{ name: 'main', image: which }] };
    return optionsOf(await createPod(cluster, namespace, { name: fresh('pod'), annotations: {}, spec }));
  };
  const newImage = (): string => {
    const program = Buffer.concat([elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }), Buffer.from(fresh('app'))]);
    const built = image({
      layers: [layer([{ path: 'app', content: program }], 'gzip')],
      config: { entrypoint: ['/app'] },
    });
    return registry.put(`team/${fresh('app')}:v1`, built);
  };
  /** Whether the replica reads images: its reader process, which the first look-up starts, may take a busy machine longer than a Pod waits. */
  const reads = async (replica: WebhookProcess): Promise<string | undefined> => {
    const spec = { containers: [{ name: 'main', image: newImage() }] };
    const review = podReview({
      metadata: { namespace: SHOP },
      spec,
      request: { namespace: SHOP },
    });
    return answerOf(await replica.post(JSON.stringify(review), { rejectUnauthorized: false })).audit.decision.resolvers[
      'main'
    ];
  };
  /** The replica that answers from now on, with a proxy between it and the API server. */
  const replace = async (): Promise<WebhookProcess> => {
    const replica = await installation.addReplica({ server: proxy.url });
    for (const old of installation.replicas.filter((one) => one !== replica)) await installation.removeReplica(old);
    for (let tries = 0; (await reads(replica)) !== 'musl'; tries += 1) {
      if (tries === 20) throw new Error('a new replica reads no image');
    }
    return replica;
  };
  /** Takes verbs on a resource out of a role for a while. */
  const without = async (
    kind: string,
    resource: string,
    verbs: readonly string[],
    run: () => Promise<void>,
  ): Promise<void> => {
    const where = kind === 'role' ? ['-n', NAMESPACE] : [];
    const role = JSON.parse(await cluster.kubectl(['get', kind, NAME, ...where, '-o', 'json'])) as Role;
    const rules = role.rules.map((rule) =>
      rule.resources.includes(resource) ? { ...rule, verbs: rule.verbs.filter((verb) => !verbs.includes(verb)) } : rule,
    );
    const patch = (to: readonly Rule[]): Promise<string> => {
      const some = to.filter((rule) => rule.verbs.length > 0);
      return cluster.kubectl(['patch', kind, NAME, ...where, '--type=merge', '-p', JSON.stringify({ rules: some })]);
    };
    await patch(rules);
    try {
      await run();
    } finally {
      await patch(role.rules);
    }
  };

  beforeAll(async () => {
    [cluster, registry] = await Promise.all([startCluster(), startRegistry()]);
    proxy = await startTcpProxy(cluster.server);
    installation = await install(cluster, {
      settings: { DETECTION_REGISTRY_INSECURE: registry.host, DETECTION_CACHE_STORE: 'cluster' },
    });
    await cluster.createNamespace(SHOP, labelled);
    reference = newImage();
    expect(await replace().then(() => answered())).toEqual(RETRY);
  });
  afterEach(() => proxy.set('pass'));
  afterAll(async () => {
    await installation?.stop();
    await proxy?.close();
    await registry?.close();
    await cluster?.stop();
  });

  it('the API server is gone: known namespaces and images go on, new namespaces are left alone, and it comes back', async () => {
    const replica = await replace();
    expect(await answered()).toEqual(RETRY);
    proxy.set('refuse');
    const lost = 'the namespaces cannot be watched; each new one is read by itself';
    await expect.poll(() => said(replica, lost), { timeout: 15_000 }).toBe(true);
    expect(await metricOf(replica, 'libc_dns_api_failures_total{use="namespaces",code="unreachable"}')).toBeGreaterThan(
      0,
    );
    expect(await answered()).toEqual(RETRY);
    expect(await answered(SHOP, newImage())).toEqual(RETRY);

    const later = fresh('later');
    await cluster.createNamespace(later, labelled);
    expect(await answered(later)).toEqual([]);
    await expect
      .poll(() => replica.lines.find((line) => line['namespace'] === later))
      .toMatchObject({ level: 'warn', reason: 'NamespaceUnknown', patched: false });

    proxy.set('pass');
    await expect.poll(() => said(replica, `over: ${lost}`), { timeout: 60_000 }).toBe(true);
    expect(await answered(later)).toEqual(RETRY);
  });

  it('the API server hangs: Pods are answered within their budget', async () => {
    const replica = await replace();
    expect(await answered()).toEqual(RETRY);
    proxy.set('hang');
    expect(await answered()).toEqual(RETRY);
    expect(await answered(SHOP, newImage())).toEqual(RETRY);
    const later = fresh('later');
    await cluster.createNamespace(later, labelled);
    expect(await answered(later)).toEqual([]);
    await expect
      .poll(() => replica.lines.find((line) => line['namespace'] === later))
      .toMatchObject({ reason: 'NamespaceUnknown' });
    proxy.set('pass');
    await expect.poll(() => answered(later), { timeout: 60_000, interval: 1000 }).toEqual(RETRY);
  });

  it('a slow API server slows no Pod down that it is not needed for', async () => {
    proxy.set(300);
    await replace();
    expect(await answered()).toEqual(RETRY);
    expect(await answered(SHOP, newImage())).toEqual(RETRY);
  });

  it.each([
    ['namespaces', ['list', 'watch'], 'namespaces', 'the namespaces cannot be watched; each new one is read by itself'],
    ['namespaces', ['watch'], 'namespaces', 'the namespaces cannot be watched; each new one is read by itself'],
    [
      'imagelibcs',
      ['list', 'watch'],
      'imagelibcs',
      'the ImageLibcs cannot be watched: verdicts stay in the memory of each replica',
    ],
    [
      'imagelibcs',
      ['watch'],
      'imagelibcs',
      'the ImageLibcs cannot be watched: verdicts stay in the memory of each replica',
    ],
  ])('%s without %s: said, counted, and Pods are answered', async (resource, verbs, use, message) => {
    await without('clusterrole', resource, verbs, async () => {
      const replica = await replace();
      await expect.poll(() => said(replica, message), { timeout: 15_000 }).toBe(true);
      const line = replica.lines.find(({ msg }) => msg === message);
      expect(line).toMatchObject({
        level: 'warn',
        code: 'forbidden',
        error: expect.stringContaining(`cannot ${verbs[0]} resource "${resource}"`) as string,
      });
      expect(await metricOf(replica, `libc_dns_api_failures_total{use="${use}",code="forbidden"}`)).toBeGreaterThan(0);
      expect(await answered()).toEqual(RETRY);
      expect(await answered(SHOP, newImage())).toEqual(RETRY);
    });
  });

  it('verdicts cannot be written: said, counted, kept in memory', async () => {
    await without('clusterrole', 'imagelibcs', ['patch'], async () => {
      const replica = await replace();
      expect(await answered(SHOP, newImage())).toEqual(RETRY);
      await expect
        .poll(() => said(replica, 'verdicts cannot be written to ImageLibcs'), { timeout: 15_000 })
        .toBe(true);
      expect(await metricOf(replica, 'libc_dns_store_writes_total{kind="verdict",result="forbidden"}')).toBeGreaterThan(
        0,
      );
    });
  });

  it('the CRD is not installed: said, counted, and used once it is', async () => {
    const crd = await cluster.kubectl(['get', 'crd', 'imagelibcs.libc-dns.dev', '-o', 'json']);
    await cluster.kubectl(['delete', 'crd', 'imagelibcs.libc-dns.dev']);
    const replica = await replace();
    const message = 'the ImageLibcs cannot be watched: verdicts stay in the memory of each replica';
    await expect.poll(() => said(replica, message), { timeout: 15_000 }).toBe(true);
    expect(replica.lines.find(({ msg }) => msg === message)).toMatchObject({ code: 'not-found' });
    const reference2 = newImage();
    expect(await answered(SHOP, reference2)).toEqual(RETRY);
    const { metadata, spec, ...rest } = JSON.parse(crd) as KubeObject & { spec: object };
    await cluster.apply({
      apiVersion: rest['apiVersion'],
      kind: rest['kind'],
      metadata: { name: metadata.name },
      spec,
    });
    const stored = (): Promise<string> =>
      cluster.kubectl(['get', 'imagelibcs', '-o', 'jsonpath={.items[*].spec.image}']);
    await expect.poll(stored, { timeout: 60_000 }).toContain(reference2);
  });

  it('the Secret of the CA is deleted: it is written back, and no Pod notices', async () => {
    const replica = await replace();
    const before = await cluster.kubectl(['get', 'secret', '-n', NAMESPACE, `${NAME}-ca`, '-o', 'jsonpath={.data}']);
    await cluster.kubectl(['delete', 'secret', '-n', NAMESPACE, `${NAME}-ca`]);
    const again = (): Promise<string> =>
      cluster.kubectl(['get', 'secret', '-n', NAMESPACE, `${NAME}-ca`, '--ignore-not-found', '-o', 'jsonpath={.data}']);
    await expect.poll(again, { timeout: 30_000 }).toBe(before);
    expect(replica.lines.some(({ msg }) => msg === 'this replica has changed the shared CA')).toBe(true);
    expect(await metricOf(replica, 'libc_dns_ca_changes_total{change="restore"}')).toBe(1);
    expect(await answered()).toEqual(RETRY);
  });

  it('the CA is edited by hand into nonsense: said, and Pods are answered', async () => {
    const replica = await replace();
    const patch = JSON.stringify({ stringData: { 'current.crt': 'nonsense' } });
    await cluster.kubectl(['patch', 'secret', '-n', NAMESPACE, `${NAME}-ca`, '--type=merge', '-p', patch]);
    const told = (): LogLine | undefined => replica.lines.find((line) => line['change'] === 'restore');
    await expect.poll(told, { timeout: 30_000 }).toMatchObject({
      msg: 'this replica has changed the shared CA',
      why: expect.stringContaining('current: no PEM certificate') as string,
    });
    expect(await metricOf(replica, 'libc_dns_ca_changes_total{change="restore"}')).toBe(1);
    expect(await answered()).toEqual(RETRY);
    expect(await metricOf(replica, 'libc_dns_certificate_trusted')).toBe(1);
  });

  it('the caBundle is overwritten: it is put right', async () => {
    const replica = await replace();
    const patch = JSON.stringify([
      { op: 'replace', path: '/webhooks/0/clientConfig/caBundle', value: btoa('nonsense') },
    ]);
    await cluster.kubectl(['patch', 'mutatingwebhookconfiguration', NAME, '--type=json', '-p', patch]).catch(() => '');
    await expect.poll(() => answered(), { timeout: 30_000 }).toEqual(RETRY);
    expect(await metricOf(replica, 'libc_dns_certificate_trusted')).toBe(1);
  });

  it('the registration cannot be written: readiness says that the certificate is not trusted, until it can', async () => {
    const replica = await replace();
    await without('clusterrole', 'mutatingwebhookconfigurations', ['patch'], async () => {
      const remove = [0, 1].map((index) => ({ op: 'remove', path: `/webhooks/${index}/clientConfig/caBundle` }));
      await cluster.kubectl([
        'patch',
        'mutatingwebhookconfiguration',
        NAME,
        '--type=json',
        '-p',
        JSON.stringify(remove),
      ]);
      await expect.poll(() => isReady(replica), { timeout: 15_000 }).toMatch(/^not ready: .*caBundle/);
      expect(await metricOf(replica, 'libc_dns_certificate_trusted')).toBe(0);
      const lost = 'the registration cannot be written';
      await expect.poll(() => said(replica, lost), { timeout: 15_000 }).toBe(true);
      expect(
        await metricOf(replica, 'libc_dns_api_failures_total{use="certificates",code="forbidden"}'),
      ).toBeGreaterThan(0);
      // Not patched, and admitted: failurePolicy Ignore.
      expect(await answered()).toEqual([]);
    });
    await expect.poll(() => isReady(replica), { timeout: 90_000 }).toBe('ok');
    expect(await answered()).toEqual(RETRY);
  });
});
