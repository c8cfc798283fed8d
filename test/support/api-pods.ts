import fc from 'fast-check';

/** Pods that the API server accepts, in all that decisions read. Images are named after their resolver: `registry.test/musl:1`. */

const label = fc.stringMatching(/^[a-z]([-a-z0-9]{0,10}[a-z0-9])?$/);
const address = fc.oneof(fc.ipV4(), fc.constantFrom('10.96.0.10', '169.254.20.10', '192.0.2.1'));

/** Options that decisions read, and others. */
export const optionName = fc.constantFrom(
  'ndots',
  'timeout',
  'timeout:1',
  'attempts',
  'single-request',
  'single-request-reopen',
  'use-vc',
  'rotate',
  'edns0',
);

const option = fc.record(
  {
    name: optionName,
    value: fc.constantFrom('1', '2', '5'),
  },
  { requiredKeys: ['name'] },
);

const dnsConfig = fc.record(
  {
    nameservers: fc.uniqueArray(address, { maxLength: 3 }),
    searches: fc.uniqueArray(fc.oneof(label, fc.constant('svc.cluster.local')), { maxLength: 3 }),
    options: fc.array(option, { maxLength: 4 }),
  },
  { requiredKeys: [] },
);

const libc = fc.constantFrom('glibc', 'musl', 'go', 'other', 'wrong');

const container = (name: string) =>
  fc.record({
    name: fc.constant(name),
    image: fc.constantFrom('glibc', 'musl', 'go', 'other', 'never-seen').map((one) => `registry.test/${one}:1`),
  });

const containers = (prefix: string, least: number) =>
  fc
    .integer({ min: least, max: 3 })
    .chain((count) => fc.tuple(...Array.from({ length: count }, (_, index) => container(`${prefix}${index}`))));

const expression = fc.constantFrom(
  { key: 'type', operator: 'In', values: ['virtual-kubelet'] },
  { key: 'kubernetes.io/arch', operator: 'In', values: ['arm64'] },
  { key: 'kubernetes.io/os', operator: 'In', values: ['windows'] },
  { key: 'zone', operator: 'Exists' },
);

/** Each part in one Pod of five, so that most Pods differ from a plain one in one or two. */
const rarely = (
  parts: Readonly<Record<string, fc.Arbitrary<unknown>>>,
): fc.Arbitrary<Readonly<Record<string, unknown>>> =>
  fc
    .record(Object.fromEntries(Object.entries(parts).map(([key, part]) => [key, fc.tuple(fc.nat(4), part)])))
    .map((made) =>
      Object.fromEntries(Object.entries(made).flatMap(([key, [dice, value]]) => (dice === 0 ? [[key, value]] : []))),
    );

const spec = fc
  .tuple(
    containers('c', 1),
    rarely({
      initContainers: containers('i', 0),
      dnsPolicy: fc.constantFrom('ClusterFirst', 'ClusterFirstWithHostNet', 'Default'),
      dnsConfig,
      hostNetwork: fc.boolean(),
      nodeSelector: fc.constantFrom(
        { type: 'virtual-kubelet' },
        { 'kubernetes.io/os': 'windows' },
        { 'kubernetes.io/arch': 'arm64' },
        { 'kubernetes.io/arch': 'amd64' },
        { disk: 'ssd' },
      ),
      affinity: fc.array(expression, { minLength: 1, maxLength: 2 }).map((matchExpressions) => ({
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] },
        },
      })),
      tolerations: fc.constantFrom([{ operator: 'Exists' }], [{ key: 'azure.com/aci', operator: 'Exists' }]),
      schedulerName: fc.constantFrom('fargate-scheduler', 'default-scheduler'),
      nodeName: fc.constantFrom('node-1', 'virtual-kubelet-1'),
    }),
  )
  .map(([all, more]) => Object.assign({ containers: all }, more));

const metadata = rarely({
  labels: fc.constantFrom(
    { app: 'x' },
    { 'libc-dns.dev/mode': 'off' },
    { 'libc-dns.dev/mode': 'audit' },
    { 'libc-dns.dev/mode': 'Enforce' },
    { 'alibabacloud.com/eci': 'true' },
    { eci: 'true' },
    { eci: 'no' },
  ),
  annotations: rarely({
    'libc-dns.dev/libc': libc,
    'libc-dns.dev/libc.c0': libc,
    'libc-dns.dev/libc.i1': libc,
    'libc-dns.dev/remedy': fc.constantFrom('sidecar', 'wrong'),
    'eks.tke.cloud.tencent.com/cpu': fc.constant('1'),
    'bursting.cci.io/burst-to-cci': fc.constantFrom('off', 'enforce'),
    other: fc.string({ maxLength: 20 }),
  }),
});

export const apiPod = fc.record({ apiVersion: fc.constant('v1'), kind: fc.constant('Pod'), metadata, spec });
