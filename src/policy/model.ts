import type { Reason } from './reasons.ts';
import type { Resolver, Verdict } from './verdict.ts';

/** `enforce`: patch. `audit`: decide and report, patch nothing. `off`: leave alone. */
export type Mode = 'enforce' | 'audit' | 'off';

/** `options`: resolver options. `redirect`: the node-local cache as nameserver. `retry`: musl resends early. */
export type Remedy = 'options' | 'redirect' | 'retry';

/** core/v1 PodDNSConfigOption. An option may have no value. */
export interface DnsOption {
  readonly name: string;
  readonly value?: string;
}

/** core/v1 PodDNSConfig, nulls read as absent. */
export interface DnsConfig {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly DnsOption[];
}

export interface ContainerView {
  readonly name: string;
  /** Empty where the Pod names none. */
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  /** Of `env` the variables by which a Go program chooses its resolver, as far as they are written out; absent if there are none. */
  readonly env?: Readonly<Record<string, string>>;
}

/** core/v1 Toleration, as far as virtual nodes show in it. */
interface TolerationView {
  readonly key: string;
  readonly value: string;
}

/** A label of nodes, with the values that are let in. */
interface NodeLabelChoice {
  readonly key: string;
  readonly values: readonly string[];
}

/** What a decision needs of a Pod; `read-pod.ts` makes it from the API object. */
export interface PodView {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** The API server's default where the Pod says nothing: ClusterFirst. */
  readonly dnsPolicy: string;
  readonly dnsConfig: DnsConfig;
  readonly hostNetwork: boolean;
  /** `spec.os.name`, empty where not given. */
  readonly os: string;
  readonly nodeName: string;
  readonly schedulerName: string;
  readonly nodeSelector: Readonly<Record<string, string>>;
  /** What the required node affinity lets in by `In`, of all its terms, in its order: the scheduler may use each. */
  readonly nodeAffinity: readonly NodeLabelChoice[];
  readonly tolerations: readonly TolerationView[];
  readonly imagePullSecrets: readonly string[];
  readonly serviceAccountName: string;
  /** Init containers (native sidecars are among them), then containers. Ephemeral containers do not count. */
  readonly containers: readonly ContainerView[];
}

export interface NamespaceView {
  readonly name: string;
  /** Only our own label is read. */
  readonly labels: Readonly<Record<string, string>>;
}

/** The contents of a resolv.conf. Options are written as there: `ndots:5`. */
export interface ResolvConf {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/**
 * `ready`: answers on an address of its own on every node it is meant for. `unready`: on too few of them. `intercepting`:
 * answers on the service address itself, no redirect is needed. `unknown`: not looked for, or not understood.
 */
export type NodeLocalState = 'ready' | 'unready' | 'intercepting' | 'absent' | 'unknown';

/** What is known of the cluster's DNS. */
export interface ClusterFacts {
  readonly dns: readonly string[];
  /** Empty: the kubelet has none and writes no cluster searches. */
  readonly domain: string;
  /** Search domains of the nodes' own resolv.conf, which the kubelet appends under ClusterFirst. */
  readonly nodeSearches: readonly string[];
  /** Whether `domain` or `nodeSearches` is only what most clusters have, for nothing says what they are here. */
  readonly searchesAssumed?: boolean;
  /** Whether the cluster DNS has answered over TCP lately. */
  readonly dnsOverTcp: boolean;
  readonly nodeLocal: NodeLocalState;
  /** Where discovery found the node-local cache; `nodeLocal.mode: auto` prefers them to the configured addresses. */
  readonly nodeLocalAddresses?: readonly string[];
  /** The namespace the webhook itself runs in. */
  readonly ownNamespace?: string;
}

/** The configuration as the policy reads it: options parsed, nothing optional. */
export interface PolicyConfig {
  readonly scope: 'opt-in' | 'cluster';
  readonly mode: 'enforce' | 'audit';
  readonly excludeNamespaces: readonly string[];
  readonly glibc: { readonly options: readonly DnsOption[]; readonly tcpPreflight: boolean };
  readonly go: { readonly options: readonly DnsOption[] };
  readonly musl: {
    readonly remedy: 'auto' | 'redirect' | 'retry' | 'none';
    /** Seconds in all, not for each try (musl res_msend.c). */
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
}

export interface ContainerVerdict extends Verdict {
  readonly name: string;
  readonly image: string;
}

/** What is to be changed in a Pod's spec. Absent parts stay as they are. */
export interface DnsChange {
  readonly dnsPolicy?: 'None';
  /** The whole new list. */
  readonly nameservers?: readonly string[];
  /** The whole new list. */
  readonly searches?: readonly string[];
  /** Appended to what is there. */
  readonly options: readonly DnsOption[];
}

export interface Decision {
  readonly mode: Mode;
  readonly reason: Reason;
  /** The reason's sentence, and what is particular to this Pod. */
  readonly message: string;
  /** What is done to the Pod (in audit mode: what would be). Empty: nothing. */
  readonly remedy: readonly Remedy[];
  readonly containers: readonly ContainerVerdict[];
  /** Absent: nothing is to be changed. Set in audit mode too: the caller must not apply it then. */
  readonly change?: DnsChange;
  /** For the person who sent the Pod: labels and annotations of ours that are not valid, DNS settings that break musl. */
  readonly warnings: readonly string[];
}

/** A decision, for whoever passes it on. */
export interface ToldDecision {
  /** The Pod's `metadata.ownerReferences`, as the request has them. */
  readonly owners: unknown;
  readonly namespace: string;
  readonly decision: Decision;
}
