import type { OwnerSeen, PodSeen } from '../../cluster/pod-seen.ts';
import type { KubeProxySources } from '../../exposure/kube-proxy.ts';
import type { Labels } from '../../kubernetes/objects.ts';
import type { ClusterFacts, PodView } from '../../policy/model.ts';
import type { LeftOut } from '../../pod-resolvers/left-out.ts';

/**
 * What the checks need from a cluster; reader.ts implements it. Every method rejects with an error that has a `code`:
 * `forbidden`, `not-found`, `timeout`, `unreachable`, …
 */
export interface ClusterView {
  /** The API server's address. */
  readonly server: string;
  /** The API server's version, `v1.36.2`. */
  version(): Promise<string>;
  nodes(): Promise<readonly NodeSeen[]>;
  kubeProxy(): Promise<KubeProxySources>;
  /** Returns the DaemonSets that are known to use NFQUEUE. */
  nfqueueUsers(): Promise<readonly string[]>;
  /** Labels by namespace. */
  namespaces(): Promise<ReadonlyMap<string, Readonly<Record<string, string>>>>;
  webhookConfigurations(): Promise<readonly WebhookConfiguration[]>;
  /** The one of this name, or none. The webhook's own account may list only this one. */
  webhookConfigurationsNamed(name: string): Promise<readonly WebhookConfiguration[]>;
  /** Rejects with `not-found` if the API server does not have this kind. */
  mutatingPolicies(): Promise<readonly MutatingPolicy[]>;
  /**
   * Returns how many images each namespace's PodResolvers leaves out. Rejects with `not-found` if the API server does not have this kind.
   */
  podResolvers(): Promise<LeftOut>;
  lease(namespace: string, name: string): Promise<LeaseSeen | undefined>;
  service(namespace: string, name: string): Promise<ServiceSeen | undefined>;
  deployments(namespace: string): Promise<readonly DeploymentSeen[]>;
  disruptionBudgets(namespace: string): Promise<readonly BudgetSeen[]>;
  /** Pods that have all of these labels. */
  podsWith(namespace: string, labels: Labels): Promise<readonly PodSeen[]>;
  /** Pods of the whole cluster, at most `most`; read page by page. */
  allPods(most: number): Promise<readonly PodSeen[]>;
  configMap(namespace: string, name: string): Promise<Readonly<Record<string, string>> | undefined>;
  /** The certificates of a Secret by key; everything else in it is dropped. */
  secretCertificates(namespace: string, name: string): Promise<Readonly<Record<string, string>> | undefined>;
  /** The dnsConfig of a workload's Pod template; undefined if the workload is gone or of another kind. */
  templateDns(owner: OwnerSeen, namespace: string): Promise<PodView['dnsConfig'] | undefined>;
  /** Asks the API server's authorizer whether a service account has a right. */
  mayDo(user: string, right: Right): Promise<boolean>;
  /** Creates a Pod as a dry run, which stores nothing, and returns what admission made of it. */
  rehearse(namespace: string, pod: object): Promise<{ readonly annotations: Labels }>;
  /** Samples of the API server's own metrics with one of these names, a line each. */
  apiServerMetrics(names: readonly string[]): Promise<readonly string[]>;
  /** The same of a Pod that serves its own metrics, asked through the API server. */
  podMetrics(pod: PodPort, names: readonly string[]): Promise<readonly string[]>;
}

/** The port of a Pod that speaks plain HTTP. */
interface PodPort {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

export interface NodeSeen {
  readonly name: string;
  /** `status.nodeInfo.kernelVersion`. */
  readonly kernel: string;
  /** `linux` or `windows`. */
  readonly os: string;
}

/** meta/v1 LabelSelector; an empty one selects everything. */
export interface LabelSelector {
  readonly matchLabels: Labels;
  readonly matchExpressions: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values: readonly string[];
  }[];
}

export interface AdmissionRule {
  readonly apiGroups: readonly string[];
  readonly operations: readonly string[];
  readonly resources: readonly string[];
}

/** admissionregistration.k8s.io/v1 MutatingWebhook, with the API server's defaults. */
export interface WebhookEntry {
  readonly name: string;
  readonly service?: { readonly namespace: string; readonly name: string; readonly port: number };
  readonly url?: string;
  /** PEM; empty if there is none. */
  readonly caBundle: string;
  readonly rules: readonly AdmissionRule[];
  readonly failurePolicy: string;
  readonly reinvocationPolicy: string;
  readonly timeoutSeconds: number;
  readonly reviewVersions: readonly string[];
  readonly namespaceSelector: LabelSelector;
  readonly objectSelector: LabelSelector;
}

export interface WebhookConfiguration {
  readonly name: string;
  readonly entries: readonly WebhookEntry[];
}

/** admissionregistration.k8s.io MutatingAdmissionPolicy. */
export interface MutatingPolicy {
  readonly name: string;
  /** Where the chart says that it belongs; undefined for policies of others. */
  readonly namespace?: string;
  /** Names of its bindings; a policy without one has no effect. */
  readonly bindings: readonly string[];
  readonly rules: readonly AdmissionRule[];
  /** CEL expressions. */
  readonly mutations: readonly string[];
}

export interface ServiceSeen {
  readonly type: string;
  readonly selector: Labels;
  readonly ports: readonly number[];
}

export interface DeploymentSeen {
  readonly name: string;
  readonly podLabels: Labels;
  readonly desired: number;
  readonly ready: number;
  readonly updated: number;
  readonly serviceAccount: string;
  /** Command and arguments of the container that runs `serve`. */
  readonly words: readonly string[];
  /** Its environment variables, without those that refer to other objects. */
  readonly environment: Labels;
  /** Its mounts of ConfigMaps and Secrets. */
  readonly mounts: readonly MountSeen[];
}

export interface MountSeen {
  readonly path: string;
  readonly kind: 'configMap' | 'secret';
  readonly name: string;
}

/** coordination.k8s.io/v1 Lease. */
export interface LeaseSeen {
  /** The identity of who holds it; empty if it is free. */
  readonly holder: string;
  /** Milliseconds since the epoch; undefined if it was never held. */
  readonly renewedAt: number | undefined;
}

export interface BudgetSeen {
  readonly name: string;
  readonly selector: LabelSelector;
  readonly disruptionsAllowed: number;
}

/** authorization.k8s.io/v1 ResourceAttributes. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** undefined for all namespaces, and for cluster-scoped resources. */
  readonly namespace?: string;
  readonly name?: string;
}

/** The cluster's DNS as discovery finds it, each value with its source. */
export interface DnsSeen {
  readonly facts: ClusterFacts;
  readonly sources: Readonly<Record<'dns' | 'domain' | 'nodeSearches' | 'nodeLocal', string>>;
  /** One sentence about the node-local cache. */
  readonly nodeLocalDetail: string;
  /** Why a part could not be read; the values are then guesses. */
  readonly unread?: Error;
}
