/**
 * Every reason for a decision, with its sentence. The command line, logs, metrics, the Pod's annotation and reports all
 * use these codes.
 */
export const REASONS = {
  // Out of scope.
  SystemNamespace: 'System namespaces are never touched.',
  NamespaceExcluded: 'The namespace is excluded by the configuration.',
  OwnNamespace: "The webhook's own namespace is never touched.",
  PodOptedOut: 'The Pod is labelled libc-dns.dev/mode: off.',
  NamespaceOptedOut: 'The namespace is labelled libc-dns.dev/mode: off.',
  NotOptedIn: 'Neither the namespace nor the Pod is labelled libc-dns.dev/mode, and the scope is opt-in.',
  NotPodCreation: 'Only the creation of Pods matters: their DNS settings cannot be changed later.',
  NamespaceUnknown: 'The labels of the namespace could not be read: the Pod is left alone.',
  // In scope, but left alone by a rule.
  HostNetwork: "With hostNetwork and dnsPolicy ClusterFirst the Pod uses the node's resolv.conf, not the cluster DNS.",
  PolicyDefault: "dnsPolicy Default: the Pod uses the node's resolv.conf, not the cluster DNS.",
  PolicyNone: 'dnsPolicy None: the Pod brings its own DNS configuration.',
  Windows: 'Windows Pods have no resolv.conf.',
  MirrorPod: "A static Pod's mirror cannot be changed: the kubelet has already started the Pod.",
  NoContainers: 'The Pod has no containers.',
  MalformedPod: 'The Pod is malformed: the API server will say so.',
  NotExposed: 'No node of this cluster can lose DNS packets to the race, and exposure is auto: the Pod is left alone.',
  // Nothing to do.
  AlreadyConfigured: 'The Pod already has all that its resolvers need.',
  ResolverUnaffected: 'Go asks from two sockets: there is nothing to repair.',
  OptionsTooLong:
    'With more options musl would ignore the options line (it reads at most 254 bytes), even ndots: the Pod is left alone.',
  NothingConfigured: "The configuration has no remedy for this Pod's resolvers.",
  // Patched.
  OptionsAdded:
    'The resolvers of this Pod obey resolv.conf options: A and AAAA no longer leave at once from one socket.',
  UnknownOptions: 'The resolver is unknown, so the Pod gets the options that help glibc and that musl ignores.',
  MuslRedirected: 'musl ignores the options, so the Pod asks the node-local DNS cache, whose path is not translated.',
  MuslRetried: 'musl ignores the options, except timeout and attempts.',
  MixedRedirected:
    'Several resolvers share one resolv.conf: the node-local cache for musl, the options where one needs them.',
  MixedRetried: 'Several resolvers share one resolv.conf: timeout and attempts for musl, options where one needs them.',
  SidecarAdded: 'The Pod asks its own DNS cache on loopback, where no packet is lost.',
  TcpNotAllowed: 'Network policies may keep this Pod from its nameservers over TCP: use-vc is left out.',
  // Patched, with a reason not to redirect.
  NodeLocalIntercepts: 'The node-local DNS cache already answers on the service address: no redirect is needed.',
  NodeLocalFromKubelet: 'The kubelet already points Pods at the node-local DNS cache: no redirect is needed.',
  NodeLocalNotAllowed: 'Network policies may keep this Pod from the node-local DNS cache: no redirect.',
  NodeLocalUnready: 'The node-local DNS cache is ready on too few nodes: no redirect.',
  SearchesUnknown:
    "The cluster's domain or the nodes' search domains are unknown (cluster.domain, cluster.nodeSearches): no redirect.",
  VirtualNode: 'The Pod may run on a virtual node, where no node-local DNS cache runs: no redirect.',
  NameserversFull: "The Pod's own nameservers leave no room for a DNS cache (3 are allowed): no redirect.",
  SearchTooLong: 'The search list is too long (musl reads lines of at most 254 bytes): no redirect.',
  SearchInvalid: 'The API server would refuse a search domain of the nodes in a Pod: no redirect.',
  // A DNS cache in the Pod was wanted, and cannot be.
  SidecarUnsupported:
    'The API server is older than Kubernetes 1.29, or its version is unknown: no DNS cache in the Pod, which needs native sidecars.',
  SidecarHostNetwork: "On the host's network 127.0.0.1 is the node's own: no DNS cache in the Pod.",
  SidecarNameTaken: 'The Pod already has a container or volume named libc-dns-cache: no DNS cache in the Pod.',
  SidecarPortTaken: 'A container or nameserver of the Pod already uses port 53 or 10553: no DNS cache in the Pod.',
  SidecarPodResources:
    'The Pod has Pod-level resources (spec.resources), which one more container may exceed: no DNS cache in the Pod.',
} as const satisfies Record<string, string>;

export type Reason = keyof typeof REASONS;

/** The reasons that turn a wanted redirect into a retry. */
export type NoRedirect = Extract<
  Reason,
  | 'NodeLocalIntercepts'
  | 'NodeLocalFromKubelet'
  | 'NodeLocalNotAllowed'
  | 'NodeLocalUnready'
  | 'SearchesUnknown'
  | 'VirtualNode'
  | 'NameserversFull'
  | 'SearchTooLong'
  | 'SearchInvalid'
>;

/** The reasons why a Pod does not get the cache that it was to have. */
export type NoSidecar = Extract<
  Reason,
  | 'SidecarUnsupported'
  | 'SidecarHostNetwork'
  | 'SidecarNameTaken'
  | 'SidecarPortTaken'
  | 'SidecarPodResources'
  | 'SearchesUnknown'
  | 'NameserversFull'
  | 'SearchTooLong'
  | 'SearchInvalid'
>;
