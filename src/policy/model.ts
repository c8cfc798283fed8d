import type { Reason } from './reasons.ts';
import type { Resolver, Verdict } from './verdict.ts';

/** `enforce`: patch. `audit`: decide and report, patch nothing. `off`: leave alone. */
export type Mode = 'enforce' | 'audit' | 'off';

/** `options`: resolver options. `redirect`: the node-local cache as nameserver. `retry`: musl sends again early. `sidecar`: a cache in the Pod. */
export type Remedy = 'options' | 'redirect' | 'retry' | 'sidecar';

/** core/v1 PodDNSConfigOption. An option may have no value. */
export interface DnsOption {
  readonly name: string;
  readonly value?: string;
}

/** core/v1 PodDNSConfig; null counts as absent. */
export interface DnsConfig {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly DnsOption[];
}

export interface ContainerView {
  readonly name: string;
  /** Empty if the Pod names none. */
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  /** The variables of `env` to which the Pod itself gives a value; absent if there are none. */
  readonly env?: Readonly<Record<string, string>>;
  /** The variables of `env` whose value comes from elsewhere (`valueFrom`); absent if there are none. */
  readonly envElsewhere?: readonly string[];
  /** There is an `envFrom`. */
  readonly envFrom?: true;
  /** Absent: the image's. */
  readonly workingDir?: string;
  /** `runAsUser` of the container, else of the Pod. */
  readonly user?: string;
  /** Where volumes are mounted, other than the service account's token; absent if nowhere. */
  readonly mounts?: readonly string[];
}

/** The fields of a core/v1 Toleration that show virtual nodes. */
interface TolerationView {
  readonly key: string;
  readonly value: string;
}

/** A node label and the values of it that are allowed. */
interface NodeLabelChoice {
  readonly key: string;
  readonly values: readonly string[];
}

/** What a Pod has in the place of the cache that remedy `sidecar` adds. */
interface SidecarView {
  /** Whether the Pod has our cache already. It is not one of `containers`. */
  readonly ours: boolean;
  /** Whether a container or volume that is not ours has its name. */
  readonly nameTaken: boolean;
  /** Whether a container declares one of its ports. */
  readonly portTaken: boolean;
  /** Whether the Pod as a whole has resources (`spec.resources`), which bound the sum of its containers'. */
  readonly podResources: boolean;
}

/** The parts of a Pod that a decision needs; `readPod` makes it from the API object. */
export interface PodView {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** ClusterFirst if the Pod names none, which is the API server's default. */
  readonly dnsPolicy: string;
  readonly dnsConfig: DnsConfig;
  readonly hostNetwork: boolean;
  /** `spec.os.name`; empty if absent. */
  readonly os: string;
  readonly nodeName: string;
  readonly schedulerName: string;
  readonly nodeSelector: Readonly<Record<string, string>>;
  /** What each term of the required node affinity demands by `In`: one term must hold, with all its demands. */
  readonly nodeAffinity: readonly (readonly NodeLabelChoice[])[];
  readonly tolerations: readonly TolerationView[];
  readonly imagePullSecrets: readonly string[];
  readonly serviceAccountName: string;
  /** Init containers, native sidecars among them, then containers. Ephemeral containers do not count. */
  readonly containers: readonly ContainerView[];
  readonly sidecar: SidecarView;
}

export interface NamespaceView {
  readonly name: string;
  /** Only `namespaceLabelsRead` of them count. */
  readonly labels: Readonly<Record<string, string>>;
}

/** The contents of a resolv.conf; options are spelled like in the file: `ndots:5`. */
export interface ResolvConf {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/**
 * `ready`: the cache answers on an address of its own on every node that should have it. `unready`: on too few of them.
 * `intercepting`: it answers on the service address itself, and needs no redirect. `unknown`: discovery did not look
 * for it, or did not understand what it found.
 */
export type NodeLocalState = 'ready' | 'unready' | 'intercepting' | 'absent' | 'unknown';

/** The cluster's DNS settings. */
export interface ClusterFacts {
  readonly dns: readonly string[];
  /** Empty if the kubelet has none and so writes no cluster searches. */
  readonly domain: string;
  /** Search domains of the nodes' own resolv.conf, which the kubelet appends under ClusterFirst. */
  readonly nodeSearches: readonly string[];
  /** `domain` or `nodeSearches` is unknown, and set to the value that most clusters have. */
  readonly searchesAssumed?: boolean;
  /** The cluster DNS answered over TCP lately. */
  readonly dnsOverTcp: boolean;
  readonly nodeLocal: NodeLocalState;
  /**
   * Addresses at which discovery found the node-local cache; `nodeLocal.mode: auto` prefers them to the configured
   * ones.
   */
  readonly nodeLocalAddresses?: readonly string[];
  /** Whether the API server runs native sidecars (Kubernetes 1.29 and later); absent if there is none to ask. */
  readonly nativeSidecars?: boolean;
  /** The namespace the webhook itself runs in. */
  readonly ownNamespace?: string;
  /** Whether some node can lose DNS packets; undefined: not known, which counts as true. Read with `exposure: auto` only. */
  readonly exposed?: boolean;
}

/**
 * `uncertain`: a network policy or a fact is missing or cannot be read, or lets packets through to only some of the places
 * that are meant.
 */
export type Permit = 'allowed' | 'denied' | 'uncertain';

interface Permits {
  /** The nameservers that the kubelet writes, over TCP. */
  readonly dnsTcp: Permit;
  /** The node-local cache's own addresses; `allowed` if Pods are not redirected. */
  readonly nodeLocalUdp: Permit;
  readonly nodeLocalTcp: Permit;
}

/** What its network policies let a Pod reach. */
export interface Reach extends Permits {
  /** The policy to look at for each, with its kind: `NetworkPolicy shop/allow-dns`. Undefined if it is allowed, or no policy can be read. */
  readonly by?: Readonly<Partial<Record<keyof Permits, string>>>;
}

/** The cache that remedy `sidecar` adds, as it is configured. */
interface SidecarConfig {
  readonly image: string;
  /** core/v1 ResourceRequirements. */
  readonly resources: Readonly<Record<'requests' | 'limits', Readonly<Record<string, string>>>>;
  /** Bytes: its limit of memory. */
  readonly memoryBytes: number;
}

/** The part of the configuration that decisions need: options parsed, nothing optional. */
export interface PolicyConfig {
  readonly scope: 'opt-in' | 'cluster';
  readonly mode: 'enforce' | 'audit';
  readonly excludeNamespaces: readonly string[];
  /** `auto`: nothing is done while no node can lose DNS packets. */
  readonly exposure: 'always' | 'auto';
  readonly glibc: { readonly options: readonly DnsOption[]; readonly tcpPreflight: boolean };
  readonly go: { readonly options: readonly DnsOption[] };
  readonly musl: {
    readonly remedy: 'auto' | 'redirect' | 'retry' | 'none';
    /** Seconds for the whole look-up, not for each attempt (musl res_msend.c). */
    readonly timeout: number;
    readonly attempts: number;
    readonly extraNameservers: readonly string[];
  };
  readonly mixedPods: 'redirect' | 'retry';
  readonly extraOptions: Readonly<Partial<Record<Resolver, readonly DnsOption[]>>>;
  readonly nodeLocal: {
    readonly mode: 'auto' | 'on' | 'off';
    readonly addresses: readonly string[];
    readonly fallback: boolean;
  };
  /** The remedy for musl on virtual nodes, where no node-local cache runs. */
  readonly virtualNodes: 'none' | 'sidecar';
  readonly sidecar: SidecarConfig;
}

export interface ContainerVerdict extends Verdict {
  readonly name: string;
  readonly image: string;
}

/** The cache that remedy `sidecar` adds: a container, a volume, and an annotation with the Corefile (sidecar.ts). */
export interface SidecarChange extends SidecarConfig {
  readonly corefile: string;
}

/** A change of a Pod's spec. Absent parts stay as they are. */
export interface DnsChange {
  readonly dnsPolicy?: 'None';
  /** The whole new list. */
  readonly nameservers?: readonly string[];
  /** The whole new list. */
  readonly searches?: readonly string[];
  /** Appended to the Pod's options. */
  readonly options: readonly DnsOption[];
  readonly sidecar?: SidecarChange;
}

export interface Decision {
  readonly mode: Mode;
  readonly reason: Reason;
  /** The reason's sentence, and details of this Pod. */
  readonly message: string;
  /** The message without what a look-up said; absent if it says nothing of one. For callers that nothing vouches for. */
  readonly general?: string;
  /** The remedies that `change` applies, or in audit mode would apply. */
  readonly remedy: readonly Remedy[];
  readonly containers: readonly ContainerVerdict[];
  /** Absent if the Pod needs no change. Set in audit mode too: the caller must not apply it then. */
  readonly change?: DnsChange;
  /** Messages for the sender of the Pod, about invalid labels and annotations of ours and DNS settings that break a resolver. */
  readonly warnings: readonly string[];
}

/** A decision as observers get it. */
export interface ToldDecision {
  /** The Pod's `metadata.ownerReferences`, as the request has them. */
  readonly owners: unknown;
  readonly namespace: string;
  readonly decision: Decision;
}
