import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from 'vitest';

import { createEvaluator } from '../../../src/admission/evaluate.ts';
import { createMutate } from '../../../src/admission/mutate.ts';
import { createNamespaces, type NamespacesOptions } from '../../../src/cluster/namespaces.ts';
import { MODE_LABEL } from '../../../src/policy/scope.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { everyLine } from '../../support/every-line.ts';
import { facts, policy } from '../../support/policy.ts';
import { recordingReporter } from '../../support/recording-reporter.ts';
import { fixture } from '../../support/reviews.ts';
import { type Asked, isStream, startSmallApi, status } from '../kubernetes/small-api.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const object = (name: string, mode?: string, labels: object = {}) => ({
  metadata: {
    name,
    labels: { 'kubernetes.io/metadata.name': name, ...(mode !== undefined && { [MODE_LABEL]: mode }), ...labels },
  },
});

const ECI = { 'alibabacloud.com/eci': 'true' };

type Answer = (asked: Asked) => void;

interface Answers {
  /** The list as events; refused unless given, as by Kubernetes before 1.32. */
  stream?: Answer;
  list?: Answer;
  watch?: Answer;
  /** Of one namespace. */
  get?: Answer;
}

const missing: Answer = ({ send }) => send(status(404, 'namespaces not found'), 404);
const forbidden: Answer = ({ send }) => send(status(403, 'forbidden'), 403);
const unheardOf: Answer = ({ send }) => send(status(422, 'sendInitialEvents is forbidden for watch'), 422);
const silent: Answer = () => {};
const listed =
  (...items: object[]): Answer =>
  ({ send }) =>
    send({ metadata: { resourceVersion: '5' }, items });

const UNWATCHED = 'the namespaces cannot be watched; each new one is read by itself';

async function start(
  { stream = unheardOf, list = listed(), watch = ({ open }) => open(), get = missing }: Answers,
  change: Partial<NamespacesOptions> = {},
) {
  const answers = { stream, list, watch, get };
  const api = await startSmallApi((asked) => {
    if (asked.path !== '/api/v1/namespaces') answers.get(asked);
    else if (isStream(asked)) answers.stream(asked);
    else if (asked.query.get('watch') === 'true') answers.watch(asked);
    else answers.list(asked);
  });
  closers.push(() => api.close());
  const report = recordingReporter();
  const clock = { time: 1_000_000, now: () => clock.time };
  const namespaces = createNamespaces({
    client: api.client,
    clock,
    reporter: report.reporter,
    backoff: { first: 10, most: 100 },
    ...change,
  });
  closers.push(() => namespaces.close());
  const gets = (): string[] => api.asked.map(({ path }) => path).filter((path) => path !== '/api/v1/namespaces');
  /** Codes of reads of one namespace that failed. */
  const failedReads = (): unknown[] =>
    report.of('cluster.apiFailed').flatMap(([use, code]) => (use === 'namespace' ? [code] : []));
  return { api, answers, namespaces, report, failedReads, clock, gets };
}

describe('the copy', () => {
  it.each([
    { mode: 'enforce', labels: { [MODE_LABEL]: 'enforce' } },
    { mode: 'audit', labels: { [MODE_LABEL]: 'audit' } },
    { mode: '', labels: { [MODE_LABEL]: '' } },
    { mode: undefined, labels: {} },
  ])('has our label alone: $mode', async ({ mode, labels }) => {
    const { namespaces, gets, api } = await start({ list: listed(object('shop', mode)) });
    await namespaces.ready;
    expect(namespaces.get('shop')).toEqual({ name: 'shop', labels });
    expect(namespaces).toMatchObject({ synced: true, size: 1, contactAt: 1_000_000 });
    expect(gets()).toEqual([]);
    const list = api.asked.find(({ query }) => query.has('limit'));
    expect(list?.headers.accept).toContain('PartialObjectMetadataList');
  });

  it('has the labels that send Pods to virtual nodes, and tells when these alone change', async () => {
    const told: string[] = [];
    const { namespaces } = await start({
      list: listed(object('shop', 'enforce', ECI), object('plain', undefined, ECI)),
      watch: ({ open, event }) => {
        open();
        event('MODIFIED', object('shop', 'enforce', { ...ECI, app: 'x' }));
        event('MODIFIED', object('plain', undefined, { 'virtual-node-affinity-injection': 'enabled' }));
        event('MODIFIED', object('plain'));
      },
    });
    namespaces.onChange((name) => told.push(name));
    await namespaces.ready;
    expect(namespaces.get('shop')).toEqual({ name: 'shop', labels: { [MODE_LABEL]: 'enforce', ...ECI } });
    await expect.poll(() => told).toEqual(['shop', 'plain', 'plain', 'plain']);
    expect(namespaces.get('plain')).toEqual({ name: 'plain', labels: {} });
  });

  it('comes as events where the API server can do that', async () => {
    const { namespaces, api } = await start({
      stream: ({ open, event }) => {
        open();
        event('ADDED', object('shop', 'enforce'));
        event('BOOKMARK', { metadata: { annotations: { 'k8s.io/initial-events-end': 'true' }, resourceVersion: '5' } });
      },
    });
    await namespaces.ready;
    expect(namespaces.get('shop')).toEqual({ name: 'shop', labels: { [MODE_LABEL]: 'enforce' } });
    expect(api.asked).toHaveLength(1);
    expect(api.asked[0]?.headers.accept).toContain('PartialObjectMetadata;');
  });

  it('is looked into without a call, and tells which labels have changed', async () => {
    const told: string[] = [];
    let lists = 0;
    const { namespaces, gets } = await start({
      list: ({ send }) => {
        lists += 1;
        const items = lists === 1 ? [object('shop', 'enforce'), object('plain')] : [object('plain')];
        send({ metadata: { resourceVersion: '5' }, items });
      },
      watch: ({ open, event, send }) => {
        if (told.length > 2) {
          send(status(410, 'too old'), 410);
          return;
        }
        open();
        event('MODIFIED', object('shop', 'enforce'));
        event('MODIFIED', object('plain', 'audit'));
        event('DELETED', object('plain', 'audit'));
        event('ERROR', { code: 410 });
      },
    });
    namespaces.onChange((name) => told.push(name));
    await namespaces.ready;
    expect(told).toEqual(['shop', 'plain']);
    expect(namespaces.peek('shop')).toEqual({ name: 'shop', labels: { [MODE_LABEL]: 'enforce' } });
    expect(namespaces.peek('none')).toBeUndefined();
    await expect.poll(() => told).toEqual(['shop', 'plain', 'plain', 'plain', 'plain', 'shop']);
    expect(gets()).toEqual([]);
  });

  it('follows labels as they change', async () => {
    const { namespaces } = await start({
      list: listed(object('shop', 'enforce')),
      watch: ({ open, event }) => {
        open();
        event('MODIFIED', object('shop', 'off'));
        event('ADDED', object('late', 'audit'));
      },
    });
    await expect.poll(() => namespaces.get('late')).toEqual({ name: 'late', labels: { [MODE_LABEL]: 'audit' } });
    expect(namespaces.get('shop')).toEqual({ name: 'shop', labels: { [MODE_LABEL]: 'off' } });
  });

  it('are exported as an informer: how many, whether all, and when the API server was last heard of', async () => {
    const { namespaces, report, clock } = await start({ list: listed(object('shop', 'enforce'), object('blog')) });
    await namespaces.ready;
    const [[resource, state] = []] = report.of('cluster.informer');
    expect(resource).toBe('namespaces');
    expect((state as () => unknown)()).toEqual({ synced: true, items: 2, contactAt: clock.time });
  });

  it('is waited for by nobody who may not have it, which is said and counted until it comes', async () => {
    const { namespaces, answers, report } = await start({ list: forbidden });
    await namespaces.settled;
    expect(namespaces.synced).toBe(false);
    await expect.poll(() => report.of('cluster.apiFailed').length).toBeGreaterThan(2);
    expect(report.of('cluster.apiFailed')[0]).toEqual(['namespaces', 'forbidden']);
    expect(report.messages()).toEqual([UNWATCHED]);
    answers.list = listed();
    await expect.poll(() => report.messages()).toEqual([UNWATCHED, `over: ${UNWATCHED}`]);
  });

  it('is used on when the API server is gone', async () => {
    const { namespaces, api } = await start({ list: listed(object('shop', 'enforce')) });
    await namespaces.ready;
    api.answer = ({ response }) => void response.destroy();
    api.cut();
    await sleep(50);
    expect(namespaces.get('shop')).toEqual({ name: 'shop', labels: { [MODE_LABEL]: 'enforce' } });
    await expect(namespaces.get('other')).rejects.toMatchObject({ code: 'unreachable' });
  });
});

describe('a namespace that the copy does not have', () => {
  const shop: Answer = ({ send }) => send(object('shop', 'enforce'));

  it.each([
    { title: 'the copy is not there yet', list: silent },
    { title: 'we may not list', list: forbidden },
    { title: 'it is newer than the copy', list: listed(object('old')) },
  ])('is read by itself: $title', async ({ list }) => {
    const { namespaces, gets, failedReads, api } = await start({ list, get: shop });
    await expect.poll(() => api.asked.length).toBeGreaterThan(0);
    await expect(namespaces.get('shop')).resolves.toEqual({ name: 'shop', labels: { [MODE_LABEL]: 'enforce' } });
    expect(gets()).toEqual(['/api/v1/namespaces/shop']);
    expect(failedReads()).toEqual([]);
    const one = api.asked.find(({ path }) => path.endsWith('/shop'));
    expect(one?.headers.accept).toContain('PartialObjectMetadata;');
  });

  it('is read once for all who ask, and remembered for a while', async () => {
    const { namespaces, gets, clock } = await start({ list: silent, get: shop });
    await Promise.all(Array.from({ length: 500 }, async () => await namespaces.get('shop')));
    clock.time += 4999;
    await namespaces.get('shop');
    expect(gets()).toHaveLength(1);
    clock.time += 2;
    await namespaces.get('shop');
    expect(gets()).toHaveLength(2);
  });

  it('gives way to the copy', async () => {
    const { namespaces, answers, api } = await start({ list: silent, get: shop });
    await namespaces.get('shop');
    answers.list = listed(object('shop', 'off'));
    api.cut();
    await namespaces.ready;
    expect(namespaces.get('shop')).toEqual({ name: 'shop', labels: { [MODE_LABEL]: 'off' } });
  });

  it.each([
    { title: 'is not in the API', get: missing, code: 'not-found' },
    { title: 'may not be read', get: forbidden, code: 'forbidden' },
    { title: 'is not answered', get: silent, code: 'timeout' },
    { title: 'comes as something else', get: ({ send }: Asked) => send(null), code: 'malformed' },
  ])('that $title: asked again only a second later', async ({ get, code }) => {
    const { namespaces, gets, failedReads, clock, answers } = await start({ get }, { reads: { timeoutMs: 100 } });
    await namespaces.ready;
    await expect(namespaces.get('shop')).rejects.toMatchObject({ code });
    answers.get = shop;
    await expect(namespaces.get('shop')).rejects.toMatchObject({ code });
    expect(gets()).toHaveLength(1);
    clock.time += 1001;
    await expect(namespaces.get('shop')).resolves.toMatchObject({ name: 'shop' });
    expect(failedReads()).toEqual([code]);
  });

  it('that could not be read: asked again as soon as the API server is back', async () => {
    const { namespaces, api, gets } = await start({ get: shop });
    await namespaces.ready;
    const { answer } = api;
    api.answer = ({ response }) => void response.destroy();
    api.cut();
    await expect(namespaces.get('shop')).rejects.toMatchObject({ code: 'unreachable' });
    const before = gets().length;
    api.answer = answer;
    await expect.poll(() => namespaces.get('shop'), { timeout: 5000 }).toMatchObject({ name: 'shop' });
    expect(gets()).toHaveLength(before + 1);
  });

  it.each(['', '.', '..', 'a/b', 'Shop', 'shop\n', '-a', 'a-', 'x'.repeat(64), '../../apis', 'ä'])(
    'that cannot exist (%j) is not asked for',
    async (name) => {
      const { namespaces, gets } = await start({});
      await expect(namespaces.get(name)).rejects.toMatchObject({ code: 'invalid' });
      expect(gets()).toEqual([]);
    },
  );

  it('with too many others under way is not waited for', async () => {
    const { namespaces, gets } = await start({ list: silent, get: silent });
    const all = Array.from({ length: 100 }, async (_, index) => await namespaces.get(`n${index}`));
    const settled = Promise.allSettled(all);
    await expect.poll(() => gets().length).toBe(64);
    await expect(namespaces.get('late')).rejects.toMatchObject({ code: 'throttled' });
    await namespaces.close();
    const outcomes = await settled;
    expect(outcomes.every(({ status: outcome }) => outcome === 'rejected')).toBe(true);
  });

  it('is one of few that are remembered', async () => {
    const { namespaces, gets } = await start(
      { list: silent, get: ({ send, path }) => send(object(path.split('/').at(-1)!)) },
      { reads: { entries: 10 } },
    );
    for (let index = 0; index < 50; index += 1) await namespaces.get(`n${index}`);
    await namespaces.get('n49');
    expect(gets()).toHaveLength(50);
    await namespaces.get('n0');
    expect(gets()).toHaveLength(51);
  });
});

describe('the webhook, with a namespace that cannot be read', () => {
  it.each([
    { title: 'forbidden', get: forbidden, code: 'forbidden' },
    { title: 'never answered', get: silent, code: 'in time' },
  ])('$title: the Pod is answered, and left alone whatever the scope', async ({ get, code }) => {
    const { namespaces } = await start({ list: forbidden, get });
    const lines: string[] = [];
    const metrics = createMetrics('test');
    const cluster = () => facts;
    const verdicts = { platform: { os: 'linux', architecture: 'amd64' } };
    const mutate = createMutate({
      evaluator: createEvaluator({ config: policy({ scope: 'cluster' }), cluster, verdicts }),
      namespaces,
      budget: 200,
      warnings: true,
      verified: false,
      metrics,
      log: everyLine({ level: 'info', format: 'json', destination: { write: (line) => lines.push(line) } }),
    });
    const answer = await mutate(Buffer.from(JSON.stringify(fixture('plain'))), '', 0);
    expect(JSON.parse(answer)).toMatchObject({ response: { allowed: true } });
    expect(JSON.parse(answer)).not.toHaveProperty('response.patch');
    expect(answer).toContain('NamespaceUnknown');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'warn', reason: 'NamespaceUnknown', mode: 'off' });
    expect(lines[0]).toContain(code);
    const text = await metrics.render();
    expect(text).toMatch(/libc_dns_decisions_total\{.*reason="NamespaceUnknown"\} 1/);
    expect(text).toMatch(/libc_dns_failures_total 0/);
  });
});
