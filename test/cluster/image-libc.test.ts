import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { DETECTOR_VERSION } from '../../src/detection/detector.ts';
import { imageLibcName } from '../../src/image-libc/object.ts';
import { createKubeClient, type KubeClient } from '../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import type { KubeObject } from '../../src/kubernetes/objects.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import {
  CRD_PATH,
  digestOf,
  foundMusl,
  installImageLibcs,
  keyOf,
  LIBCS_PATH,
  memoryIsNew,
  openStore,
  queryOf,
  runOf,
  type WatchedStore,
} from '../support/image-libc.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { detectorFor, FakeRegistry, noDeadline, request, sleep } from '../unit/detection/support.ts';

const HOUR = 3_600_000;

const libc = (name: string, spec: object) => ({
  apiVersion: 'libc-dns.dev/v1alpha1',
  kind: 'ImageLibc',
  metadata: { name },
  spec,
});

const UNREAD = 'the ImageLibcs cannot be watched: verdicts stay in the memory of each replica';
const UNWRITTEN = 'verdicts cannot be written to ImageLibcs';

/** Writes that the API server took, as they are counted. */
const written = ({ report }: WatchedStore): unknown[] =>
  report.of('cluster.stored').flatMap(([kind, result]) => (result === 'written' ? [kind] : []));

/** Failures of the store as a whole, as they are logged. */
const failures = ({ report }: WatchedStore): string[] =>
  report.lines.flatMap(({ message, fields }) => ('code' in fields ? [`${message}: ${String(fields['code'])}`] : []));

/** The ends of failures. */
const recoveries = ({ report }: WatchedStore): string[] =>
  report.messages('info').filter((message) => message.startsWith('over: '));

describe.runIf(hasCluster())('ImageLibc on a real API server', () => {
  let cluster: TestCluster;
  const open: WatchedStore[] = [];
  const storeOf = async (client: KubeClient = cluster.client, change: Parameters<typeof openStore>[1] = {}) => {
    const store = openStore(client, change);
    open.push(store);
    await store.ready;
    return store;
  };
  const objects = async (): Promise<KubeObject[]> => {
    const { items } = await cluster.client.request<{ items: KubeObject[] }>({ path: LIBCS_PATH });
    return items;
  };

  beforeAll(async () => {
    cluster = await startCluster();
    await installImageLibcs(cluster.client);
  });
  afterAll(async () => await cluster?.stop());
  afterEach(async () => {
    await Promise.all(open.splice(0).map((store) => store.close()));
    await cluster.client.request({ method: 'DELETE', path: LIBCS_PATH });
  });

  const valid = {
    image: 'docker.io/library/nginx:1.29-alpine',
    platform: 'linux/amd64',
    resolver: 'musl',
    libc: 'musl',
    evidence: { source: 'executable', detail: 'x', confidencePercent: 99 },
    detection: {
      digest: digestOf('a'),
      run: runOf('r'),
      detectorVersion: DETECTOR_VERSION,
      seenAt: '2026-01-01T00:00:00Z',
    },
  };
  const { detection } = valid;
  const quarantine = {
    ends: 2,
    cause: 'memory',
    seenAt: '2026-01-01T00:00:00Z',
    until: '2026-01-01T00:02:00Z',
    message: 'x',
  };
  const quarantined = {
    image: 'nginx',
    platform: 'linux/amd64',
    resolver: 'unknown',
    evidence: { source: 'quarantine' },
    quarantine,
  };

  it.each<[string, object, RegExp]>([
    ['no image', { resolver: 'musl' }, /spec\.image: Required/],
    ['no resolver', { image: 'nginx' }, /spec\.resolver: Required/],
    ['a strange resolver', { image: 'nginx', resolver: 'nss' }, /spec\.resolver: Unsupported value/],
    [
      'an unknown resolver',
      { image: 'nginx', resolver: 'unknown' },
      /spec\.quarantine, which the webhook writes, goes/,
    ],
    ['a quarantine with a resolver', { ...quarantined, resolver: 'musl' }, /spec\.quarantine, which the webhook/],
    ['a quarantine that says declared', { ...quarantined, evidence: undefined }, /spec\.quarantine, which the webhook/],
    [
      'a quarantine without a platform',
      { ...quarantined, platform: undefined },
      /spec\.quarantine needs spec\.platform/,
    ],
    [
      'a quarantine for another cause',
      { ...quarantined, quarantine: { ...quarantine, cause: 'x' } },
      /cause: Unsupported/,
    ],
    ['an image with a blank', { image: 'nginx latest', resolver: 'musl' }, /spec\.image: Invalid value/],
    ['an image with half a digest', { image: 'nginx@sha256:abc', resolver: 'musl' }, /spec\.image: Invalid value/],
    ['an endless image', { image: 'a'.repeat(1025), resolver: 'musl' }, /spec\.image: Too long/],
    ['a platform that is none', { ...valid, platform: 'amd64' }, /spec\.platform/],
    ['two libcs', { image: 'nginx', resolver: 'musl', libc: 'glibc' }, /that of the libc/],
    ['a detection that says declared', { ...valid, evidence: { source: 'declared' } }, /spec\.detection belongs/],
    ['evidence without a detection', { ...valid, detection: undefined }, /spec\.detection belongs/],
    ['a detection without a platform', { ...valid, platform: undefined }, /needs spec\.platform/],
    ['a detection without a digest', { ...valid, detection: { ...detection, digest: undefined } }, /digest: Required/],
    ['half an index', { ...valid, detection: { ...detection, indexDigest: 'sha256:abc' } }, /indexDigest: Invalid/],
    ['a run that is no hash', { ...valid, detection: { ...detection, run: 'sh -c x' } }, /detection\.run: Invalid/],
    ['a time that is none', { ...valid, detection: { ...detection, seenAt: 'yesterday' } }, /seenAt: Invalid/],
    ['more than certainty', { ...valid, evidence: { ...valid.evidence, confidencePercent: 101 } }, /confidencePercent/],
    ['a long story', { ...valid, evidence: { ...valid.evidence, detail: 'x'.repeat(1025) } }, /detail: Too long/],
  ])('is refused with %s', async (_, spec, message) => {
    const body = libc('wrong', spec);
    await expect(cluster.client.request({ method: 'POST', path: LIBCS_PATH, body })).rejects.toThrow(message);
  });

  it('shows what is known by its short name, and what people declare', async () => {
    const store = await storeOf();
    store.put(keyOf('nginx:1.29-alpine'), foundMusl(Date.now()));
    await expect.poll(() => store.stats().detected).toBe(1);
    await cluster.kubectl(['apply', '-f', '-'], JSON.stringify(libc('by-hand', { image: 'app', resolver: 'go' })));
    const [head, ...rows] = (await cluster.kubectl(['get', 'ilibc'])).trim().split('\n');
    expect(head?.split(/\s{2,}/u)).toEqual(['NAME', 'IMAGE', 'RESOLVER', 'LIBC', 'EVIDENCE', 'QUARANTINE', 'AGE']);
    const cells = rows.map((row) => row.split(/\s{2,}/u).slice(1, 5));
    expect(cells).toContainEqual(['docker.io/library/nginx:1.29-alpine', 'musl', 'musl', 'executable']);
    expect(cells).toContainEqual(['app', 'go', 'declared', expect.stringMatching(/^\d+s$/u)]);
    const wide = await cluster.kubectl(['get', 'ilibc', '-o', 'wide']);
    expect(wide).toMatch(/PLATFORM.*CONFIDENCE.*EXECUTABLE.*DIGEST.*LAST USED/u);
    expect(wide).toContain(digestOf('a'));
  });

  it('spares other replicas and restarted ones every request', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1', { digest: digestOf('b') });
    const first = await storeOf();
    const second = await storeOf();
    await detectorFor(registry, { store: first }).detect(request('app:1'), noDeadline);
    await expect.poll(() => second.stats().detected).toBe(1);
    const detection2 = await detectorFor(registry, { store: second }).detect(request('app:1'), noDeadline);
    expect(detection2).toMatchObject({ from: 'store', verdict: { resolver: 'musl' }, meter: { requests: 0 } });
    await Promise.all([first.close(), second.close()]);

    const restarted = await storeOf();
    const detector = detectorFor(registry, { store: restarted });
    for (let pods = 0; pods < 3; pods += 1) await detector.detect(request('app:1'), noDeadline);
    await detector.close();
    expect([registry.manifestsOf.length, registry.inspectionsOf.length]).toEqual([1, 1]);
    expect(await objects()).toHaveLength(1);
  });

  it('keeps what was found right before the end', async () => {
    const store = await storeOf();
    for (let count = 0; count < 20; count += 1) store.put(keyOf(`app:${count}`), foundMusl(Date.now()));
    await store.close();
    expect(await objects()).toHaveLength(20);
  });

  it('is not written for rehearsals', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1', { digest: digestOf('b') });
    const store = await storeOf();
    const detector = detectorFor(registry, { store });
    await detector.detect(request('app:1', { dryRun: true }), noDeadline);
    await store.close();
    expect(await objects()).toEqual([]);
  });

  it('declared by hand comes before what was found, at once, until it goes', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1', { digest: digestOf('b') });
    const store = await storeOf();
    const detector = detectorFor(registry, { store });
    const evidence = async () => {
      const { verdict } = await detector.detect(request('app:1'), noDeadline);
      return `${verdict.resolver}: ${verdict.evidence.detail}`;
    };
    expect(await evidence()).toMatch(/^musl/u);
    const byHand = JSON.stringify(libc('by-hand', { image: 'app:1', resolver: 'glibc' }));
    await cluster.kubectl(['create', '-f', '-'], byHand);
    await expect.poll(evidence).toBe('glibc: declared in ImageLibc by-hand by kubectl-create');
    await cluster.kubectl(['patch', 'ilibc', 'by-hand', '--type=merge', '-p', '{"spec":{"resolver":"go"}}']);
    await expect.poll(evidence).toMatch(/^go/u);
    await cluster.kubectl(['delete', 'ilibc', 'by-hand']);
    await expect.poll(evidence).toMatch(/^musl/u);
  });

  it('that a person edits says what that person says, and is left alone', async () => {
    const store = await storeOf();
    const key = keyOf('app:1');
    const name = imageLibcName(key);
    store.put(key, foundMusl(Date.now() - HOUR));
    await expect.poll(() => written(store)).toHaveLength(1);
    await expect.poll(() => store.get(queryOf('app:1'))).toBeDefined();
    const patch = '{"spec":{"resolver":"glibc","libc":"glibc"}}';
    await cluster.kubectl(['patch', 'ilibc', name, '--type=merge', '-p', patch]);
    await expect.poll(() => store.declared(queryOf('app:1'))?.evidence.detail).toMatch(/by kubectl-patch$/u);
    expect(store.declared(queryOf('app:1'))?.resolver).toBe('glibc');
    // It was one command line's.
    expect(store.declared(queryOf('app:1', 's'))).toBeUndefined();
    store.put(key, foundMusl(Date.now(), { digest: digestOf('c') }));
    await sleep(100);
    expect(written(store)).toHaveLength(1);
  });

  it('that somebody else owns stays theirs: conflicts are told and harm nothing', async () => {
    const key = keyOf('app:1');
    const name = imageLibcName(key);
    const theirs = libc(name, { ...valid, image: key.image, evidence: { ...valid.evidence, confidencePercent: 40 } });
    await cluster.client.request({ method: 'POST', path: LIBCS_PATH, query: { fieldManager: 'velero' }, body: theirs });
    await memoryIsNew(cluster.client);
    const store = await storeOf();
    expect(store.get(queryOf('app:1'))?.inspection.verdict.evidence.confidence).toBe(0.4);
    store.put(key, foundMusl(Date.now()));
    await expect.poll(() => store.report.of('cluster.stored')).toEqual([['verdict', 'conflict']]);
    const [object] = await objects();
    expect(object).toMatchObject({ metadata: { name }, spec: { evidence: { confidencePercent: 40 } } });
    store.put(keyOf('app:2'), foundMusl(Date.now()));
    await expect.poll(() => store.stats().detected).toBe(2);
    // Theirs wins, as it should.
    expect(store.report.messages('warn')).toEqual([]);
  });

  it('is written again for what is news alone', async () => {
    const store = await storeOf();
    const key = keyOf('app:1');
    const now = Date.now();
    store.put(key, foundMusl(now - HOUR));
    await expect.poll(() => written(store)).toHaveLength(1);
    await expect.poll(() => store.get(queryOf('app:1'))).toBeDefined();
    // The tag was checked again, and has not moved.
    for (let pods = 0; pods < 10; pods += 1) store.put(key, foundMusl(now));
    await sleep(100);
    expect(written(store)).toHaveLength(1);
    // It was not used for long: status alone.
    const old = keyOf('app:2');
    store.put(old, foundMusl(now - 25 * HOUR));
    await expect.poll(() => store.get(queryOf('app:2'))).toBeDefined();
    store.put(old, foundMusl(now));
    await expect.poll(() => written(store)).toEqual(['verdict', 'verdict', 'use']);
    await expect.poll(() => store.get(queryOf('app:2'))?.checkedAt).toBeGreaterThanOrEqual(now - 1000);
    const metadata = { name: imageLibcName(old), generation: 1 };
    expect(await objects()).toContainEqual(expect.objectContaining({ metadata: expect.objectContaining(metadata) }));
    // Its index is news, too, and takes the place of a use.
    const multi = keyOf('app:3');
    store.put(multi, foundMusl(now - 25 * HOUR));
    await expect.poll(() => store.get(queryOf('app:3'))).toBeDefined();
    store.put(multi, { ...foundMusl(now), named: digestOf('c') });
    await expect.poll(() => store.get(queryOf('app:3'))?.named).toBe(digestOf('c'));
    expect(written(store)).toEqual(['verdict', 'verdict', 'use', 'verdict', 'use']);
    store.put(multi, { ...foundMusl(now), named: digestOf('c') });
    // The tag has moved.
    store.put(key, foundMusl(now + 2000, { digest: digestOf('d') }));
    await expect.poll(() => store.get(queryOf('app:1'))?.inspection.digest).toBe(digestOf('d'));
  });

  it('goes when nobody has used it for long; what is declared stays', async () => {
    const store = await storeOf();
    store.put(keyOf('old:1'), foundMusl(Date.now() - 31 * 24 * HOUR));
    store.put(keyOf('new:1'), foundMusl(Date.now()));
    await cluster.kubectl(['create', '-f', '-'], JSON.stringify(libc('by-hand', { image: 'app', resolver: 'go' })));
    await expect.poll(() => store.stats()).toMatchObject({ detected: 2, declared: 1 });
    const sweepers = await Promise.all([1, 2].map(() => storeOf(cluster.client, { sweepMs: 100 })));
    await expect.poll(() => store.stats()).toMatchObject({ detected: 1, declared: 1 });
    expect(store.get(queryOf('new:1'))).toBeDefined();
    expect(sweepers.flatMap(failures)).toEqual([]);
  });

  it('makes room for new ones when there are too many', async () => {
    const store = await storeOf(cluster.client, { most: 10, sweepMs: 1500 });
    const ages = Array.from({ length: 12 }, (_, index) => index);
    for (const age of ages) store.put(keyOf(`app:${age}`), foundMusl(Date.now() - age * HOUR));
    await expect.poll(() => store.stats().detected).toBe(10);
    await expect.poll(() => store.stats().detected).toBe(9);
    expect(store.get(queryOf('app:0'))).toBeDefined();
    expect(store.get(queryOf('app:9'))).toBeUndefined();
  });

  it('holds 16 command lines of an image at most', async () => {
    const store = await storeOf();
    const lines = 'abcdefghijklmnopqrstuvwxyz';
    for (const line of lines) store.put(keyOf('job:1', line), foundMusl(Date.now()));
    await sleep(500);
    expect(await objects()).toHaveLength(16);
  });

  it('of older rules answers, and is replaced once', async () => {
    const registry = new FakeRegistry();
    registry.add('app:1', { digest: digestOf('b'), resolver: 'glibc' });
    const before = await storeOf();
    const detector = detectorFor(registry, { store: before });
    await detector.detect(request('app:1'), noDeadline);
    await before.close();
    const [object] = await objects();
    const name = object?.metadata.name ?? '';
    const spec = object?.['spec'] as typeof valid;
    const old = { resolver: 'musl', libc: 'musl', detection: { ...spec.detection, detectorVersion: 0 } };
    // As an older version of ourselves would have written it.
    await cluster.client.request({
      method: 'PATCH',
      path: `${LIBCS_PATH}/${name}`,
      query: { fieldManager: 'libc-dns-webhook', force: true },
      contentType: 'application/apply-patch+yaml',
      body: libc(name, { ...spec, ...old }),
    });
    await memoryIsNew(cluster.client);

    const store = await storeOf();
    const next = detectorFor(registry, { store });
    expect((await next.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('musl');
    await expect.poll(async () => (await next.detect(request('app:1'), noDeadline)).verdict.resolver).toBe('glibc');
    await expect.poll(() => written(store)).toContain('verdict');
    await sleep(100);
    expect(registry.inspectionsOf).toHaveLength(2);
    expect(written(store).filter((kind) => kind === 'verdict')).toHaveLength(1);
    expect(await objects()).toMatchObject([{ metadata: { name }, spec: { resolver: 'glibc' } }]);
    await next.close();
  });

  describe('where something is missing', () => {
    /** A client of a service account that may do `verbs` with ImageLibcs. */
    const clientWith = async (what: string, verbs: readonly string[]) => {
      const name = ownName(what);
      await cluster.createNamespace(name);
      const resources = ['imagelibcs', 'imagelibcs/status'];
      await cluster.apply(
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRole',
          metadata: { name },
          rules: [{ apiGroups: ['libc-dns.dev'], resources, verbs }],
        },
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRoleBinding',
          metadata: { name },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
          subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: name }],
        },
      );
      const file = await cluster.kubeconfigOf(name, 'default');
      return createKubeClient(kubeConfigTransport({ files: [file], userAgent: 'test' }));
    };
    const grant = async (name: string, verbs: string) =>
      await cluster.kubectl([
        'patch',
        'clusterrole',
        ownName(name),
        '--type=json',
        '-p',
        `[{"op":"add","path":"/rules/0/verbs/-","value":"${verbs}"}]`,
      ]);

    it('without leave to list and watch, memory answers; all is well once it is given', async () => {
      const registry = new FakeRegistry();
      registry.add('app:1', { digest: digestOf('b') });
      const client = await clientWith('no-list', ['patch', 'create']);
      const store = await storeOf(client);
      expect(failures(store)).toContain(`${UNREAD}: forbidden`);
      const detector = detectorFor(registry, { store });
      const answers = [
        await detector.detect(request('app:1'), noDeadline),
        await detector.detect(request('app:1'), noDeadline),
      ];
      expect(answers.map(({ from }) => from)).toEqual(['registry', 'memory']);
      expect(await objects()).toEqual([]);
      for (const verb of ['list', 'watch']) await grant('no-list', verb);
      await expect.poll(() => recoveries(store)).toContain(`over: ${UNREAD}`);
      await expect.poll(() => store.stats().detected).toBe(1);
      await detector.close();
    });

    it('without leave to write, what others wrote is read; what was found is written once it may', async () => {
      const client = await clientWith('no-patch', ['list', 'watch', 'create']);
      const store = await storeOf(client);
      store.put(keyOf('app:1'), foundMusl(Date.now()));
      await expect.poll(() => failures(store)).toContain(`${UNWRITTEN}: forbidden`);
      const other = await storeOf();
      other.put(keyOf('app:2'), foundMusl(Date.now()));
      await expect.poll(() => store.get(queryOf('app:2'))).toBeDefined();
      expect(failures(store)).toHaveLength(1);
      await grant('no-patch', 'patch');
      await expect.poll(() => store.get(queryOf('app:1')), { timeout: 5000 }).toBeDefined();
      await expect.poll(() => recoveries(store)).toContain(`over: ${UNWRITTEN}`);
    });

    it('without leave to watch, what the first list told answers, and writing goes on', async () => {
      const other = await storeOf();
      other.put(keyOf('app:1'), foundMusl(Date.now()));
      await expect.poll(() => other.stats().detected).toBe(1);
      const client = await clientWith('no-watch', ['list', 'create', 'patch']);
      const store = await storeOf(client);
      await expect.poll(() => failures(store)).toContain(`${UNREAD}: forbidden`);
      expect(store.get(queryOf('app:1'))).toBeDefined();
      store.put(keyOf('app:2'), foundMusl(Date.now()));
      await expect.poll(() => other.get(queryOf('app:2'))).toBeDefined();
    });

    it('without leave to delete, all else goes on', async () => {
      const client = await clientWith('no-delete', ['list', 'watch', 'create', 'patch']);
      const store = await storeOf(client, { sweepMs: 100, expireMs: HOUR });
      store.put(keyOf('old:1'), foundMusl(Date.now() - 2 * HOUR));
      await expect.poll(() => failures(store)).toContain('unused ImageLibcs cannot be deleted: forbidden');
      store.put(keyOf('app:1'), foundMusl(Date.now()));
      await expect.poll(() => store.get(queryOf('app:1'))).toBeDefined();
    });

    it('with an API server that is gone or hangs, what was known answers, and closing takes no longer', async () => {
      const proxy = await startTcpProxy(cluster.server);
      await cluster.createNamespace(ownName('proxied'));
      await cluster.kubectl([
        'create',
        'clusterrolebinding',
        ownName('proxied'),
        '--clusterrole=cluster-admin',
        `--serviceaccount=${ownName('proxied')}:default`,
      ]);
      const file = await cluster.kubeconfigOf(ownName('proxied'), 'default', proxy.url);
      const client = createKubeClient(kubeConfigTransport({ files: [file], userAgent: 'test' }));
      const store = await storeOf(client);
      store.put(keyOf('app:1'), foundMusl(Date.now()));
      await expect.poll(() => store.get(queryOf('app:1'))).toBeDefined();
      proxy.set('refuse');
      await expect.poll(() => failures(store)).toContain(`${UNREAD}: unreachable`);
      expect(store.get(queryOf('app:1'))).toBeDefined();
      store.put(keyOf('app:2'), foundMusl(Date.now()));
      await expect.poll(() => failures(store)).toContain(`${UNWRITTEN}: unreachable`);
      proxy.set('pass');
      await expect.poll(() => store.get(queryOf('app:2')), { timeout: 5000 }).toBeDefined();
      await expect.poll(() => recoveries(store)).toContain(`over: ${UNREAD}`);
      proxy.set('hang');
      store.put(keyOf('app:3'), foundMusl(Date.now()));
      await store.close();
      await client.close();
      await proxy.close();
    });

    it('with the resource removed and installed again while it runs', async () => {
      const store = await storeOf();
      store.put(keyOf('app:1'), foundMusl(Date.now()));
      await expect.poll(() => store.stats().detected).toBe(1);
      await cluster.client.request({ method: 'DELETE', path: `${CRD_PATH}/imagelibcs.libc-dns.dev` });
      await expect.poll(() => failures(store), { timeout: 15_000 }).toContain(`${UNREAD}: not-found`);
      expect(store.stats().detected).toBe(0);
      store.put(keyOf('app:2'), foundMusl(Date.now()));
      await expect.poll(() => failures(store)).toContain(`${UNWRITTEN}: not-found`);
      // A replica that starts now is ready all the same.
      const late = await storeOf();
      expect(failures(late)).toContain(`${UNREAD}: not-found`);
      await installImageLibcs(cluster.client);
      for (const each of [store, late]) {
        await expect.poll(() => each.get(queryOf('app:2')), { timeout: 15_000 }).toBeDefined();
        await expect.poll(() => recoveries(each)).toContain(`over: ${UNREAD}`);
      }
    });
  });
});
