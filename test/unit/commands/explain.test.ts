import { describe, expect, it } from 'vitest';

import { cli } from '../../support/cli.ts';

const POD = `apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  annotations: {libc-dns.dev/libc: musl}
spec:
  initContainers: [{name: init, image: busybox}]
  containers: [{name: web, image: "nginx:1.29-alpine"}]
`;

const FLAGS = [
  '--offline',
  '--node-local',
  'on',
  '--cluster-dns',
  '10.96.0.10',
  '--cluster-domain',
  'cluster.local',
  '--node-searches',
  'corp.example',
];

/** Nothing is assumed of the cluster DNS over TCP. */
const KNOWN = { LIBC_DNS_GLIBC_TCP_PREFLIGHT: 'false' };

const explain = async (stdin: string, ...flags: string[]) => cli(['explain', ...flags], { stdin });

describe('explain -o json', () => {
  it('has exactly the shape of the design', async () => {
    const { out, code } = await explain(POD, ...FLAGS, '-o', 'json');
    expect(code).toBe(0);
    const evidence = { source: 'annotation', detail: 'annotation libc-dns.dev/libc: musl', confidence: 1 };
    const musl = { resolver: 'musl', libc: 'musl', evidence };
    const container = { ...musl, resolvers: [{ ...musl, executable: null }] };
    const searches = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example'];
    expect(JSON.parse(out)).toStrictEqual([
      {
        kind: 'Pod',
        namespace: 'shop',
        name: 'web',
        mode: 'enforce',
        containers: [
          { name: 'init', image: 'busybox', ...container },
          { name: 'web', image: 'nginx:1.29-alpine', ...container },
        ],
        remedy: ['redirect'],
        reason: 'MuslRedirected',
        message: 'musl ignores the options, so the Pod asks the node-local DNS cache, whose path is not translated.',
        resolvConf: {
          before: { servers: ['10.96.0.10'], searches, options: ['ndots:5'] },
          after: {
            servers: ['169.254.20.10', '10.96.0.10'],
            searches,
            options: ['ndots:5', 'timeout:5', 'attempts:10'],
          },
        },
        patch: [
          { op: 'add', path: '/spec/dnsPolicy', value: 'None' },
          {
            op: 'add',
            path: '/spec/dnsConfig',
            value: expect.objectContaining({ nameservers: ['169.254.20.10', '10.96.0.10'] }) as unknown,
          },
          {
            op: 'add',
            path: '/metadata/annotations/libc-dns.dev~1decision',
            value: '{"reason":"MuslRedirected","remedy":["redirect"],"resolvers":{"init":"musl","web":"musl"}}',
          },
        ],
      },
    ]);
  });

  it.each([[[]], [['--namespace-mode', 'enforce']]])(
    'labels of a Namespace in the input that send its Pods to virtual nodes count: %j',
    async (flags) => {
      const namespace =
        'apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {alibabacloud.com/eci: "true"}}\n';
      const { out } = await explain(`${namespace}---\n${POD}`, ...FLAGS, ...flags, '-o', 'json');
      expect(JSON.parse(out)).toMatchObject([{ mode: 'enforce', remedy: ['retry'], reason: 'VirtualNode' }]);
    },
  );

  it('in audit mode the patch is empty, the remedy is what would be', async () => {
    const [entry] = JSON.parse(
      (await explain(POD, ...FLAGS, '--namespace-mode', 'audit', '-o', 'json')).out,
    ) as unknown[];
    expect(entry).toMatchObject({
      mode: 'audit',
      remedy: ['redirect'],
      patch: [],
      resolvConf: { after: { servers: ['169.254.20.10', '10.96.0.10'] } },
    });
  });

  it('without a node-local cache the message says how to turn the redirect on', async () => {
    const [entry] = JSON.parse((await explain(POD, '--offline', '-o', 'json')).out) as unknown[];
    expect(entry).toMatchObject({
      remedy: ['retry'],
      reason: 'MuslRetried',
      message: expect.stringContaining('--node-local') as unknown,
    });
  });

  it('an empty list where there are no Pods', async () => {
    expect(await explain('kind: ConfigMap\n', '--offline', '-o', 'json')).toMatchObject({ code: 0, out: '[]\n' });
  });
});

describe('explain as text', () => {
  it('shows the decision, the evidence, resolv.conf before and after, and what the resolver makes of it', async () => {
    const { out } = await explain(POD, ...FLAGS);
    expect(out).toBe(`Pod shop/web  enforce  redirect  MuslRedirected
  musl ignores the options, so the Pod asks the node-local DNS cache, whose path is not translated.

  CONTAINER  IMAGE              RESOLVER  EVIDENCE
  init       busybox            musl      annotation libc-dns.dev/libc: musl (annotation, 1)
  web        nginx:1.29-alpine  musl      annotation libc-dns.dev/libc: musl (annotation, 1)

  before                               | after
  ------------------------------------ | ------------------------------------
  search shop.svc.cluster.local        | search shop.svc.cluster.local
         svc.cluster.local             |        svc.cluster.local
         cluster.local                 |        cluster.local
         corp.example                  |        corp.example
  nameserver 10.96.0.10                | nameserver 169.254.20.10
                                       | nameserver 10.96.0.10
  options ndots:5                      | options ndots:5
                                       |         timeout:5
                                       |         attempts:10

  musl:  A and AAAA at once from one socket; asks again after 2.5 s -> 0.5 s
`);
  });

  it('without a cluster it says in one line on stderr what it assumes, and nothing if nothing is assumed', async () => {
    const { err } = await explain(POD, '--offline');
    expect(err).toBe(
      'libc-dns: no cluster is read (--context). Assumed: cluster DNS 10.96.0.10 (--cluster-dns), cluster domain cluster.local (--cluster-domain), no search domains on the nodes (--node-searches), no node-local cache (--node-local), no DNS over TCP, hence no use-vc (glibc.tcpPreflight).\n',
    );
    expect((await cli(['explain', ...FLAGS], { stdin: POD, environment: KNOWN })).err).toBe('');
    const off = await explain(POD.replace('annotations:', 'labels: {libc-dns.dev/mode: "off"}\n  annotations:'));
    expect([off.code, off.err]).toEqual([0, '']);
  });

  it('warns of DNS settings that break musl, on stderr', async () => {
    const zero = 'spec:\n  dnsConfig: { options: [{ name: attempts, value: "0" }] }';
    const { err } = await explain(POD.replace('spec:', zero), ...FLAGS);
    expect(err).toMatch(/^libc-dns: warning: Pod shop\/web: attempts:0 ends every program of musl [(]init, web[)]/);
    const { out } = await explain(POD.replace('spec:', zero), ...FLAGS);
    expect(out).toContain('musl:  A and AAAA at once from one socket; resolves no name\n');
  });

  it('exposure auto has no effect without nodes, and that is said', async () => {
    const environment = { ...KNOWN, LIBC_DNS_EXPOSURE: 'auto' };
    const { out, err } = await cli(['explain', ...FLAGS], { stdin: POD, environment });
    expect(out).toContain('MuslRedirected');
    expect(err).toMatch(/^libc-dns: exposure auto has no effect on manifests: .*\n$/);
  });

  it('a Pod left alone', async () => {
    const { out } = await explain(
      POD.replace('kind: Pod', 'kind: Pod').replace('spec:', 'spec:\n  hostNetwork: true'),
      ...FLAGS,
    );
    expect(out).toMatch(/^Pod shop\/web {2}enforce {2}nothing to change {2}HostNetwork\n/);
  });

  it('control characters in names are shown, not obeyed', async () => {
    const { out } = await explain(POD.replace('nginx:1.29-alpine', String.raw`ng\e[31minx`), ...FLAGS);
    expect(out).not.toContain('\u001B');
    expect(out).toContain('\\u{1b}');
  });

  it('no Pods: says so', async () => {
    expect((await explain('kind: ConfigMap\n', '--offline')).out).toBe('No Pods and no Pod templates in the input.\n');
  });

  it.each([
    ['', [], 'The input is empty: name manifests, or pipe them in. For the Pods of a cluster: libc-dns audit\n'],
    [POD, ['-n', 'nosuch'], 'No Pods and no Pod templates in the input for --namespace nosuch.\n'],
    [POD, ['--kinds', 'CronJob'], 'No Pods and no Pod templates in the input for --kinds cronjob.\n'],
    ['a: [', [], ''],
  ])('says why there is nothing to explain in %j, with %j', async (text, flags, said) => {
    const { out } = await cli(['explain', '--offline', ...flags], { stdin: text });
    expect(out).toBe(said);
  });

  it('names the command that reads an object of a cluster, which is no file', async () => {
    const { code, err } = await cli(['explain', '--offline', 'deployment/web'], {});
    expect([code, err]).toEqual([
      1,
      'libc-dns: deployment/web: no such file; to read an object of a cluster, pipe it in: kubectl get deployment/web -o yaml\n',
    ]);
    expect((await cli(['explain', '--offline', 'apps/web.yaml'], {})).err).toBe(
      'libc-dns: apps/web.yaml: no such file\n',
    );
  });

  it('--node-local takes a mode or addresses', async () => {
    const { code, err } = await cli(['explain', '--offline', '--node-local', 'yes'], { stdin: POD });
    expect([code, err]).toEqual([2, expect.stringContaining('expected auto, on, off or an IP address')]);
  });

  it('a wrong annotation is a warning on stderr', async () => {
    const wrong = { stdin: POD.replace(': musl', ': mussel'), environment: KNOWN };
    const { err, code } = await cli(['explain', ...FLAGS], wrong);
    expect([code, err]).toEqual([
      0,
      'libc-dns: warning: Pod shop/web: annotation libc-dns.dev/libc is "mussel": ignored; use glibc, musl, go or other\n',
    ]);
  });
});
