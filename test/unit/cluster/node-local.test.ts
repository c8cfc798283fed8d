import { describe, expect, it } from 'vitest';

import {
  createNodeLocalReader,
  nodeCacheFlags,
  readDaemonSet,
  redirectsDns,
  reliesOnRedirect,
} from '../../../src/cluster/node-local.ts';

const DNS = ['10.96.0.10'];

interface Given {
  readonly args?: readonly string[];
  readonly command?: readonly string[];
  readonly hostNetwork?: boolean;
  readonly ready?: number;
  readonly desired?: number;
  readonly metadata?: object;
}

function daemonSet({ args = [], command, hostNetwork = true, ready = 3, desired = 3, metadata = {} }: Given) {
  return {
    kind: 'DaemonSet',
    metadata: { name: 'node-local-dns', namespace: 'kube-system', ...metadata },
    spec: {
      template: {
        spec: {
          ...(hostNetwork && { hostNetwork }),
          containers: [
            { name: 'exporter', image: 'x', args: ['--port=1'] },
            { name: 'node-cache', image: 'x', args, ...(command && { command }) },
          ],
        },
      },
    },
    status: { desiredNumberScheduled: desired, numberReady: ready, currentNumberScheduled: desired },
  };
}

const parsed = (given: Given) => readDaemonSet(daemonSet(given));

const look = (given: Given, dns: readonly string[] = DNS, localRedirect?: boolean) =>
  createNodeLocalReader(1).read([parsed(given)], dns, localRedirect);

describe('the flags of node-cache', () => {
  it.each([
    { args: ['-localip', '169.254.20.10'], localIps: ['169.254.20.10'] },
    { args: ['--localip', '169.254.20.10'], localIps: ['169.254.20.10'] },
    { args: ['-localip=169.254.20.10'], localIps: ['169.254.20.10'] },
    { args: ['--localip=169.254.20.10,10.96.0.10'], localIps: ['169.254.20.10', '10.96.0.10'] },
    { args: ['-conf', '/etc/Corefile', '-localip', 'fd00::10', '-skipteardown'], localIps: ['fd00::10'] },
    { args: ['-localip', '169.254.20.10', '-localip', '169.254.25.10'], localIps: ['169.254.25.10'] },
    { args: ['-c', 'exec /node-cache -localip 169.254.20.10 -conf /x'], localIps: ['169.254.20.10'] },
    { args: ['-localip', '__PILLAR__LOCAL__DNS__,__PILLAR__DNS__SERVER__'], localIps: undefined },
    { args: ['-localip', '$(LOCAL_DNS)'], localIps: undefined },
    { args: ['-localip', '169.254.20.10, 10.96.0.10'], localIps: undefined },
    { args: ['-localip='], localIps: undefined },
    { args: ['-localip'], localIps: undefined },
    { args: ['---localip=169.254.20.10'], localIps: undefined },
    { args: ['localip=169.254.20.10'], localIps: undefined },
    { args: [], localIps: undefined },
  ])('$args: $localIps', ({ args, localIps }) => {
    expect(nodeCacheFlags({ command: [], args })).toEqual({
      localIps,
      setupInterface: true,
      setupIptables: true,
    });
    expect(nodeCacheFlags({ command: ['/node-cache', ...args], args: [] }).localIps).toEqual(localIps);
  });

  it.each([
    { args: [], setupInterface: true },
    { args: ['-setupinterface'], setupInterface: true },
    { args: ['-setupinterface=true'], setupInterface: true },
    { args: ['-setupinterface=false'], setupInterface: false },
    { args: ['--setupinterface=F'], setupInterface: false },
    { args: ['-setupinterface=0', '-setupiptables=true'], setupInterface: false },
    { args: ['-setupinterface=false', '-setupinterface=1'], setupInterface: true },
    { args: ['-setupiptables=false', '-skipteardown=true'], setupInterface: true },
  ])('$args: an interface of its own: $setupInterface', ({ args, setupInterface }) => {
    expect(nodeCacheFlags({ command: [], args }).setupInterface).toBe(setupInterface);
  });

  it.each([
    { args: ['-setupiptables=false'], setupIptables: false },
    { args: ['-setupinterface=false'], setupIptables: true },
  ])('$args: rules of its own: $setupIptables', ({ args, setupIptables }) => {
    expect(nodeCacheFlags({ command: [], args }).setupIptables).toBe(setupIptables);
  });

  it('a megabyte of arguments is read like any other', () => {
    const args = Array.from({ length: 100_000 }, (_, index) => `-localip=${index}`);
    expect(nodeCacheFlags({ command: [], args: [...args, '-localip', '169.254.20.10'] }).localIps).toEqual([
      '169.254.20.10',
    ]);
  });
});

describe('the state of the node-local cache', () => {
  const own = '169.254.20.10';

  it.each([
    {
      title: 'kubespray and ipvs: its own address alone',
      given: {
        args: ['-localip', '169.254.25.10', '-conf', '/etc/Corefile', '-upstreamsvc', 'coredns', '-skipteardown'],
      },
      expected: { state: 'ready', addresses: ['169.254.25.10'] },
    },
    {
      title: 'two addresses of its own',
      given: { args: ['-localip', `${own},169.254.20.11`] },
      expected: { state: 'ready', addresses: [own, '169.254.20.11'] },
    },
    {
      title: 'an IPv6 cluster',
      given: { args: ['-localip', 'fd00::10'] },
      expected: { state: 'ready', addresses: ['fd00::10'] },
    },
    {
      title: 'iptables, as upstream and GKE have it: the Service’s address, too',
      given: { args: ['-localip', `${own},10.96.0.10`, '-conf', '/etc/Corefile', '-upstreamsvc', 'kube-dns-upstream'] },
      expected: { state: 'intercepting', addresses: [own] },
    },
    {
      title: 'the Service’s address alone',
      given: { args: ['-localip', '10.96.0.10'] },
      expected: { state: 'intercepting', addresses: [] },
    },
    {
      title: 'a second address that we do not know: the Service of another name',
      given: { args: ['-localip', `${own},10.233.0.3`] },
      expected: { state: 'intercepting', addresses: [own] },
    },
    {
      title: 'placeholders that nobody filled in',
      given: { args: ['-localip', '__PILLAR__LOCAL__DNS__,__PILLAR__DNS__SERVER__'] },
      expected: { state: 'unknown', addresses: [] },
    },
    { title: 'another program', given: { command: ['/coredns'] }, expected: { state: 'unknown', addresses: [] } },
    {
      title: 'nowhere scheduled',
      given: { args: ['-localip', own], ready: 0, desired: 0 },
      expected: { state: 'unready', addresses: [own] },
    },
    {
      title: 'ready on some nodes',
      given: { args: ['-localip', own], ready: 2 },
      expected: { state: 'unready', addresses: [own] },
    },
    {
      title: 'intercepting, and ready nowhere',
      given: { args: ['-localip', `${own},10.96.0.10`], ready: 0 },
      expected: { state: 'unready', addresses: [own] },
    },
    {
      title: 'being deleted',
      given: { args: ['-localip', own], metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } },
      expected: { state: 'absent', addresses: [] },
    },
  ] as const)('$title', ({ given, expected }) => {
    expect(look(given)).toMatchObject(expected);
  });

  const cilium = [
    '-localip',
    `${own},10.96.0.10`,
    '-skipteardown=true',
    '-setupinterface=false',
    '-setupiptables=false',
  ];

  it.each<[string, Given]>([
    ['as Cilium documents it', { args: cilium, hostNetwork: false }],
    ['on all addresses', { args: ['-localip', '0.0.0.0', '-setupinterface=false'], hostNetwork: false }],
    ['with the flags of a cache on the host', { args: ['-localip', `${own},10.96.0.10`], hostNetwork: false }],
    ['with its own address alone', { args: ['-localip', own], hostNetwork: false }],
    ['on the host, with neither interface nor rules', { args: cilium }],
    ['on the host, with rules for its own address alone', { args: ['-localip', own, '-setupinterface=false'] }],
  ])('a cache that gives the nodes no address, %s: intercepting only by a local redirect', (_, given) => {
    expect(reliesOnRedirect(parsed(given))).toBe(true);
    expect(look(given, DNS, true)).toEqual({
      state: 'intercepting',
      addresses: [],
      detail: 'a CiliumLocalRedirectPolicy brings Pods to it; ready on 3 of 3 nodes',
    });
    expect(look(given, DNS, false)).toMatchObject({
      state: 'unknown',
      addresses: [],
      detail: expect.stringContaining('no CiliumLocalRedirectPolicy names the DNS Service') as unknown,
    });
    expect(look(given)).toMatchObject({
      state: 'unknown',
      addresses: [],
      detail: expect.stringContaining('is not known') as unknown,
    });
  });

  it('a cache on the host with rules of its own for the Service’s address intercepts', () => {
    const given = { args: ['-localip', `${own},10.96.0.10`, '-setupinterface=false'] };
    expect(look(given)).toMatchObject({ state: 'intercepting', addresses: [own] });
    expect(look(given, ['10.96.0.99'])).toMatchObject({ state: 'unknown' });
  });

  it('a cache on the host with an interface of its own needs no redirect', () => {
    expect(reliesOnRedirect(parsed({ args: ['-localip', own] }))).toBe(false);
  });

  it('no DaemonSet: absent', () => {
    expect(createNodeLocalReader(1).read([], DNS)).toMatchObject({ state: 'absent', addresses: [] });
  });

  it('a cache that is the kubelet’s cluster DNS does not count as intercepting', () => {
    expect(look({ args: ['-localip', own] }, ['10.96.0.10', own])).toMatchObject({ state: 'ready', addresses: [own] });
  });

  it('a DaemonSet that has just been made has no status', () => {
    const { status: _, ...fresh } = daemonSet({ args: ['-localip', own] });
    expect(createNodeLocalReader(1).read([readDaemonSet(fresh)], DNS)).toMatchObject({ state: 'unready' });
  });

  it('the detail says what was found', () => {
    expect(look({ args: ['-localip', own] }).detail).toBe(`it listens on ${own}; ready on 3 of 3 nodes`);
  });

  it.each([null, {}, 'x', { metadata: {}, spec: {} }, daemonSet({ args: [1 as unknown as string] })])(
    'no DaemonSet at all: %j',
    (object) => {
      expect(() => readDaemonSet(object)).toThrow('not a DaemonSet');
    },
  );
});

describe('a cache of several DaemonSets, one for each pool of nodes', () => {
  const [own, other] = ['169.254.20.10', '169.254.25.10'];
  const ready: Given = { args: ['-localip', own] };
  const intercepting: Given = { args: ['-localip', `${own},10.96.0.10`] };
  const behindRedirect: Given = { args: ['-localip', own], hostNetwork: false };
  const deleted: Given = { ...ready, metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } };

  it.each<[string, Given[], object]>([
    [
      'alike',
      [ready, ready],
      { state: 'ready', addresses: [own], detail: `2 DaemonSets: it listens on ${own}; ready on 6 of 6 nodes` },
    ],
    [
      'at two addresses',
      [ready, { args: ['-localip', other] }],
      {
        state: 'ready',
        addresses: [own, other],
        detail: `2 DaemonSets: it listens on ${own}; it listens on ${other}; ready on 6 of 6 nodes`,
      },
    ],
    ['intercepting', [intercepting, intercepting], { state: 'intercepting', addresses: [own] }],
    ['some intercepting, all at one address', [intercepting, ready], { state: 'ready', addresses: [own] }],
    ['one that is not understood', [ready, { args: [] }], { state: 'unknown', addresses: [] }],
    ['one that is being deleted', [ready, deleted], { state: 'ready', detail: /^it listens on .* 3 of 3 nodes$/ }],
    ['all being deleted', [deleted, deleted], { state: 'absent', addresses: [] }],
    ['one pool without a cache that is ready', [ready, { ...ready, ready: 0 }], { state: 'unready', addresses: [own] }],
  ])('%s', (_, pools, { detail, ...expected }: { detail?: string | RegExp }) => {
    const found = createNodeLocalReader(1).read(pools.map(parsed), DNS);
    expect(found).toMatchObject(expected);
    if (detail !== undefined) expect(found.detail).toMatch(detail);
  });

  it('does not redirect where some nodes have no address of its own', () => {
    const found = createNodeLocalReader(1).read([ready, behindRedirect].map(parsed), DNS, true);
    expect(found).toMatchObject({ state: 'unknown', addresses: [] });
    expect(found.detail).toContain('not all of them need a redirect');
  });
});

describe('readiness', () => {
  const states = (minReady: number, looks: readonly (readonly [number, number])[]): string => {
    const reader = createNodeLocalReader(minReady);
    const letters = looks.map(([ready, desired]) => {
      const object = parsed({ args: ['-localip', '169.254.20.10'], ready, desired });
      return reader.read([object], DNS).state === 'ready' ? 'R' : '-';
    });
    return letters.join('');
  };

  it.each([
    { title: 'the first look counts', minReady: 1, looks: [[3, 3]], expected: 'R' },
    { title: 'the first look counts, also if not ready', minReady: 1, looks: [[2, 3]], expected: '-' },
    {
      title: 'a node joins: one look alone changes nothing',
      minReady: 1,
      looks: [
        [3, 3],
        [3, 4],
        [4, 4],
      ],
      expected: 'RRR',
    },
    {
      title: 'two in a row do',
      minReady: 1,
      looks: [
        [3, 3],
        [3, 4],
        [3, 4],
      ],
      expected: 'RR-',
    },
    {
      title: 'in both directions',
      minReady: 1,
      looks: [
        [2, 3],
        [3, 3],
        [3, 3],
      ],
      expected: '--R',
    },
    {
      title: 'every other look is no row',
      minReady: 1,
      looks: [
        [3, 3],
        [2, 3],
        [3, 3],
        [2, 3],
        [3, 3],
      ],
      expected: 'RRRRR',
    },
    {
      title: 'ready nowhere counts at once',
      minReady: 1,
      looks: [
        [3, 3],
        [0, 3],
      ],
      expected: 'R-',
    },
    { title: 'a threshold', minReady: 0.5, looks: [[50, 100]], expected: 'R' },
    { title: 'just below a threshold', minReady: 0.5, looks: [[49, 100]], expected: '-' },
    { title: 'no threshold: one is needed', minReady: 0, looks: [[1, 100]], expected: 'R' },
    { title: 'no threshold, and ready nowhere', minReady: 0, looks: [[0, 100]], expected: '-' },
    { title: 'nothing desired', minReady: 0, looks: [[0, 0]], expected: '-' },
  ] as const)('$title', ({ minReady, looks, expected }) => {
    expect(states(minReady, looks)).toBe(expected);
  });

  it('counts the nodes of all DaemonSets', () => {
    const of = (...pools: (readonly [ready: number, desired: number])[]) =>
      pools.map(([ready, desired]) => parsed({ args: ['-localip', '169.254.20.10'], ready, desired }));
    const state = (minReady: number, ...pools: Parameters<typeof of>) =>
      createNodeLocalReader(minReady).read(of(...pools), DNS).state;
    expect(state(1, [3, 3], [5, 5])).toBe('ready');
    expect(state(1, [3, 3], [0, 0])).toBe('ready');
    expect(state(1, [3, 3], [4, 5])).toBe('unready');
    expect(state(0.8, [97, 97], [0, 3])).toBe('ready');
    expect(state(0.8, [3, 3], [0, 3])).toBe('unready');
    expect(state(1, [0, 0], [0, 0])).toBe('unready');
  });

  it('a DaemonSet that was gone is judged anew', () => {
    const reader = createNodeLocalReader(1);
    const object = parsed({ args: ['-localip', '169.254.20.10'] });
    reader.read([object], DNS);
    reader.read([], DNS);
    const half = parsed({ args: ['-localip', '169.254.20.10'], ready: 1 });
    expect(reader.read([half], DNS).state).toBe('unready');
  });
});

describe('a local redirect of the DNS Service', () => {
  const policy = (redirectFrontend: object | null) => ({ items: [{ spec: null }, { spec: { redirectFrontend } }] });
  const ports = [{ port: '53', name: 'dns', protocol: 'UDP' }];

  it.each([
    ['by name', { serviceMatcher: { serviceName: 'kube-dns', namespace: 'kube-system' } }, true],
    ['of another name', { serviceMatcher: { serviceName: 'web', namespace: 'kube-system' } }, false],
    ['in another namespace', { serviceMatcher: { serviceName: 'kube-dns', namespace: 'shop' } }, false],
    ['by address', { addressMatcher: { ip: '10.96.0.10', toPorts: ports } }, true],
    ['by another address', { addressMatcher: { ip: '169.254.169.254', toPorts: ports } }, false],
    ['by nothing', {}, false],
    ['without a frontend', null, false],
  ])('%s', (_, frontend, expected) => {
    expect(redirectsDns(policy(frontend), 'kube-system/kube-dns', DNS)).toBe(expected);
  });

  it('is not there without Cilium, and nothing else is taken for one', () => {
    expect(redirectsDns(undefined, 'kube-system/kube-dns', DNS)).toBe(false);
    expect(() => redirectsDns({ kind: 'Status' }, 'kube-system/kube-dns', DNS)).toThrow('CiliumLocalRedirectPolicies');
  });
});
