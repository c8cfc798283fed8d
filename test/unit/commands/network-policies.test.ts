import { describe, expect, it, test } from 'vitest';

import { cli } from '../../support/cli.ts';

const pod = (libc: string) => `apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web }, annotations: { libc-dns.dev/libc: ${libc} } }
spec: { containers: [{ name: web, image: x }] }
`;

const policy = (egress: string, namespace = 'shop') => `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: allow-dns, namespace: ${namespace} }
spec: { podSelector: { matchLabels: { app: web } }, policyTypes: [Egress], egress: [${egress}] }
`;

const UDP = '{ ports: [{ port: 53, protocol: UDP }] }';
const BOTH = '{ ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }] }';
const KUBE_DNS =
  '{ to: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: kube-system } }, podSelector: { matchLabels: { k8s-app: kube-dns } } }] }';

/** What the command line assumes of the cluster DNS is that it answers over TCP. */
const environment = { LIBC_DNS_GLIBC_TCP_PREFLIGHT: 'false' };

const FLAGS = [
  '--offline',
  '--cluster-dns',
  '10.96.0.10',
  '--cluster-domain',
  'cluster.local',
  '--node-searches',
  'x.y',
];

interface Entry {
  readonly reason: string;
  readonly message: string;
  readonly resolvConf: { readonly after: { readonly options: readonly string[]; readonly servers: readonly string[] } };
}

async function explain(stdin: string, flags: readonly string[] = [], more = {}): Promise<Entry> {
  const options = { stdin, environment: { ...environment, ...more } };
  const { out } = await cli(['explain', ...FLAGS, ...flags, '-o', 'json'], options);
  const [entry] = JSON.parse(out) as Entry[];
  if (entry === undefined) throw new Error('no Pod');
  return entry;
}

test.each<[string, string, boolean]>([
  ['no policy', '', true],
  ['one that allows UDP alone', policy(UDP), false],
  ['one that allows TCP too', policy(BOTH), true],
  ['kube-dns, which is assumed', policy(KUBE_DNS), true],
  ['an ipBlock of which nothing is known', policy('{ to: [{ ipBlock: { cidr: 10.0.0.0/8 } }] }'), false],
  ['a block of all addresses', policy('{ to: [{ ipBlock: { cidr: 0.0.0.0/0 } }] }'), false],
  ['one of another namespace', policy(UDP, 'bank'), true],
  ['one that does not select the Pod', policy(UDP).replace('app: web', 'app: db'), true],
  ['one without a namespace, of the default one', policy(UDP).replace(', namespace: shop', ''), true],
  [
    'in a List',
    `kind: List\nitems: [${JSON.stringify({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'shop' }, spec: { policyTypes: ['Egress'] } })}]\n`,
    false,
  ],
  [
    'in a list of the API server',
    `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems: [${JSON.stringify({ metadata: { name: 'p', namespace: 'shop' }, spec: { policyTypes: ['Egress'] } })}]\n`,
    false,
  ],
  ['of Antrea', 'apiVersion: crd.antrea.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: { name: p }\n', false],
  [
    'of Antrea in another namespace',
    'apiVersion: crd.antrea.io/v1beta1\nkind: NetworkPolicy\nmetadata: { name: p, namespace: bank }\n',
    true,
  ],
  [
    'of Calico that is staged',
    'apiVersion: projectcalico.org/v3\nkind: StagedNetworkPolicy\nmetadata: { name: p, namespace: shop }\n',
    true,
  ],
  [
    'of Cilium',
    'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, namespace: shop }\nspec: { endpointSelector: {}, egress: [{}] }\n',
    false,
  ],
])('explain, with %s beside the Pod: use-vc %s', async (_what, document, given) => {
  const { resolvConf, reason } = await explain(`${document}---\n${pod('glibc')}`);
  expect(resolvConf.after.options.includes('use-vc')).toBe(given);
  expect(reason).toBe(given ? 'OptionsAdded' : 'TcpNotAllowed');
});

describe('policies beside the Pods', () => {
  it('are named in the message', async () => {
    expect((await explain(`${pod('glibc')}---\n${policy(UDP)}`)).message).toContain(
      'See NetworkPolicy shop/allow-dns.',
    );
  });

  it('without a name are named by their namespace', async () => {
    const unnamed = policy(UDP).replace('name: allow-dns', 'generateName: allow-');
    expect((await explain(`${pod('glibc')}---\n${unnamed}`)).message).toContain(
      'See a NetworkPolicy of shop without a name.',
    );
  });

  it('are not looked at with networkPolicies: false', async () => {
    const { reason } = await explain(`${pod('glibc')}---\n${policy(UDP)}`, [], { LIBC_DNS_NETWORK_POLICIES: 'false' });
    expect(reason).toBe('OptionsAdded');
  });

  it('keep musl from a node-local cache that they do not let it reach', async () => {
    const on = ['--node-local', 'on'];
    const kept = await explain(`${pod('musl')}---\n${policy(KUBE_DNS)}`, on);
    expect(kept).toMatchObject({ reason: 'NodeLocalNotAllowed', resolvConf: { after: { servers: ['10.96.0.10'] } } });
    const block = '{ to: [{ ipBlock: { cidr: 169.254.20.10/32 } }] }';
    expect((await explain(`${pod('musl')}---\n${policy(`${KUBE_DNS}, ${block}`)}`, on)).reason).toBe('MuslRedirected');
  });

  it.each(['169.254.20.10', '169.254.169.254'])('do not allow %s as Pods of kube-dns', async (local) => {
    const asked = ['--cluster-dns', local];
    expect((await explain(`${pod('glibc')}---\n${policy(KUBE_DNS)}`, asked)).reason).toBe('TcpNotAllowed');
    expect((await explain(`${pod('glibc')}---\n${policy(BOTH)}`, asked)).reason).toBe('OptionsAdded');
  });

  it.each<[string, string, string]>([
    ['usual labels', KUBE_DNS, 'TcpNotAllowed'],
    ['port 53', BOTH, 'TcpNotAllowed'],
    [
      'any port of a namespace',
      KUBE_DNS.replace('kube-system', 'openshift-dns').replace(/, podSelector.*$/, ' }] }'),
      'OptionsAdded',
    ],
    ['any port anywhere', '{}', 'OptionsAdded'],
  ])('let Pods reach another DNS Service, by %s: %s', async (_what, egress, reason) => {
    const service = { LIBC_DNS_CLUSTER_SERVICE: 'openshift-dns/dns-default' };
    expect((await explain(`${pod('glibc')}---\n${policy(egress)}`, [], service)).reason).toBe(reason);
  });

  it('may select the Pods of a template by labels that controllers add', async () => {
    const byJob = policy(UDP).replace('app: web', 'batch.kubernetes.io/job-name: migrate');
    const job = `apiVersion: batch/v1
kind: Job
metadata: { name: migrate, namespace: shop }
spec: { template: { metadata: { annotations: { libc-dns.dev/libc: glibc } }, spec: { containers: [{ name: web, image: x }] } } }
`;
    expect((await explain(`${job}---\n${byJob}`)).reason).toBe('TcpNotAllowed');
    expect((await explain(`${pod('glibc')}---\n${byJob}`)).reason).toBe('OptionsAdded');
    const { out } = await cli(['audit', '-f', '-', '--offline', '-o', 'json'], {
      stdin: `${job}---\n${byJob}`,
      environment,
    });
    const { workloads } = JSON.parse(out) as { workloads: { decision: { reason: string } }[] };
    expect(workloads.map(({ decision }) => decision.reason)).toEqual(['TcpNotAllowed']);
  });

  it('in another namespace than the one that is assumed of a Pod without one are told of', async () => {
    const bare = pod('glibc').replace(', namespace: shop', '');
    const told = async (stdin: string, ...flags: string[]) =>
      (await cli(['explain', ...FLAGS, '--node-local', 'off', ...flags], { stdin, environment })).err;
    const note =
      'libc-dns: network policies of shop are not held against Pods without a namespace. Assumed: namespace default (--namespace).\n';
    expect(await told(`${bare}---\n${policy(UDP)}`)).toBe(note);
    expect(await told(`${bare}---\n${policy(UDP)}`, '--namespace', 'shop')).toBe('');
    expect(await told(`${bare}---\n${policy(UDP, 'default')}`)).toBe('');
    expect(await told(`${pod('glibc')}---\n${policy(UDP)}`)).toBe('');
  });

  it('pass through inject, which heeds them', async () => {
    const stdin = `${policy(UDP)}---\n${pod('glibc')}`;
    const { out } = await cli(['inject', ...FLAGS], { stdin, environment });
    expect(out).toContain(policy(UDP));
    expect(out).toContain('single-request-reopen');
    expect(out).not.toContain('use-vc');
    expect((await cli(['inject', ...FLAGS], { stdin: pod('glibc'), environment })).out).toContain('use-vc');
  });

  it('are read by audit -f', async () => {
    const stdin = `${policy(UDP)}---\n${pod('glibc')}`;
    const { out } = await cli(['audit', '-f', '-', '--offline', '-o', 'json'], { stdin, environment });
    const report = JSON.parse(out) as { findings: { code: string }[]; workloads: { decision: { reason: string } }[] };
    expect(report.findings.map(({ code }) => code)).toEqual(['TcpBlockedByPolicy']);
    expect(report.workloads.map(({ decision }) => decision.reason)).toEqual(['TcpNotAllowed']);
  });
});
