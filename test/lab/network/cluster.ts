import { fileURLToPath } from 'node:url';
import { mkdir, writeFile } from 'node:fs/promises';
import { addNamespace, FOLDER, ip, runWithin, startService, type Place, type Service } from './namespaces.ts';
import { CACHE_DELAY_MS, CLUSTER_DNS, DNS_HOST, NODE_LOCAL, NODES, type NodeName, type NodeSpec } from './plan.ts';
import { nodeRules, podRules } from './rules.ts';
import { type AddSidecar, sidecars } from './sidecar.ts';

const DNS = 'dns-host';
const SERVER = fileURLToPath(new URL('../dns/server.ts', import.meta.url));

const server = (listeners: readonly string[]): string[] => [process.execPath, SERVER, ...listeners];

/** Sysctls of the node's namespace: route packets, and count packets per connection, which the fault's rule needs. */
const NODE_SETTINGS = [
  'net.ipv4.ip_forward=1',
  'net.ipv6.conf.all.forwarding=1',
  'net.netfilter.nf_conntrack_acct=1',
  // A reused source port must not find the conntrack entry of an earlier look-up.
  'net.netfilter.nf_conntrack_udp_timeout=15',
  'net.netfilter.nf_conntrack_udp_timeout_stream=15',
];

async function addDnsHost(): Promise<void> {
  const addresses = Object.values(DNS_HOST).flatMap(({ v4, v6, delayMs }) => [
    { address: v4, prefix: 32, delayMs },
    { address: v6, prefix: 128, delayMs },
  ]);
  await addNamespace(DNS);
  const lines = addresses.map(({ address, prefix }) => `addr add ${address}/${prefix} dev lo nodad`);
  await ip(DNS, lines);
  await startService(DNS, server(addresses.map(({ address, delayMs }) => `${address}=${delayMs}`)), /ready/);
}

function nodeLocalAddresses({ cache, intercepts }: NodeSpec): string[] {
  if (cache === 'silent') return [];
  return [...Object.values(NODE_LOCAL), ...(intercepts ? Object.values(CLUSTER_DNS) : [])];
}

/** Starts the node-local cache of a node. */
export async function startCache(spec: NodeSpec): Promise<Service> {
  const listeners = nodeLocalAddresses(spec).map((address) => `${address}=${CACHE_DELAY_MS}`);
  return startService(spec.name, server(listeners), /ready/);
}

async function addNode(spec: NodeSpec, index: number): Promise<void> {
  const { name } = spec;
  await addNamespace(name);
  await ip(name, [
    `link add uplink type veth peer name ${name} netns ${DNS}`,
    `addr add 172.16.${index}.1/30 dev uplink`,
    `addr add fd00:172:${index}::1/64 dev uplink nodad`,
    'link set uplink up',
    `route add 10.0.0.0/24 via 172.16.${index}.2`,
    `route add fd00:53::/64 via fd00:172:${index}::2`,
    ...nodeLocalAddresses(spec).map((address) => `addr add ${address} dev lo nodad`),
  ]);
  await ip(DNS, [
    `addr add 172.16.${index}.2/30 dev ${name}`,
    `addr add fd00:172:${index}::2/64 dev ${name} nodad`,
    `link set ${name} up`,
    `route add 10.244.${index}.0/24 via 172.16.${index}.1`,
    `route add fd00:244:${index}::/48 via fd00:172:${index}::1`,
  ]);
  await runWithin(name, ['sysctl', '-q', '-w', ...NODE_SETTINGS]);
  await runWithin(name, ['nft', '-f', '-'], nodeRules(spec));
}

export interface Cluster {
  /** The running node-local caches. */
  readonly caches: Map<NodeName, Service>;
  /** Creates a Pod on a node: a namespace named `name` with its own files under /etc. */
  addPod(name: string, node: NodeName, files: PodFiles): Promise<Place>;
  readonly addSidecar: AddSidecar;
}

interface PodFiles {
  readonly resolvConf: string;
  /** nftables rules that carry a network policy out. */
  readonly egress?: readonly string[];
}

/** As in Debian's images; the machine's own file may list other sources first. */
const NSSWITCH = 'passwd: files\ngroup: files\nhosts: files dns\n';

/** /etc/hosts as the kubelet writes it. */
const HOSTS = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n';

/**
 * Mounts a file over another or over the target of a link: with systemd-resolved, /etc/resolv.conf is a link into /run, which is
 * empty in the lab.
 */
const COVER = `cover() {
  target=$(readlink -m "$2")
  case $target in /run/*) mkdir -p "$(dirname "$target")"; touch "$target";; esac
  mount --bind "$1" "$target"
}`;

async function mountFiles(name: string, { resolvConf }: PodFiles): Promise<number> {
  const files = { 'resolv.conf': resolvConf, 'nsswitch.conf': NSSWITCH, hosts: HOSTS };
  const folder = `${FOLDER}/${name}`;
  await mkdir(folder, { recursive: true });
  for (const [file, content] of Object.entries(files)) await writeFile(`${folder}/${file}`, content);
  const mounts = Object.keys(files).map((file) => `cover ${folder}/${file} /etc/${file}`);
  // The namespace lives as long as a process in it does.
  const script = [COVER, ...mounts, 'echo ready', 'exec sleep infinity'].join('\n');
  const { child } = await startService(name, ['unshare', '--mount', 'sh', '-ec', script], /ready/);
  return child.pid ?? 0;
}

async function addPod(name: string, node: number, number: number, files: PodFiles): Promise<Place> {
  const peer = `pod${number}`;
  const network = 4 * number;
  await addNamespace(name);
  await ip(name, [
    `link add eth0 type veth peer name ${peer} netns ${NODES[node - 1]?.name}`,
    `addr add 10.244.${node}.${network + 2}/30 dev eth0`,
    `addr add fd00:244:${node}:${number}::2/64 dev eth0 nodad`,
    'link set eth0 up',
  ]);
  await ip(NODES[node - 1]?.name ?? '', [
    `addr add 10.244.${node}.${network + 1}/30 dev ${peer}`,
    `addr add fd00:244:${node}:${number}::1/64 dev ${peer} nodad`,
    `link set ${peer} up`,
  ]);
  await ip(name, [
    `route add default via 10.244.${node}.${network + 1}`,
    `route add default via fd00:244:${node}:${number}::1`,
  ]);
  if (files.egress !== undefined && files.egress.length > 0) {
    await runWithin(name, ['nft', '-f', '-'], podRules(files.egress));
  }
  return { namespace: name, mounts: await mountFiles(name, files) };
}

/** Builds the DNS host and all nodes with their rules, and starts the nodes' caches. `coreDns` is its path, for caches in Pods. */
export async function buildCluster(coreDns?: string): Promise<Cluster> {
  await mkdir(FOLDER, { recursive: true });
  const addSidecar = await sidecars(coreDns);
  await addDnsHost();
  const caches = new Map<NodeName, Service>();
  for (const [index, spec] of NODES.entries()) {
    await addNode(spec, index + 1);
    if (spec.cache === 'up' || spec.cache === 'restarts') caches.set(spec.name, await startCache(spec));
  }
  const pods = new Map<NodeName, number>();
  return {
    caches,
    addSidecar,
    addPod: async (name, node, files) => {
      const number = pods.get(node) ?? 0;
      pods.set(node, number + 1);
      return addPod(name, NODES.findIndex((spec) => spec.name === node) + 1, number, files);
    },
  };
}
