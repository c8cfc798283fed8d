import { join } from 'node:path';

/** Names and addresses of the cluster. All of them are in network namespaces of their own. */

/** The network outside of the nodes: the registry, and the name server that the nodes' resolv.conf names. */
export const OUTSIDE = '172.30.0.1';
export const NODES = [
  { name: 'node1', address: '172.30.0.11', pods: '10.244.1' },
  { name: 'node2', address: '172.30.0.12', pods: '10.244.2' },
] as const;
export type NodePlace = (typeof NODES)[number];

/** The control plane runs on the first node, as with kubeadm. */
export const API_SERVER = NODES[0].address;
export const SERVICES = '10.96.0.0/12';
export const POD_NETWORK = '10.244.0.0/16';
export const CLUSTER_DNS = '10.96.0.10';
/** Of the kubeconfigs. */
export const CONTEXT = 'e2e';
/** A search domain that the nodes have of their own. */
export const NODE_SEARCH = 'corp.example';

/** The registries that are stood in for. */
export const REGISTRIES = [
  'registry.e2e.test',
  'ghcr.io',
  'registry.k8s.io',
  'docker.io',
  'registry-1.docker.io',
] as const;

/** What is made outside of the isolation and used inside. */
export interface Order {
  readonly folder: string;
  /** Folders of programs. */
  readonly controlPlane: string;
  readonly node: string;
  /** OCI layouts to push: image name without registry, folder. */
  readonly images: Readonly<Record<string, string>>;
  readonly scenarios: readonly string[];
  readonly proxyMode: 'iptables' | 'nftables';
  /** Try once more what failed. */
  readonly again: boolean;
}

export const certificatesOf = (folder: string): string => join(folder, 'certificates');
export const logsOf = (folder: string): string => join(folder, 'logs');
