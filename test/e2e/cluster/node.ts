import { existsSync, globSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type Daemons, until } from './daemons.ts';
import {
  certificatesOf,
  CLUSTER_DNS,
  NODE_SEARCH,
  type NodePlace,
  type Order,
  OUTSIDE,
  POD_NETWORK,
  REGISTRIES,
} from './place.ts';

/** The cgroup below which kubelets put their Pods. */
export const CGROUP = 'libc-dns-e2e';

/** Returns the folders of a cgroup: one for each hierarchy of version 1, one in all of version 2. */
export function cgroupFolders(path: string): string[] {
  const root = '/sys/fs/cgroup';
  const hierarchies = globSync(`${root}/*/cgroup.procs`).map((file) => file.slice(0, -'/cgroup.procs'.length));
  const isUnified = globSync(`${root}/cgroup.controllers`).length > 0;
  return (isUnified ? [root] : hierarchies).map((folder) => join(folder, path));
}

/** What would come from the public registries comes from ours. */
async function writeMirrors(folder: string, ca: string): Promise<void> {
  for (const registry of REGISTRIES) {
    await mkdir(join(folder, registry), { recursive: true });
    const host = `server = "https://${OUTSIDE}"\n[host."https://${OUTSIDE}"]\ncapabilities = ["pull", "resolve"]\nca = "${ca}"\n`;
    await writeFile(join(folder, registry, 'hosts.toml'), host);
  }
}

const containerdConfig = (place: string, plugins: string): string => `version = 3
root = "${place}/containerd/root"
state = "${place}/containerd/state"
[grpc]
  address = "${place}/containerd.sock"
[ttrpc]
  address = "${place}/containerd.sock.ttrpc"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  use_local_image_pull = true
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "registry.k8s.io/pause:3.10"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "${place}/certs.d"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  # Some machines do not let even root lower it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["${plugins}"]
    conf_dir = "${place}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`;

const cniConfig = (place: string, pods: string): object => ({
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [
    {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: false,
      hairpinMode: true,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: `${pods}.0/24` }]],
        routes: [{ dst: '0.0.0.0/0' }],
        dataDir: join(place, 'addresses'),
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
});

const kubeletConfig = (order: Order, { name }: NodePlace, place: string): object => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  failCgroupV1: false,
  cgroupDriver: 'cgroupfs',
  cgroupRoot: `/${CGROUP}/${name}`,
  enforceNodeAllocatable: [],
  clusterDNS: [CLUSTER_DNS],
  clusterDomain: 'cluster.local',
  resolvConf: join(place, 'resolv.conf'),
  containerRuntimeEndpoint: `unix://${place}/containerd.sock`,
  tlsCertFile: join(certificatesOf(order.folder), `kubelet-server-${name}.crt`),
  tlsPrivateKeyFile: join(certificatesOf(order.folder), `kubelet-server-${name}.key`),
  authentication: {
    x509: { clientCAFile: join(certificatesOf(order.folder), 'ca.crt') },
    webhook: { enabled: true },
    anonymous: { enabled: false },
  },
  authorization: { mode: 'Webhook' },
  failSwapOn: false,
  maxPods: 200,
  podLogsDir: join(place, 'pod-logs'),
  serializeImagePulls: false,
  registryPullQPS: 0,
  evictionHard: { 'memory.available': '200Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
  imageGCHighThresholdPercent: 100,
  nodeStatusUpdateFrequency: '4s',
  // A Secret that has changed is in the Pods within seconds. With the default of a minute tests would only wait.
  syncFrequency: '10s',
});

/** Starts containerd, the kubelet and kube-proxy of a node. */
export async function startNode(order: Order, node: NodePlace, daemons: Daemons): Promise<void> {
  const { name, address, pods } = node;
  const place = join(order.folder, name);
  const certificates = certificatesOf(order.folder);
  await mkdir(join(place, 'cni'), { recursive: true });
  await writeMirrors(join(place, 'certs.d'), join(certificates, 'ca.crt'));
  await writeFile(join(place, 'containerd.toml'), containerdConfig(place, order.node));
  await writeFile(join(place, 'cni/10-bridge.conflist'), JSON.stringify(cniConfig(place, pods)));
  await writeFile(join(place, 'resolv.conf'), `nameserver ${OUTSIDE}\nsearch ${NODE_SEARCH}\n`);
  await writeFile(join(place, 'kubelet.json'), JSON.stringify(kubeletConfig(order, node, place)));
  for (const folder of cgroupFolders(`${CGROUP}/${name}`)) await mkdir(folder, { recursive: true });
  // containerd finds its shim on the path.
  const env = { PATH: `${order.node}:${process.env['PATH']}` };
  daemons.start(
    `containerd-${name}`,
    name,
    join(order.node, 'containerd'),
    ['--config', join(place, 'containerd.toml')],
    env,
  );
  // The kubelet ends where it is not there yet.
  await until(`containerd of ${name}`, async () => existsSync(join(place, 'containerd.sock')) || undefined);
  daemons.start(`kubelet-${name}`, name, join(order.node, 'kubelet'), [
    `--config=${place}/kubelet.json`,
    `--kubeconfig=${certificates}/kubelet-${name}.kubeconfig`,
    `--hostname-override=${name}`,
    `--node-ip=${address}`,
    `--root-dir=${place}/kubelet`,
    `--cert-dir=${place}/kubelet-certificates`,
  ]);
  daemons.start(`kube-proxy-${name}`, name, join(order.node, 'kube-proxy'), [
    `--kubeconfig=${certificates}/proxy.kubeconfig`,
    `--hostname-override=${name}`,
    `--proxy-mode=${order.proxyMode}`,
    `--cluster-cidr=${POD_NETWORK}`,
    '--conntrack-max-per-core=0',
    '--conntrack-tcp-timeout-established=0s',
    '--conntrack-tcp-timeout-close-wait=0s',
  ]);
}
