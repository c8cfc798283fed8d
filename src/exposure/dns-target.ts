import type { Reach } from '../policy/model.ts';
import { type IpBlock, parseBlock } from './policies/ip-block.ts';
import { labelsOf } from './policies/match.ts';
import {
  type EgressPolicy,
  egressTo,
  type Endpoint,
  type EndpointPod,
  type Protocol,
  type SelectedPod,
  type Target,
  targetOf,
} from './network-policies.ts';

const DNS_PORT = 53;

/** A Pod, or only an address, behind the DNS Service. */
export interface DnsBackend {
  /** Addresses, or blocks that contain them. */
  readonly addresses: readonly string[];
  readonly port: Readonly<Partial<Record<Protocol, number>>>;
  /** Undefined if it is no Pod, or a Pod on its node's network. */
  readonly pod?: EndpointPod;
}

/** The DNS Service and what is behind it. */
export interface DnsBackends {
  /** `namespace/name`. */
  readonly service: string;
  /** The Service's own addresses. */
  readonly addresses: readonly string[];
  readonly backends: readonly DnsBackend[];
}

const NAME_LABEL = 'kubernetes.io/metadata.name';

/** Returns the labels of a namespace of which only the name is known: the API server sets this label. */
export const namedNamespace = (name: string): SelectedPod['namespaceLabels'] =>
  labelsOf({ [NAME_LABEL]: name }, { complete: false });

const unknown = labelsOf({}, { complete: false });

/** A Pod that any selector may match. */
const UNKNOWN_POD: EndpointPod = { namespace: '', namespaceLabels: unknown, labels: unknown };

/** Port names in the manifests of CoreDNS and kubeadm. */
const USUAL_PORTS: NonNullable<EndpointPod['ports']> = [
  { name: 'dns', port: DNS_PORT, protocol: 'UDP' },
  { name: 'dns-tcp', port: DNS_PORT, protocol: 'TCP' },
];

/** Returns the blocks of all addresses, of the families of `addresses`. */
const anyLike = (addresses: readonly string[]): string[] => [
  ...new Set(addresses.map((address) => (address.includes(':') ? '::/0' : '0.0.0.0/0'))),
];

const USUAL_SERVICE = 'kube-system/kube-dns';

/**
 * Returns what is assumed behind the DNS Service, for manifests without a cluster. Behind `kube-system/kube-dns` these are Pods with the
 * label `k8s-app: kube-dns` and port 53; of another Service (`namespace/name`) only the namespace is known. `dns` is its addresses.
 */
export function assumedBackends(dns: readonly string[], service = USUAL_SERVICE): DnsBackends {
  const [namespace = ''] = service.split('/', 1);
  const isUsual = service === USUAL_SERVICE;
  const labels = labelsOf(isUsual ? { 'k8s-app': 'kube-dns' } : {}, { complete: false });
  const pod = { namespace, namespaceLabels: namedNamespace(namespace), labels };
  const common = { addresses: anyLike(dns) };
  const backend = isUsual
    ? { ...common, port: { TCP: DNS_PORT, UDP: DNS_PORT }, pod: { ...pod, ports: USUAL_PORTS } }
    : { ...common, port: {}, pod };
  return { service, addresses: dns, backends: [backend] };
}

/**
 * Returns what may be a Pod, or an address on a node or elsewhere, as both: policies have to let packets through to either.
 * Without this a selector of all Pods would match it for certain.
 */
export const perhapsPod = <T extends object>(
  place: T,
  pod: EndpointPod,
): readonly [T, T & { readonly pod: EndpointPod }] => [place, { ...place, pod }];

/** Returns backends of which nothing is known. */
export const unknownBackends = (service: string, dns: readonly string[]): DnsBackends => ({
  service,
  addresses: dns,
  backends: perhapsPod({ addresses: anyLike(dns), port: {} }, UNKNOWN_POD),
});

/** The DNS servers that Pods ask, or may be redirected to. */
interface DnsPlaces {
  /** Nameservers that the kubelet writes. */
  readonly dns: readonly string[];
  /** The node-local cache's own addresses. */
  readonly nodeLocal: readonly string[];
  /** A node-local cache answers on the Service's address: on the node's network, or as a Pod behind a Cilium redirect. */
  readonly intercepting: boolean;
  readonly behind: DnsBackends;
  /** Cilium enforces the policies. */
  readonly cilium: boolean;
}

export interface DnsTargets {
  readonly dns: Target;
  /** Undefined if Pods are not redirected to a node-local cache. */
  readonly nodeLocal?: Target;
}

const blocks = (addresses: readonly string[]): IpBlock[] =>
  addresses.map(parseBlock).filter((block) => block !== undefined);

/** Returns where the packets of Pods go that ask these servers. */
export function dnsTargets({ dns, nodeLocal, intercepting, behind, cilium }: DnsPlaces): DnsTargets {
  const plain = (addresses: readonly string[]): Endpoint[] =>
    blocks(addresses).map((address) => ({
      address,
      port: { TCP: DNS_PORT, UDP: DNS_PORT },
      blocksMayMiss: cilium,
    }));
  const service = { name: behind.service, addresses: blocks(behind.addresses) };
  const translated = behind.backends.flatMap(({ addresses, port, pod }) => {
    const common = { port, service, blocksMayMiss: cilium, ...(pod !== undefined && { pod }) };
    return blocks(addresses).map((address): Endpoint => Object.assign({ address }, common));
  });
  const isService = (address: string): boolean => behind.addresses.includes(address);
  const onService = dns.filter(isService);
  const intercepted = intercepting ? plain(onService).flatMap((one) => perhapsPod(one, UNKNOWN_POD)) : [];
  const onNode = plain(dns.filter((address) => !isService(address)));
  return {
    dns: targetOf([...(onService.length > 0 ? translated : []), ...intercepted, ...onNode]),
    ...(nodeLocal.length > 0 && { nodeLocal: targetOf(plain(nodeLocal)) }),
  };
}

/** The reach of a Pod that no policy selects. */
export const REACHES_ALL: Reach = { dnsTcp: 'allowed', nodeLocalUdp: 'allowed', nodeLocalTcp: 'allowed' };

/** Evaluates policies for a Pod. Ignores policies that do not select it. */
export function dnsReach(policies: readonly EgressPolicy[], pod: SelectedPod, { dns, nodeLocal }: DnsTargets): Reach {
  const selecting = policies.filter((policy) => policy.selects(pod) !== 'no');
  if (selecting.length === 0) return REACHES_ALL;
  const tcp = egressTo(selecting, pod, dns, 'TCP');
  const nodeUdp = nodeLocal && egressTo(selecting, pod, nodeLocal, 'UDP');
  const nodeTcp = nodeLocal && egressTo(selecting, pod, nodeLocal, 'TCP');
  if ([tcp, nodeUdp, nodeTcp].every((egress) => egress === undefined || egress.permit === 'allowed'))
    return REACHES_ALL;
  return {
    dnsTcp: tcp.permit,
    nodeLocalUdp: nodeUdp?.permit ?? 'allowed',
    nodeLocalTcp: nodeTcp?.permit ?? 'allowed',
    by: {
      ...(tcp.by !== undefined && { dnsTcp: tcp.by }),
      ...(nodeUdp?.by !== undefined && { nodeLocalUdp: nodeUdp.by }),
      ...(nodeTcp?.by !== undefined && { nodeLocalTcp: nodeTcp.by }),
    },
  };
}
