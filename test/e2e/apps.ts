/** The workloads of the tests: each kind of controller, each resolver, and Pods that somebody has set up by hand. */

export const APPS = 'shop';

/** The label of a namespace or a Pod that is patched, and of one that would be. */
export const ENFORCE = { 'libc-dns.dev/mode': 'enforce' } as const;
export const AUDIT = { 'libc-dns.dev/mode': 'audit' } as const;

type Spec = Readonly<Record<string, unknown>>;

const image = (name: string): string => `registry.e2e.test/apps/${name}:1`;
const container = (name: string, more: Spec = {}): Spec => ({ name, image: image(name), ...more });

const template = (app: string, spec: Spec): Spec => ({
  metadata: { labels: { app } },
  spec: { terminationGracePeriodSeconds: 1, ...spec },
});

const workload = (kind: string, name: string, spec: Spec, more: Spec = {}): object => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name, namespace: APPS },
  spec: { selector: { matchLabels: { app: name } }, template: template(name, spec), ...more },
});

const deployment = (name: string, spec: Spec): object => workload('Deployment', name, spec);
const job = (app: string, spec: Spec): Spec => ({ template: template(app, { restartPolicy: 'Never', ...spec }) });

const lookUp = (name: string): Spec => ({ args: ['lookup', name] });

/** Workloads whose Pods stay, in every resolver and mix. */
export const lasting: readonly object[] = [
  deployment('glibc', { containers: [container('glibc')] }),
  deployment('musl', { containers: [container('musl')] }),
  deployment('static-musl', { containers: [container('static-musl')] }),
  deployment('go', { containers: [container('go')] }),
  deployment('mixed', { containers: [container('glibc'), container('musl')] }),
  deployment('own-options', {
    dnsConfig: { options: [{ name: 'ndots', value: '3' }], searches: ['extra.example'] },
    containers: [container('musl')],
  }),
  deployment('own-policy', { dnsPolicy: 'Default', containers: [container('glibc')] }),
  deployment('on-the-host', {
    hostNetwork: true,
    dnsPolicy: 'ClusterFirstWithHostNet',
    containers: [container('musl')],
  }),
  workload('StatefulSet', 'db', {
    initContainers: [container('musl', { name: 'init', ...lookUp('www.example.com') })],
    containers: [container('glibc')],
  }),
  workload('DaemonSet', 'agent', { containers: [container('go'), container('musl')] }),
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'glibc', namespace: APPS },
    spec: { selector: { app: 'glibc' }, ports: [{ port: 80 }] },
  },
];

/** The container that prints the resolv.conf of a Pod that ends. */
export const PRINTS = 'prints';
const printing = (name: string): Spec => container(name, { name: PRINTS, args: ['cat', '/etc/resolv.conf'] });

/** Workloads whose Pods end by themselves, after a look-up. */
export const passing: readonly object[] = [
  {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'once', namespace: APPS },
    spec: job('once', {
      initContainers: [printing('musl')],
      containers: [container('musl', lookUp('www.example.com'))],
    }),
  },
  {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'often', namespace: APPS },
    spec: {
      schedule: '* * * * *',
      jobTemplate: {
        spec: job('often', { initContainers: [printing('glibc')], containers: [container('glibc', lookUp('glibc'))] }),
      },
    },
  },
];
