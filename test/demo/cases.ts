type Json = Record<string, unknown>;

/** Which of the demo's two servers a Pod is sent to. */
export type Server = 'with node-local cache' | 'without node-local cache';

export interface DemoCase {
  readonly title: string;
  readonly server: Server;
  /** Image by container name, in the demo's registry. */
  readonly containers: Readonly<Record<string, string>>;
  readonly spec?: Json;
  readonly labels?: Readonly<Record<string, string>>;
  readonly expected: {
    readonly reason: string;
    readonly resolvers: Readonly<Record<string, string>>;
    /** The options of the patched Pod; absent: the Pod stays as it is. */
    readonly options?: readonly string[];
    readonly nameservers?: readonly string[];
  };
}

const REDIRECTED = ['169.254.20.10', '10.96.0.10'];

/** What a newcomer should see, in this order. */
export const CASES: readonly DemoCase[] = [
  {
    title: 'glibc obeys the options',
    server: 'with node-local cache',
    containers: { web: 'shop/web' },
    expected: { reason: 'OptionsAdded', resolvers: { web: 'glibc' }, options: ['single-request-reopen', 'use-vc'] },
  },
  {
    title: 'musl ignores them: redirected to the node-local cache',
    server: 'with node-local cache',
    containers: { search: 'shop/search' },
    expected: {
      reason: 'MuslRedirected',
      resolvers: { search: 'musl' },
      nameservers: REDIRECTED,
      options: ['ndots:5', 'timeout:5', 'attempts:10'],
    },
  },
  {
    title: 'musl where there is no node-local cache: made to ask again early',
    server: 'without node-local cache',
    containers: { search: 'shop/search' },
    expected: { reason: 'MuslRetried', resolvers: { search: 'musl' }, options: ['timeout:5', 'attempts:10', 'use-vc'] },
  },
  {
    title: 'a static musl program has the same resolver',
    server: 'with node-local cache',
    containers: { grep: 'shop/grep' },
    expected: {
      reason: 'MuslRedirected',
      resolvers: { grep: 'musl' },
      nameservers: REDIRECTED,
      options: ['ndots:5', 'timeout:5', 'attempts:10'],
    },
  },
  {
    title: 'Go resolves by itself, from two sockets: nothing to repair',
    server: 'with node-local cache',
    containers: { gateway: 'shop/gateway' },
    expected: { reason: 'ResolverUnaffected', resolvers: { gateway: 'go' } },
  },
  {
    title: 'both in one Pod, which has one resolv.conf; the musl program stands behind tini and env',
    server: 'with node-local cache',
    containers: { web: 'shop/web', helper: 'shop/wrapped' },
    expected: {
      reason: 'MixedRedirected',
      resolvers: { web: 'glibc', helper: 'musl' },
      nameservers: ['10.96.0.10', '169.254.20.10'],
      options: ['ndots:5', 'timeout:5', 'attempts:10', 'single-request-reopen', 'use-vc'],
    },
  },
  {
    title: 'one tag, two platforms: on arm64 this image is a musl one',
    server: 'with node-local cache',
    containers: { run: 'shop/both' },
    spec: { nodeSelector: { 'kubernetes.io/arch': 'arm64' } },
    expected: {
      reason: 'MuslRedirected',
      resolvers: { run: 'musl' },
      nameservers: REDIRECTED,
      options: ['ndots:5', 'timeout:5', 'attempts:10'],
    },
  },
  {
    title: 'already tuned: what the user wrote stays, only what is missing is added',
    server: 'with node-local cache',
    containers: { web: 'shop/web' },
    spec: { dnsConfig: { options: [{ name: 'ndots', value: '2' }, { name: 'single-request-reopen' }] } },
    expected: {
      reason: 'OptionsAdded',
      resolvers: { web: 'glibc' },
      options: ['ndots:2', 'single-request-reopen', 'use-vc'],
    },
  },
  {
    title: 'audit: decided and reported, not patched',
    server: 'with node-local cache',
    containers: { search: 'shop/search' },
    labels: { 'libc-dns.dev/mode': 'audit' },
    expected: { reason: 'MuslRedirected', resolvers: { search: 'musl' } },
  },
  {
    title: "hostNetwork: the node's own resolv.conf, left alone",
    server: 'with node-local cache',
    containers: { agent: 'shop/search' },
    spec: { hostNetwork: true },
    expected: { reason: 'HostNetwork', resolvers: { agent: 'unknown' } },
  },
  {
    title: 'opted out by its label',
    server: 'with node-local cache',
    containers: { search: 'shop/search' },
    labels: { 'libc-dns.dev/mode': 'off' },
    expected: { reason: 'PodOptedOut', resolvers: { search: 'unknown' } },
  },
  {
    title: 'Windows',
    server: 'with node-local cache',
    containers: { iis: 'shop/web' },
    spec: { os: { name: 'windows' } },
    expected: { reason: 'Windows', resolvers: { iis: 'unknown' } },
  },
];
