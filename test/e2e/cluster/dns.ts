import { CLUSTER_DNS, NODE_SEARCH, OUTSIDE, REGISTRIES } from './place.ts';

/** Names that the name server outside knows: what the internet and a company's own network stand for. */
const OUTSIDE_NAMES = { 'www.example.com': '192.0.2.7', [`intranet.${NODE_SEARCH}`]: '192.0.2.8' } as const;

const zone = (name: string, address: string): string => `    template IN A ${name} {
        answer "{{ .Name }} 60 IN A ${address}"
    }
    template IN ANY ${name} {
        rcode NOERROR
    }`;

/**
 * The Corefile of the name server outside, which the nodes' resolv.conf names. NXDOMAIN for what it does not know: a SERVFAIL would end
 * musl's search.
 */
export const outsideCorefile = `.:53 {
    bind ${OUTSIDE}
    errors
${Object.entries(OUTSIDE_NAMES)
  .map(([name, address]) => zone(name, address))
  .join('\n')}
${REGISTRIES.map((name) => zone(name, OUTSIDE)).join('\n')}
    template ANY ANY . {
        rcode NXDOMAIN
    }
}
`;

const COREFILE = `.:53 {
    errors
    log
    health {
        lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}
`;

const meta = (name: string, more = {}): object => ({ name, namespace: 'kube-system', ...more });
const labels = { 'k8s-app': 'kube-dns' };

/** CoreDNS as kubeadm installs it, with its queries logged. */
export const coreDnsObjects: readonly object[] = [
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta('coredns') },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'system:coredns' },
    rules: [
      { apiGroups: [''], resources: ['endpoints', 'services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'system:coredns' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:coredns' },
    subjects: [{ kind: 'ServiceAccount', name: 'coredns', namespace: 'kube-system' }],
  },
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: meta('coredns'), data: { Corefile: COREFILE } },
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: meta('coredns', { labels }),
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          priorityClassName: 'system-cluster-critical',
          serviceAccountName: 'coredns',
          dnsPolicy: 'Default',
          terminationGracePeriodSeconds: 5,
          containers: [
            {
              name: 'coredns',
              image: 'registry.k8s.io/coredns/coredns:v1.14.6',
              args: ['-conf', '/etc/coredns/Corefile'],
              ports: [
                { containerPort: 53, name: 'dns', protocol: 'UDP' },
                { containerPort: 53, name: 'dns-tcp', protocol: 'TCP' },
              ],
              livenessProbe: { httpGet: { path: '/health', port: 8080 }, initialDelaySeconds: 30, timeoutSeconds: 5 },
              readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 2 },
              securityContext: {
                allowPrivilegeEscalation: false,
                capabilities: { add: ['NET_BIND_SERVICE'], drop: ['ALL'] },
                readOnlyRootFilesystem: true,
              },
              volumeMounts: [{ name: 'config', mountPath: '/etc/coredns', readOnly: true }],
            },
          ],
          volumes: [{ name: 'config', configMap: { name: 'coredns' } }],
        },
      },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta('kube-dns', { labels }),
    spec: {
      clusterIP: CLUSTER_DNS,
      selector: labels,
      ports: [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns-tcp', port: 53, protocol: 'TCP' },
      ],
    },
  },
];
