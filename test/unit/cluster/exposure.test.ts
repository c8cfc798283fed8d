import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from 'vitest';

import { type ClusterExposureOptions, createClusterExposure } from '../../../src/cluster/exposure.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createReporter } from '../../../src/telemetry/reporter.ts';
import { facts } from '../../support/policy.ts';
import { recordingReporter } from '../../support/recording-reporter.ts';
import { type Asked, isStream, startSmallApi, status } from '../kubernetes/small-api.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

type Answer = (asked: Asked) => void;

const node = (name: string, kernelVersion?: string, operatingSystem = 'linux', resourceVersion = '1') => ({
  metadata: { name, resourceVersion },
  status: { nodeInfo: { operatingSystem, kernelVersion }, images: [{ names: ['x'] }] },
});
const daemonSet = (name: string, image: string) => ({
  metadata: { namespace: 'kube-system', name },
  spec: { template: { spec: { containers: [{ image }] } } },
});
const listed =
  (...items: object[]): Answer =>
  ({ send }) =>
    send({ metadata: { resourceVersion: '5' }, items });
const forbidden: Answer = ({ send }) => send(status(403, 'forbidden'), 403);
const missing: Answer = ({ send }) => send(status(404, 'not found'), 404);

const NODES = '/api/v1/nodes';
const DAEMON_SETS = '/apis/apps/v1/daemonsets';
const MAPS = '/api/v1/namespaces/kube-system/configmaps/';
const PODS = '/api/v1/namespaces/kube-system/pods';

const NEW = '6.12.9';
const MIDDLE = '6.8.0-45-generic';

interface Answers {
  nodes: Answer;
  daemonSets: Answer;
  /** `mode` of kube-proxy's configuration. */
  kubeProxy: Answer;
}

const mode =
  (name: string): Answer =>
  ({ send }) =>
    send({ metadata: {}, data: { 'config.conf': `kind: KubeProxyConfiguration\nmode: ${name}\n` } });

/** Routes to what there is; the watch of nodes stays open, and `watch` writes to it. */
async function start(change: Partial<Answers> = {}, options: Partial<ClusterExposureOptions> = {}) {
  const answers: Answers = { nodes: listed(node('a', NEW)), daemonSets: listed(), kubeProxy: mode('""'), ...change };
  let watch: Asked | undefined;
  const api = await startSmallApi((asked) => {
    if (asked.path === DAEMON_SETS) answers.daemonSets(asked);
    else if (asked.path === `${MAPS}kube-proxy`) answers.kubeProxy(asked);
    else if (asked.path === PODS) listed()(asked);
    else if (asked.path !== NODES) missing(asked);
    else if (isStream(asked)) asked.send(status(422, 'sendInitialEvents is forbidden'), 422);
    else if (asked.query.get('watch') === 'true') {
      watch = asked;
      asked.open();
    } else answers.nodes(asked);
  });
  closers.push(() => api.close());
  const report = recordingReporter();
  const exposure = createClusterExposure({
    client: api.client,
    clock: { now: () => Date.now() },
    reporter: report.reporter,
    backoff: { first: 5, most: 20 },
    times: { everyMs: 30, readMs: 500 },
    ...options,
  });
  closers.push(() => exposure.close());
  await exposure.settled;
  const event = (type: string, object: object): void => watch?.event(type, object);
  const watching = async (): Promise<void> => await expect.poll(() => watch).toBeDefined();
  return { api, answers, exposure, report, event, watching };
}

const flips = (report: ReturnType<typeof recordingReporter>) =>
  report.lines.filter(({ message }) => message.startsWith('exposure auto')).map(({ fields }) => fields);

describe('whether the nodes can lose DNS packets, from the API', () => {
  it('they cannot where all kernels have the fixes', async () => {
    const { exposure, report } = await start({
      nodes: listed(node('a', NEW), node('b', MIDDLE), node('w', '10.0.20348', 'windows')),
    });
    expect(exposure.current).toMatchObject({ exposed: false, because: 'fixed', detail: expect.stringContaining('2') });
    expect(report.messages('info')).toEqual([
      'exposure auto: no Pod is patched, for all 2 Linux nodes have kernels with the fixes of all three races',
    ]);
  });

  it('one old node that joins is enough, until it is gone; each change is one line that names it', async () => {
    const { exposure, report, event, watching } = await start();
    await watching();
    event('ADDED', node('old', '4.14.90'));
    await expect.poll(() => exposure.current).toMatchObject({ because: 'kernel', nodes: 1, nodeNames: ['old'] });
    event('ADDED', node('older', '4.14.80'));
    await expect.poll(() => exposure.current.nodes).toBe(2);
    event('MODIFIED', node('older', NEW));
    event('DELETED', node('old', '4.14.90'));
    await expect.poll(() => exposure.current.exposed).toBe(false);
    expect(flips(report)).toEqual([
      { exposed: false, because: 'fixed', nodes: 0, nodeNames: [] },
      { exposed: true, because: 'kernel', nodes: 1, nodeNames: ['old'] },
      { exposed: false, because: 'fixed', nodes: 0, nodeNames: [] },
    ]);
  });

  it('follows the mode of kube-proxy and the DaemonSets', async () => {
    const { answers, exposure } = await start({ nodes: listed(node('a', MIDDLE)) });
    expect(exposure.current.exposed).toBe(false);
    answers.kubeProxy = mode('ipvs');
    await expect.poll(() => exposure.current.because).toBe('ipvs');
    answers.kubeProxy = mode('nftables');
    await expect.poll(() => exposure.current.because).toBe('fixed');
    answers.daemonSets = listed(daemonSet('kube-proxy', 'kube-proxy:1'), daemonSet('net', 'kindest/kindnetd:v1'));
    await expect.poll(() => exposure.current.detail).toContain('kindnet (DaemonSet kube-system/net) uses NFQUEUE');
  });

  it.each<[string, Partial<Answers>, string, number]>([
    ['nodes', { nodes: forbidden }, 'the nodes cannot be watched', 0],
    ['nodes that have no kernel', { nodes: listed(node('a')) }, '', 1],
    ['kube-proxy', { kubeProxy: forbidden }, 'the mode of kube-proxy cannot be read', 1],
    ['DaemonSets', { nodes: listed(node('a', MIDDLE)), daemonSets: forbidden }, 'the DaemonSets cannot be listed', 1],
    ['strange DaemonSets', { nodes: listed(node('a', MIDDLE)), daemonSets: listed({}) }, 'the DaemonSets', 1],
    ['no kube-proxy at all', { kubeProxy: missing }, '', 1],
  ])('counts as exposed what cannot be read: %s', async (_, change, warning, nodes) => {
    const { exposure, report } = await start(change);
    expect(exposure.current).toMatchObject({ exposed: true, nodes });
    expect(report.messages('warn').join('\n')).toContain(warning);
    expect(flips(report)).toMatchObject([{ exposed: true, nodes }]);
  });

  it('what was known stays where it cannot be read again, for a time', async () => {
    let now = 1_000_000;
    const clock = { now: () => now };
    const { answers, exposure, report } = await start(
      {},
      { clock, times: { everyMs: 10, readMs: 500, staleMs: 60_000 } },
    );
    expect(exposure.current.exposed).toBe(false);
    answers.kubeProxy = forbidden;
    await expect.poll(() => report.messages('warn')).toHaveLength(1);
    now += 59_000;
    await sleep(60);
    expect(exposure.current.exposed).toBe(false);
    now += 2000;
    await expect.poll(() => exposure.current).toMatchObject({ exposed: true, because: 'unread' });
  });

  it('nodes whose watch is silent for too long are not known any more', async () => {
    let now = 1_000_000;
    const clock = { now: () => now };
    const times = { everyMs: 10, readMs: 500, staleMs: 60_000 };
    const { exposure, event, watching } = await start({}, { clock, times });
    await watching();
    event('ADDED', node('b', NEW));
    await expect.poll(() => exposure.current.detail).toContain('all 2 Linux nodes');
    now += 61_000;
    await expect.poll(() => exposure.current).toMatchObject({ exposed: true, because: 'unread', nodes: 0 });
  });

  it('a list that is read anew is judged once, when it is complete', async () => {
    const { answers, exposure, report, event, watching } = await start({
      nodes: listed(node('a', NEW), node('b', NEW)),
    });
    await watching();
    answers.nodes = listed(node('c', '4.14.90'), node('a', NEW));
    event('ERROR', { kind: 'Status', code: 410, message: 'too old' });
    await expect.poll(() => exposure.current.nodeNames).toEqual(['c']);
    expect(flips(report)).toHaveLength(2);
  });
});

describe('the facts', () => {
  it('are the same object until they or the exposure change, for decisions are kept by it', async () => {
    const { exposure, event, watching } = await start();
    await watching();
    const first = exposure.applyTo(facts);
    expect(first).toEqual({ ...facts, exposed: false });
    expect(exposure.applyTo(facts)).toBe(first);
    event('ADDED', node('old', '4.14.90'));
    await expect.poll(() => exposure.applyTo(facts)).toEqual({ ...facts, exposed: true });
    const second = exposure.applyTo(facts);
    expect(exposure.applyTo(facts)).toBe(second);
    const other = { ...facts };
    expect(exposure.applyTo(other)).not.toBe(second);
  });

  it('bring the node-local cache, which counts at once', async () => {
    const { exposure } = await start({ nodes: listed(node('old', '4.14.90')) });
    expect(exposure.applyTo(facts).exposed).toBe(true);
    expect(exposure.applyTo({ ...facts, nodeLocal: 'intercepting' }).exposed).toBe(false);
    expect(exposure.applyTo({ ...facts, nodeLocal: 'unready' }).exposed).toBe(true);
  });
});

it('is a metric, once it is followed', async () => {
  const metrics = createMetrics('0.0.0');
  expect(await metrics.render()).not.toContain('libc_dns_exposed');
  const { reporter } = recordingReporter();
  const { log } = reporter;
  await start(
    { nodes: listed(node('old', '4.14.90'), node('new', NEW)) },
    { reporter: createReporter({ log, metrics, clock: { monotonic: () => 0 } }) },
  );
  expect(await metrics.render()).toMatch(/libc_dns_exposed 1\n[^]*libc_dns_exposed_nodes 1\n/);
});
