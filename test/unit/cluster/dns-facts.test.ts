import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from 'vitest';

import { type ClusterFactsOptions, createClusterFacts } from '../../../src/cluster/dns-facts.ts';
import { answersOverTcp, createPreflight } from '../../../src/cluster/dns-over-tcp.ts';
import { policyConfig } from '../../../src/config/policy-config.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { serversOfPods } from '../../../src/policy/redirect.ts';
import { type RecordedLine, recordingReporter } from '../../support/recording-reporter.ts';
import { facts as known, policy } from '../../support/policy.ts';
import { type Asked, startSmallApi, status } from '../kubernetes/small-api.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const SERVICE = '/api/v1/namespaces/kube-system/services/kube-dns';
const DAEMON_SET = '/apis/apps/v1/namespaces/kube-system/daemonsets/node-local-dns';

const service = (...clusterIPs: string[]) => ({ metadata: {}, spec: { clusterIP: clusterIPs[0], clusterIPs } });
const daemonSet = (localip: string, ready = 2) => ({
  metadata: {},
  spec: { template: { spec: { hostNetwork: true, containers: [{ args: ['-localip', localip] }] } } },
  status: { desiredNumberScheduled: 2, numberReady: ready },
});

const OWN = {
  namespace: 'libc-dns',
  resolvConf: 'nameserver 10.0.0.10\nsearch libc-dns.svc.prod.example svc.prod.example prod.example\n',
};

type Answers = Record<string, object | number | ((asked: Asked) => void)>;

function answering(answers: Answers) {
  return (asked: Asked): void => {
    const answer = answers[asked.path] ?? 404;
    if (typeof answer === 'function') answer(asked);
    else if (typeof answer === 'number') asked.send(status(answer, 'no'), answer);
    else asked.send(answer);
  };
}

interface Setting {
  readonly yaml?: object;
  readonly own?: ClusterFactsOptions['own'];
  readonly times?: ClusterFactsOptions['times'];
  readonly dnsPort?: number;
  readonly alone?: boolean;
}

async function start(answers: Answers, setting: Setting = {}) {
  const {
    yaml = {},
    own = {},
    times = { intervalMs: 40, retryMs: 10, readMs: 500, tcpMs: 200 },
    dnsPort = 1,
  } = setting;
  const api = await startSmallApi(answering(answers));
  closers.push(() => api.close());
  const config = configSchema.parse({ glibc: { tcpPreflight: setting.dnsPort !== undefined }, ...yaml });
  const report = recordingReporter();
  const source = createClusterFacts({
    ...(setting.alone !== true && { client: api.client }),
    config,
    policy: policyConfig(config),
    own,
    times,
    dnsPort,
    reporter: report.reporter,
  });
  closers.push(() => source.close());
  return { api, answers, source, report, events: () => report.lines.map(eventOf) };
}

const unread = (object: string): string => `the ${object} cannot be read; what was known of it stays`;

/** A line of the log, cut to what the tests compare. */
function eventOf({ message, fields }: RecordedLine): string {
  const { dns, sources, nodeLocal, servers, answered, code } = fields as Record<string, string | string[]> & {
    readonly sources: Record<string, string>;
  };
  if (message === 'the cluster DNS has changed')
    return `${String(dns)} (${sources['dns']}), cache ${String(nodeLocal)}`;
  if (message.startsWith('cluster DNS over TCP:')) return `tcp ${String(servers)}: ${String(answered)}`;
  return code === undefined ? message : `${message}: ${String(code)}`;
}

describe('cluster facts', () => {
  it('are known from our own files before anything is looked up', async () => {
    const { source } = await start({ [SERVICE]: () => {}, [DAEMON_SET]: () => {} }, { own: OWN });
    expect(source.current).toMatchObject({
      facts: {
        dns: ['10.0.0.10'],
        domain: 'prod.example',
        searchesAssumed: false,
        nodeLocal: 'unknown',
        ownNamespace: 'libc-dns',
        dnsOverTcp: false,
      },
      sources: { dns: 'own resolv.conf', domain: 'own resolv.conf', nodeLocal: 'not looked for' },
    });
  });

  it('come from the API where our own files do not tell', async () => {
    const { source, api, events } = await start({
      [SERVICE]: service('10.96.0.10', 'fd00::a'),
      [DAEMON_SET]: daemonSet('169.254.25.10'),
    });
    await source.ready;
    expect(source.current).toMatchObject({
      facts: {
        dns: ['10.96.0.10', 'fd00::a'],
        searchesAssumed: true,
        nodeLocal: 'ready',
        nodeLocalAddresses: ['169.254.25.10'],
      },
      sources: {
        dns: 'service kube-system/kube-dns',
        domain: 'built-in',
        nodeLocal: 'daemonset kube-system/node-local-dns',
      },
      nodeLocalDetail: 'it listens on 169.254.25.10; ready on 2 of 2 nodes',
    });
    expect(events()).toEqual(['10.96.0.10,fd00::a (service kube-system/kube-dns), cache ready']);
    expect(new Set(api.asked.map(({ method, path }) => `${method} ${path}`))).toEqual(
      new Set([`GET ${SERVICE}`, `GET ${DAEMON_SET}`, 'GET /version']),
    );
  });

  it.each([
    ['1', '36', true],
    ['1', '29+', true],
    ['1', '28+', false],
    ['2', '0', true],
  ])('version %s.%s of the API server: native sidecars %s', async (major, minor, runs) => {
    const { source } = await start({ '/version': { major, minor } });
    expect(source.current.facts.nativeSidecars).toBe(false);
    await source.ready;
    expect(source.current.facts.nativeSidecars).toBe(runs);
  });

  it('without an API server nothing is known of native sidecars', async () => {
    const { source } = await start({}, { alone: true });
    await source.ready;
    expect(source.current.facts).not.toHaveProperty('nativeSidecars');
  });

  it.each([
    { title: 'nodeLocal on, DNS in our own file', yaml: { nodeLocal: { mode: 'on' } }, own: OWN, asked: [] },
    {
      title: 'nodeLocal off, DNS configured',
      yaml: { nodeLocal: { mode: 'off' }, cluster: { dns: ['10.1.1.1'] } },
      asked: [],
    },
    { title: 'nodeLocal on, DNS nowhere', yaml: { nodeLocal: { mode: 'on' } }, asked: [SERVICE] },
    { title: 'all by default', yaml: {}, own: OWN, asked: [DAEMON_SET, SERVICE] },
    {
      title: 'other names',
      yaml: { cluster: { service: 'dns/coredns' }, nodeLocal: { daemonSet: 'dns/nodelocaldns' } },
      asked: ['/api/v1/namespaces/dns/services/coredns', '/apis/apps/v1/namespaces/dns/daemonsets/nodelocaldns'],
    },
  ])('ask for nothing that is not needed: $title', async ({ yaml, own, asked }) => {
    const { source, api } = await start({}, { yaml, ...(own && { own }) });
    await source.ready;
    await sleep(100);
    expect(new Set(api.asked.map(({ path }) => path))).toEqual(new Set([...asked, '/version']));
  });

  it('without a cluster: what is configured, else built-in', async () => {
    const { source, api } = await start({}, { alone: true, yaml: { cluster: { domain: 'k8s.example' } } });
    await source.ready;
    expect(source.current).toMatchObject({
      facts: { dns: ['10.96.0.10'], domain: 'k8s.example', nodeLocal: 'unknown' },
      sources: { dns: 'built-in', domain: 'configuration', nodeSearches: 'built-in' },
    });
    expect(api.asked).toEqual([]);
  });

  it('follow the cluster: the cache comes, goes down, changes its mode', async () => {
    const { source, answers, report, events } = await start({ [SERVICE]: service('10.96.0.10') });
    const state = () => source.current.facts.nodeLocal;
    await source.ready;
    expect(state()).toBe('absent');
    answers[DAEMON_SET] = daemonSet('169.254.20.10');
    await expect.poll(state).toBe('ready');
    answers[DAEMON_SET] = daemonSet('169.254.20.10', 1);
    await expect.poll(state).toBe('unready');
    answers[DAEMON_SET] = daemonSet('169.254.20.10,10.96.0.10');
    await expect.poll(state).toBe('intercepting');
    answers[SERVICE] = service('10.96.0.11');
    await expect.poll(() => source.current.facts.dns).toEqual(['10.96.0.11']);
    expect(events().map((event) => event.replace(' (service kube-system/kube-dns)', ''))).toEqual([
      '10.96.0.10, cache absent',
      '10.96.0.10, cache ready',
      '10.96.0.10, cache unready',
      '10.96.0.10, cache intercepting',
      '10.96.0.11, cache intercepting',
    ]);
    expect(report.of('cluster.factsChanged')).toHaveLength(5);
    expect(report.of('cluster.nodeLocal').flat()).toEqual([
      'unknown',
      'absent',
      'ready',
      'unready',
      'intercepting',
      'intercepting',
    ]);
  });

  it('a cache that comes up, or goes, is noticed between two refreshes; the Service is not asked for it', async () => {
    const times = { intervalMs: 60_000, cacheMs: 20, retryMs: 10, readMs: 500, tcpMs: 200 };
    const { source, answers, api } = await start({ [SERVICE]: service('10.96.0.10') }, { times });
    const state = () => source.current.facts.nodeLocal;
    const reads = () => api.asked.filter(({ path }) => path === SERVICE).length;
    const looks = () => api.asked.filter(({ path }) => path === DAEMON_SET).length;
    await source.ready;
    await expect.poll(looks).toBeGreaterThan(5);
    expect(reads()).toBeLessThanOrEqual(2);
    const before = reads();
    answers[DAEMON_SET] = daemonSet('169.254.20.10');
    await expect.poll(state).toBe('ready');
    answers[DAEMON_SET] = daemonSet('169.254.20.10', 0);
    await expect.poll(state).toBe('unready');
    expect(reads() - before).toBe(2);
  });

  it('where the configuration settles the cache, it is not looked at', async () => {
    const times = { intervalMs: 60_000, cacheMs: 20, retryMs: 10, readMs: 500, tcpMs: 200 };
    const { source, api } = await start(
      { [SERVICE]: service('10.96.0.10') },
      { times, yaml: { nodeLocal: { mode: 'off' } } },
    );
    await source.ready;
    await sleep(150);
    expect(api.asked.filter(({ path }) => path === DAEMON_SET)).toEqual([]);
  });

  it('do not forget a Service that is gone', async () => {
    const { source, answers, api } = await start({ [SERVICE]: service('10.233.0.3') });
    await source.ready;
    answers[SERVICE] = 404;
    const before = api.asked.length;
    await expect.poll(() => api.asked.length).toBeGreaterThan(before + 4);
    expect(source.current.facts.dns).toEqual(['10.233.0.3']);
  });

  it.each([
    { title: 'forbidden', answer: 403, code: 'forbidden' },
    { title: 'failing', answer: 500, code: 'server' },
    { title: 'cutting', answer: ({ response }: Asked) => void response.destroy(), code: 'unreachable' },
    { title: 'silent', answer: () => {}, code: 'timeout' },
    { title: 'answering with something else', answer: { kind: 'Status' }, code: 'malformed' },
  ])('stay as they were where the API is $title, which is said once', async ({ answer, code }) => {
    // Only an answer that does not come is waited for: a busy machine must not add timeouts to the other rows.
    const times = { intervalMs: 40, retryMs: 10, readMs: code === 'timeout' ? 50 : 5000, tcpMs: 50 };
    const { source, answers, events, api } = await start(
      { [SERVICE]: service('10.96.0.99'), [DAEMON_SET]: daemonSet('169.254.20.10') },
      { times },
    );
    await source.ready;
    await expect.poll(() => source.current.facts.nodeLocal).toBe('ready');
    answers[SERVICE] = answer;
    answers[DAEMON_SET] = answer;
    const before = api.asked.length;
    await expect.poll(() => api.asked.length).toBeGreaterThan(before + 6);
    expect(source.current.facts).toMatchObject({ dns: ['10.96.0.99'], nodeLocal: 'ready' });
    expect(events().slice(1).toSorted()).toEqual([
      `${unread('daemonset kube-system/node-local-dns')}: ${code}`,
      `${unread('service kube-system/kube-dns')}: ${code}`,
    ]);
    answers[SERVICE] = service('10.96.0.99');
    await expect.poll(() => events().at(-1)).toBe(`over: ${unread('service kube-system/kube-dns')}`);
  });

  it('one object that may not be read does not keep the other from being read', async () => {
    const { source, events, report } = await start(
      { [SERVICE]: 403, [DAEMON_SET]: daemonSet('169.254.20.10') },
      { own: OWN },
    );
    await source.ready;
    expect(source.current.facts.nodeLocal).toBe('ready');
    expect(events()[0]).toBe(`${unread('service kube-system/kube-dns')}: forbidden`);
    expect(source.unread()).toMatchObject([{ object: 'service kube-system/kube-dns', error: { code: 'forbidden' } }]);
    expect(report.of('cluster.apiFailed')[0]).toEqual(['facts', 'forbidden']);
  });

  it('an API that says nothing at the start holds nobody up, and is asked again soon', async () => {
    const times = { intervalMs: 60_000, retryMs: 10, readMs: 300, tcpMs: 100, readyMs: 50 };
    const { source, answers } = await start({ [SERVICE]: () => {}, [DAEMON_SET]: () => {} }, { times });
    await source.ready;
    expect(source.current.sources.dns).toBe('built-in');
    answers[SERVICE] = service('10.96.0.99');
    answers[DAEMON_SET] = 404;
    await expect.poll(() => source.current.facts.dns).toEqual(['10.96.0.99']);
    expect(source.current.facts.nodeLocal).toBe('absent');
  });

  it('closing ends a look under way', async () => {
    const { source, events } = await start(
      { [SERVICE]: () => {}, [DAEMON_SET]: () => {} },
      { times: { readMs: 60_000 } },
    );
    await sleep(20);
    await source.close();
    await source.ready;
    expect(events()).toEqual([]);
  });
});

/** A DNS server over TCP that can be told to be silent. */
async function dnsOverTcp(address = '127.0.0.1', port = 0) {
  const state = { answers: true, asked: 0 };
  const server: Server = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data: Buffer) => {
      state.asked += 1;
      const reply = Buffer.from(data);
      reply.writeUInt8(reply.readUInt8(4) | 0x80, 4);
      if (state.answers) socket.write(reply);
      else socket.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, resolve);
  });
  closers.push(() => server.close());
  return Object.assign(state, { port: (server.address() as AddressInfo).port });
}

describe('the preflight of use-vc', () => {
  it('asks the servers that Pods ask now, and holds new ones back until they have answered', async () => {
    const dns = await dnsOverTcp();
    const { source, answers, report, events } = await start(
      { [SERVICE]: service('127.0.0.1') },
      {
        yaml: { cluster: { domain: 'cluster.local', nodeSearches: [] } },
        dnsPort: dns.port,
        times: { intervalMs: 40, retryMs: 10, readMs: 500, tcpMs: 300 },
      },
    );
    await source.ready;
    expect(source.current.facts).toMatchObject({ dns: ['127.0.0.1'], dnsOverTcp: true });
    expect(events()[0]).toBe('tcp 127.0.0.1: true');
    expect(report.of('dnsOverTcp')).toEqual([[true]]);

    // Pods are redirected to it now, and nothing answers there over TCP.
    answers[DAEMON_SET] = daemonSet('127.0.0.2');
    await expect.poll(() => source.current.facts.nodeLocal).toBe('ready');
    expect(source.current.facts.dnsOverTcp).toBe(false);
    expect(events().at(-2)).toBe('tcp 127.0.0.2,127.0.0.1: false');

    await dnsOverTcp('127.0.0.2', dns.port);
    await expect.poll(() => source.current.facts.dnsOverTcp).toBe(true);
  });

  it('asks nobody where it is turned off', async () => {
    const dns = await dnsOverTcp();
    const yaml = { glibc: { tcpPreflight: false }, cluster: { dns: ['127.0.0.1'] } };
    const { source } = await start({}, { dnsPort: dns.port, yaml });
    await source.ready;
    await sleep(100);
    expect(dns.asked).toBe(0);
    expect(source.current.facts.dnsOverTcp).toBe(false);
  });

  it.each([
    { looks: '+', given: 'Y' },
    { looks: '-', given: 'n' },
    { looks: '+++', given: 'YYY' },
    { looks: '+-+', given: 'Ynn' },
    { looks: '+-++', given: 'YnnY' },
    { looks: '-+-+-+', given: 'nnnnnn' },
    { looks: '--++', given: 'nnnY' },
  ])('looks $looks: use-vc $given', async ({ looks, given }) => {
    const dns = await dnsOverTcp();
    const changes: boolean[] = [];
    const preflight = createPreflight({
      servers: () => [{ address: '127.0.0.1', port: dns.port, timeoutMs: 2000 }],
      name: 'kubernetes.default.svc.cluster.local',
      onChange: (answered) => changes.push(answered),
    });
    let seen = '';
    for (const look of looks) {
      dns.answers = look === '+';
      await preflight.check();
      seen += preflight.answered ? 'Y' : 'n';
    }
    expect(seen).toBe(given);
    expect(changes).toHaveLength(given.replaceAll(/(.)\1+/g, '$1').length);
  });

  it('servers that were not there before are judged by the first look', async () => {
    const [bad, good] = [await dnsOverTcp(), await dnsOverTcp()];
    bad.answers = false;
    let port = bad.port;
    const servers = () => [{ address: '127.0.0.1', port, timeoutMs: 2000 }];
    const preflight = createPreflight({ servers, name: 'x.', onChange: () => {} });
    await preflight.check();
    expect(preflight.answered).toBe(false);
    port = good.port;
    await preflight.check();
    expect(preflight.answered).toBe(true);
  });

  it.each(['kubernetes.default.svc.', '.', '', 'a..b'])('asks for %j in a message that is whole', async (name) => {
    const dns = await dnsOverTcp();
    await expect(answersOverTcp({ address: '127.0.0.1', port: dns.port, timeoutMs: 2000 }, name)).resolves.toBe(true);
  });

  it.each([
    { title: 'no cache', cluster: {}, config: {}, expected: ['10.96.0.10'] },
    {
      title: 'a cache that musl is redirected to',
      cluster: { nodeLocal: 'ready' },
      config: {},
      expected: ['169.254.20.10', '10.96.0.10'],
    },
    { title: 'a cache that intercepts', cluster: { nodeLocal: 'intercepting' }, config: {}, expected: ['10.96.0.10'] },
    {
      title: 'mixed Pods are not redirected',
      cluster: { nodeLocal: 'ready' },
      config: { mixedPods: 'retry' },
      expected: ['10.96.0.10'],
    },
    {
      title: 'searches that nobody knows',
      cluster: { nodeLocal: 'ready', searchesAssumed: true },
      config: {},
      expected: ['10.96.0.10'],
    },
    {
      title: 'no Pod is redirected',
      cluster: { nodeLocal: 'ready' },
      config: { musl: { ...policy().musl, remedy: 'retry' } },
      expected: ['10.96.0.10'],
    },
    {
      title: 'the kubelet’s cluster DNS is the cache',
      cluster: { nodeLocal: 'ready', dns: ['169.254.20.10'] },
      config: {},
      expected: ['169.254.20.10'],
    },
  ] as const)('the servers of Pods: $title', ({ cluster, config, expected }) => {
    expect(serversOfPods({ ...known, ...cluster }, policy(config))).toEqual(expected);
  });
});
