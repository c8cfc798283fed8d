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

/** A Pod, or an address alone, that answers behind the DNS Service. */
export interface DnsBackend {
  /** Addresses, or blocks that they lie in. */
  readonly addresses: readonly string[];
  readonly port: Readonly<Partial<Record<Protocol, number>>>;
  /** undefined: no Pod, or one on its node's network. */
  readonly pod?: EndpointPod;
}

/** What is behind the DNS Service. */
export interface DnsBackends {
  /** `namespace/name`. */
  readonly service: string;
  /** The Service's own. */
  readonly addresses: readonly string[];
  readonly backends: readonly DnsBackend[];
}

const NAME_LABEL = 'kubernetes.io/metadata.name';

/** The labels of a namespace of which nothing but the name is known: the API server sets this one. */
export const namedNamespace = (name: string): SelectedPod['namespaceLabels'] =>
  labelsOf({ [NAME_LABEL]: name }, { complete: false });

const unknown = labelsOf({}, { complete: false });

/** A Pod that any selector may match. */
const UNKNOWN_POD: EndpointPod = { namespace: '', namespaceLabels: unknown, labels: unknown };

/** Ports as the manifests of CoreDNS and of kubeadm name them. */
const USUAL_PORTS: NonNullable<EndpointPod['ports']> = [
  { name: 'dns', port: DNS_PORT, protocol: 'UDP' },
  { name: 'dns-tcp', port: DNS_PORT, protocol: 'TCP' },
];

/** Any address of the families of `addresses`. */
const anyLike = (addresses: readonly string[]): string[] => [
  ...new Set(addresses.map((address) => (address.includes(':') ? '::/0' : '0.0.0.0/0'))),
];

/**
 * The cluster DNS as most clusters have it, where none can be asked: Pods of kube-system with the label `k8s-app: kube-dns` and port 53.
 * `dns`: its addresses.
 */
export const assumedBackends = (dns: readonly string[]): DnsBackends => ({
  service: 'kube-system/kube-dns',
  addresses: dns,
  backends: [
    {
      addresses: anyLike(dns),
      port: { TCP: DNS_PORT, UDP: DNS_PORT },
      pod: {
        namespace: 'kube-system',
        namespaceLabels: namedNamespace('kube-system'),
        labels: labelsOf({ 'k8s-app': 'kube-dns' }, { complete: false }),
        ports: USUAL_PORTS,
      },
    },
  ],
});

/** What is known of nothing but the Service's name. */
export const unknownBackends = (service: string, dns: readonly string[]): DnsBackends => ({
  service,
  addresses: dns,
  backends: [{ addresses: anyLike(dns), port: {}, pod: UNKNOWN_POD }],
});

/** What Pods ask, and what they may be led to. */
export interface DnsPlaces {
  /** Nameservers that the kubelet writes. */
  readonly dns: readonly string[];
  /** The node-local cache's own addresses. */
  readonly nodeLocal: readonly string[];
  /** A node-local cache answers on the Service's address: one on the node's network, or, by a redirect of Cilium's, a Pod. */
  readonly intercepting: boolean;
  readonly behind: DnsBackends;
  /** Cilium carries out the policies. */
  readonly cilium: boolean;
}

export interface DnsTargets {
  readonly dns: Target;
  /** undefined: there is no node-local cache to be led to. */
  readonly nodeLocal?: Target;
}

const blocks = (addresses: readonly string[]): IpBlock[] =>
  addresses.map(parseBlock).filter((block) => block !== undefined);

/** Where the packets of Pods go that ask these nameservers. */
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
  const intercepted = intercepting ? plain(onService).map((one) => Object.assign(one, { pod: UNKNOWN_POD })) : [];
  const onNode = plain(dns.filter((address) => !isService(address)));
  return {
    dns: targetOf([...(onService.length > 0 ? translated : []), ...intercepted, ...onNode]),
    ...(nodeLocal.length > 0 && { nodeLocal: targetOf(plain(nodeLocal)) }),
  };
}

/** What a Pod reaches that no policy selects. */
export const REACHES_ALL: Reach = { dnsTcp: 'allowed', nodeLocalUdp: 'allowed', nodeLocalTcp: 'allowed' };

/** What `policies`, of which any may not select the Pod, let it reach. */
export function dnsReach(policies: readonly EgressPolicy[], pod: SelectedPod, { dns, nodeLocal }: DnsTargets): Reach {
  const selecting = policies.filter((policy) => policy.selects(pod) !== 'no');
  if (selecting.length === 0) return REACHES_ALL;
  const tcp = egressTo(selecting, pod, dns, 'TCP');
  const nodeUdp = nodeLocal && egressTo(selecting, pod, nodeLocal, 'UDP');
  const nodeTcp = nodeLocal && egressTo(selecting, pod, nodeLocal, 'TCP');
  const by = tcp.by ?? nodeUdp?.by ?? nodeTcp?.by;
  if ([tcp, nodeUdp, nodeTcp].every((egress) => egress === undefined || egress.permit === 'allowed'))
    return REACHES_ALL;
  return {
    dnsTcp: tcp.permit,
    nodeLocalUdp: nodeUdp?.permit ?? 'allowed',
    nodeLocalTcp: nodeTcp?.permit ?? 'allowed',
    ...(by !== undefined && { by }),
  };
}
