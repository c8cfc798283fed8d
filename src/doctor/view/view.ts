import type { OwnerSeen, PodSeen } from '../../cluster/pod-seen.ts';
import type { KubeProxySources } from '../../exposure/kube-proxy.ts';
import type { Labels } from '../../kubernetes/objects.ts';
import type { ClusterFacts, PodView } from '../../policy/model.ts';

/**
 * What the checks want to know of a cluster. Owned here; `kubernetes/` implements it. What cannot be read rejects with an error
 * that has a `code`: `forbidden`, `not-found`, `timeout`, `unreachable`, …
 */
export interface ClusterView {
  /** The API server's address. */
  readonly server: string;
  /** The API server's version, `v1.36.2`. */
  version(): Promise<string>;
  nodes(): Promise<readonly NodeSeen[]>;
  kubeProxy(): Promise<KubeProxySources>;
  /** By name, with the value of our label. */
  namespaces(): Promise<ReadonlyMap<string, Readonly<Record<string, string>>>>;
  webhookConfigurations(): Promise<readonly WebhookConfiguration[]>;
  /** The one of this name, if it is there: the webhook's own account may list it, and no other. */
  webhookConfigurationsNamed(name: string): Promise<readonly WebhookConfiguration[]>;
  /** Rejects with `not-found` where the API server has no such kind. */
  mutatingPolicies(): Promise<readonly MutatingPolicy[]>;
  service(namespace: string, name: string): Promise<ServiceSeen | undefined>;
  deployments(namespace: string): Promise<readonly DeploymentSeen[]>;
  disruptionBudgets(namespace: string): Promise<readonly BudgetSeen[]>;
  /** Pods that carry all of these labels. */
  podsWith(namespace: string, labels: Labels): Promise<readonly PodSeen[]>;
  /** Pods of the whole cluster, a page at a time; at most `most`. */
  allPods(most: number): Promise<readonly PodSeen[]>;
  configMap(namespace: string, name: string): Promise<Readonly<Record<string, string>> | undefined>;
  /** The certificates of a Secret by key; whatever else it holds is dropped. */
  secretCertificates(namespace: string, name: string): Promise<Readonly<Record<string, string>> | undefined>;
  /** The Pod template's dnsConfig of a workload, and undefined where the workload is not there any more. */
  templateDns(owner: OwnerSeen, namespace: string): Promise<PodView['dnsConfig'] | undefined>;
  /** Whether a service account may do something, as the API server's authorizer answers. */
  mayDo(user: string, right: Right): Promise<boolean>;
  /** Creates a Pod as a dry run: nothing is stored. What comes out of admission. */
  rehearse(namespace: string, pod: object): Promise<{ readonly annotations: Labels }>;
  /** Lines of the API server's own metrics that begin with one of the names. */
  apiServerMetrics(names: readonly string[]): Promise<readonly string[]>;
}

export interface NodeSeen {
  readonly name: string;
  /** `status.nodeInfo.kernelVersion`. */
  readonly kernel: string;
  /** `linux` or `windows`. */
  readonly os: string;
}

/** meta/v1 LabelSelector. An empty one selects everything. */
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
  /** PEM, decoded; empty where there is none. */
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
  /** Names of the bindings: without one a policy does nothing. */
  readonly bindings: readonly string[];
  readonly rules: readonly AdmissionRule[];
  /** CEL. */
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
  /** Command and arguments of the container that serves. */
  readonly words: readonly string[];
  /** Its variables; references to other objects are left out. */
  readonly environment: Labels;
  /** Where ConfigMaps and Secrets are mounted into it. */
  readonly mounts: readonly MountSeen[];
}

export interface MountSeen {
  readonly path: string;
  readonly kind: 'configMap' | 'secret';
  readonly name: string;
}

export interface BudgetSeen {
  readonly name: string;
  readonly selector: LabelSelector;
  readonly disruptionsAllowed: number;
}

/** What a service account may or may not do. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Empty: in all namespaces, or a resource without namespaces. */
  readonly namespace?: string;
  readonly name?: string;
}

/** The cluster's DNS as discovery finds it, each value with where it comes from. */
export interface DnsSeen {
  readonly facts: ClusterFacts;
  readonly sources: Readonly<Record<'dns' | 'domain' | 'nodeSearches' | 'nodeLocal', string>>;
  /** One sentence on the node-local cache. */
  readonly nodeLocalDetail: string;
  /** Why a part of it could not be read: then what stands here is a guess. */
  readonly unread?: Error;
}
