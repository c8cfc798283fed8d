import { mayRunOnVirtualNode } from './exemptions.ts';
import type { ClusterFacts, NamespaceView, PodView, PolicyConfig, ResolvConf, SidecarChange } from './model.ts';
import type { NoSidecar } from './reasons.ts';
import { inKubeletOrder, MAX_NAMESERVERS, planSearches } from './redirect.ts';

/** Holds the cache's Corefile. A downwardAPI volume mounts it, so that no ConfigMap is needed in the Pod's namespace. */
export const COREFILE_ANNOTATION = 'libc-dns.dev/corefile';

/** The name of the container and of its volume. */
export const SIDECAR_NAME = 'libc-dns-cache';

/** Where the cache listens. */
export const LOOPBACK = '127.0.0.1';

/** The kubelet probes the Pod's address, never its loopback, so health gets a port that hardly any other program uses. */
const HEALTH_PORT = 10_553;

/** The ports that the cache listens on. */
export const SIDECAR_PORTS: readonly number[] = [53, HEALTH_PORT];

/** What a Pod with the cache gets. */
export interface SidecarPlan {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly sidecar: SidecarChange;
}

interface Wanting {
  readonly pod: PodView;
  readonly namespace: NamespaceView;
  readonly config: PolicyConfig;
}

/** Reports whether the Pod should have the cache: `asked` by its annotation, or as musl's remedy on virtual nodes. */
export function wantsSidecar({ pod, namespace, config }: Wanting, asked: boolean, hasMusl: boolean): boolean {
  if (asked) return true;
  const { virtualNodes, musl } = config;
  return virtualNodes === 'sidecar' && musl.remedy !== 'none' && hasMusl && mayRunOnVirtualNode(pod, namespace);
}

/**
 * Returns the cache with its nameservers (loopback, the cluster DNS, the user's) and searches, or why the Pod cannot
 * have it. `kubelet` is what the kubelet writes for the unpatched Pod: under dnsPolicy None it adds nothing.
 */
export function planSidecar(
  pod: PodView,
  kubelet: ResolvConf,
  cluster: ClusterFacts,
  config: PolicyConfig,
): SidecarPlan | { readonly not: NoSidecar } {
  const problem = shapeProblem(pod, cluster);
  if (problem !== undefined) return { not: problem };
  const searches = planSearches(pod, kubelet);
  if ('not' in searches) return searches;
  const user = pod.dnsConfig.nameservers;
  const room = Math.max(0, MAX_NAMESERVERS - 1 - user.length);
  const dns = cluster.dns.filter((address) => !user.includes(address)).slice(0, room);
  const { first, rest } = inKubeletOrder([...dns, ...user], cluster, []);
  const nameservers = [LOOPBACK, ...first, ...rest];
  if (nameservers.length > MAX_NAMESERVERS || first.length === 0) return { not: 'NameserversFull' };
  return { nameservers, ...searches, sidecar: { ...config.sidecar, corefile: corefile(cluster.dns) } };
}

function shapeProblem({ hostNetwork, sidecar, dnsConfig }: PodView, cluster: ClusterFacts): NoSidecar | undefined {
  if (cluster.nativeSidecars === false) return 'SidecarUnsupported';
  if (hostNetwork) return 'SidecarHostNetwork';
  if (sidecar.nameTaken) return 'SidecarNameTaken';
  if (sidecar.portTaken || dnsConfig.nameservers.includes(LOOPBACK)) return 'SidecarPortTaken';
  if (sidecar.podResources) return 'SidecarPodResources';
  return cluster.searchesAssumed === true ? 'SearchesUnknown' : undefined;
}

/**
 * Returns CoreDNS' configuration. The Pod must not be worse off than without a cache:
 * - Each upstream socket carries one query at a time, so no two packets race for a conntrack entry: `forward` takes a
 *   socket out of its pool for a query, returns it with the answer, and opens another if the pool is empty (CoreDNS
 *   1.14.6, plugin/pkg/proxy/connect.go).
 * - Answers do not live longer than their TTL, failures are not cached, and denials for at most 5 s, like in NodeLocal
 *   DNSCache. Only if the cluster DNS does not answer, an expired answer is given.
 * - Errors are logged once a minute: the log counts towards the Pod's storage.
 */
const corefile = (dns: readonly string[]): string => `.:53 {
    bind ${LOOPBACK}
    errors {
        consolidate 1m .* error
    }
    health :${HEALTH_PORT}
    cache 30 {
        success 2048 30 0
        denial 512 5 0
        servfail 0s
        serve_stale 1h verify
    }
    forward . ${dns.join(' ')} {
        policy sequential
        max_concurrent 1000
    }
}
`;

const MIB = 2 ** 20;

/** The part of its memory that CoreDNS' garbage collector lets it use. */
const HEAP_PART = 7 / 8;

const HEALTH = { path: '/health', port: HEALTH_PORT } as const;

/** distroless `nonroot`, the user of the CoreDNS image. The kubelet takes only a number as proof of not being root. */
const NON_ROOT = 65_532;

/**
 * Returns the container of the cache, a native sidecar (KEP-753): it starts before all others, and the kubelet ends it
 * after the Pod's own containers, so that Jobs end. It complies with the Pod Security Standard `restricted`. Its parts
 * are copies, which YAML would otherwise write as anchors and aliases.
 */
export function sidecarContainer({ image, resources: { requests, limits }, memoryBytes }: SidecarChange): object {
  return {
    name: SIDECAR_NAME,
    image,
    restartPolicy: 'Always',
    args: ['-conf', '/etc/coredns/Corefile'],
    env: [{ name: 'GOMEMLIMIT', value: `${Math.floor((memoryBytes * HEAP_PART) / MIB)}MiB` }],
    securityContext: {
      runAsNonRoot: true,
      runAsUser: NON_ROOT,
      runAsGroup: NON_ROOT,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      // The image's /coredns carries this capability. Without it in the container, execve fails with EPERM; and where
      // net.ipv4.ip_unprivileged_port_start is 1024 (containerd before 2.0) it is what lets port 53 be bound.
      // no_new_privs takes away nothing that the container has already (capabilities(7)).
      capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    resources: { requests: { ...requests }, limits: { ...limits } },
    startupProbe: { httpGet: { ...HEALTH }, periodSeconds: 1, failureThreshold: 60 },
    // A dead cache costs nothing, because its port refuses at once. One that hangs costs glibc a timeout each time.
    livenessProbe: { httpGet: { ...HEALTH }, periodSeconds: 5, failureThreshold: 3 },
    volumeMounts: [
      { name: SIDECAR_NAME, mountPath: '/etc/coredns', readOnly: true },
      // The API server mounts the Pod's token here, unless something is mounted already. The cache needs none.
      { name: SIDECAR_NAME, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true },
    ],
  };
}

export const SIDECAR_VOLUME: object = {
  name: SIDECAR_NAME,
  downwardAPI: {
    items: [{ path: 'Corefile', fieldRef: { fieldPath: `metadata.annotations['${COREFILE_ANNOTATION}']` } }],
  },
};
