import { z } from 'zod';

import type {
  BudgetSeen,
  DeploymentSeen,
  LeaseSeen,
  MountSeen,
  MutatingPolicy,
  NodeSeen,
  ServiceSeen,
  WebhookConfiguration,
} from './view.ts';

const labels = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});
const words = z
  .array(z.string())
  .nullish()
  .transform((value) => value ?? []);
const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((value) => value ?? []);

const metadata = z.object({ name: z.string(), labels });

const selector = z
  .object({
    matchLabels: labels,
    matchExpressions: list(z.object({ key: z.string(), operator: z.string(), values: words })),
  })
  .nullish()
  .transform((value) => value ?? { matchLabels: {}, matchExpressions: [] });

const rule = z.object({ apiGroups: words, operations: words, resources: words });

/** admissionregistration.k8s.io/v1 MutatingWebhookConfiguration, with the API server's defaults. */
const configuration = z.object({
  metadata,
  webhooks: list(
    z.object({
      name: z.string(),
      admissionReviewVersions: words,
      clientConfig: z.object({
        url: z.string().nullish(),
        caBundle: z.string().nullish(),
        service: z.object({ namespace: z.string(), name: z.string(), port: z.int().default(443) }).nullish(),
      }),
      rules: list(rule),
      failurePolicy: z.string().default('Fail'),
      reinvocationPolicy: z.string().default('Never'),
      timeoutSeconds: z.int().default(10),
      namespaceSelector: selector,
      objectSelector: selector,
    }),
  ),
});

export const webhookConfiguration = configuration.transform(
  ({ metadata: { name }, webhooks }): WebhookConfiguration => ({
    name,
    entries: webhooks.map(({ clientConfig: { url, caBundle, service }, admissionReviewVersions, ...entry }) => ({
      ...entry,
      reviewVersions: admissionReviewVersions,
      caBundle: Buffer.from(caBundle ?? '', 'base64').toString(),
      ...(url && { url }),
      ...(service && { service }),
    })),
  }),
);

/** Where the chart's policy says that it belongs (templates/admission-policy.yaml). */
const NAMESPACE_OF_POLICY = 'libc-dns.dev/namespace';

/** admissionregistration.k8s.io MutatingAdmissionPolicy; its bindings are objects of their own. */
export const mutatingPolicy = z
  .object({
    metadata: metadata.extend({ annotations: labels }),
    spec: z.object({
      matchConstraints: z.object({ resourceRules: list(rule) }).nullish(),
      mutations: list(
        z.object({
          applyConfiguration: z.object({ expression: z.string() }).nullish(),
          jsonPatch: z.object({ expression: z.string() }).nullish(),
        }),
      ),
    }),
  })
  .transform(({ metadata: { name, annotations }, spec }): Omit<MutatingPolicy, 'bindings'> => ({
    name,
    ...(annotations[NAMESPACE_OF_POLICY] !== undefined && { namespace: annotations[NAMESPACE_OF_POLICY] }),
    rules: spec.matchConstraints?.resourceRules ?? [],
    mutations: spec.mutations.flatMap(({ applyConfiguration, jsonPatch }) =>
      [applyConfiguration?.expression, jsonPatch?.expression].filter((expression) => expression !== undefined),
    ),
  }));

export const policyBinding = z
  .object({ metadata, spec: z.object({ policyName: z.string().default('') }) })
  .transform(({ metadata: { name }, spec: { policyName } }) => ({ name, policyName }));

export const service = z
  .object({
    spec: z.object({
      type: z.string().default('ClusterIP'),
      selector: labels,
      ports: list(z.object({ port: z.int() })),
    }),
  })
  .transform(({ spec }): ServiceSeen => ({ ...spec, ports: spec.ports.map(({ port }) => port) }));

const podTemplate = z.object({
  metadata: z.object({ labels }),
  spec: z.object({
    serviceAccountName: z.string().default('default'),
    containers: list(
      z.object({
        command: words,
        args: words,
        env: list(z.object({ name: z.string(), value: z.string().optional() })),
        volumeMounts: list(z.object({ name: z.string(), mountPath: z.string() })),
      }),
    ),
    volumes: list(
      z.object({
        name: z.string(),
        configMap: z.object({ name: z.string().default('') }).nullish(),
        secret: z.object({ secretName: z.string().default('') }).nullish(),
      }),
    ),
  }),
});

type Template = z.output<typeof podTemplate>;

function mountsOf({ spec }: Template, mounted: readonly { name: string; mountPath: string }[]): readonly MountSeen[] {
  return mounted.flatMap(({ name, mountPath: path }): MountSeen[] => {
    const volume = spec.volumes.find((one) => one.name === name);
    if (volume?.configMap) return [{ path, kind: 'configMap', name: volume.configMap.name }];
    return volume?.secret ? [{ path, kind: 'secret', name: volume.secret.secretName }] : [];
  });
}

export const deployment = z
  .object({
    metadata,
    spec: z.object({ replicas: z.int().default(1), template: podTemplate }),
    status: z.object({ readyReplicas: z.int().default(0), updatedReplicas: z.int().default(0) }).prefault({}),
  })
  .transform(({ metadata: { name }, spec: { replicas, template }, status }): DeploymentSeen => {
    const { containers } = template.spec;
    const serving = containers.find(({ command, args }) => [...command, ...args].includes('serve')) ?? containers[0];
    return {
      name,
      podLabels: template.metadata.labels,
      desired: replicas,
      ready: status.readyReplicas,
      updated: status.updatedReplicas,
      serviceAccount: template.spec.serviceAccountName,
      words: [...(serving?.command ?? []), ...(serving?.args ?? [])],
      environment: Object.fromEntries(
        (serving?.env ?? []).flatMap((one) => (one.value === undefined ? [] : [[one.name, one.value]])),
      ),
      mounts: mountsOf(template, serving?.volumeMounts ?? []),
    };
  });

export const disruptionBudget = z
  .object({
    metadata,
    spec: z.object({ selector }),
    status: z.object({ disruptionsAllowed: z.int().default(0) }).prefault({}),
  })
  .transform(({ metadata: { name }, spec, status }): BudgetSeen => ({
    name,
    selector: spec.selector,
    disruptionsAllowed: status.disruptionsAllowed,
  }));

export const lease = z
  .object({ spec: z.object({ holderIdentity: z.string().nullish(), renewTime: z.string().nullish() }).prefault({}) })
  .transform(({ spec: { holderIdentity, renewTime } }): LeaseSeen => {
    const renewedAt = Date.parse(renewTime ?? '');
    return { holder: holderIdentity ?? '', renewedAt: Number.isNaN(renewedAt) ? undefined : renewedAt };
  });

export const node = z
  .object({
    metadata,
    status: z.object({ nodeInfo: z.object({ kernelVersion: z.string(), operatingSystem: z.string() }) }),
  })
  .transform(({ metadata: { name }, status: { nodeInfo } }): NodeSeen => ({
    name,
    kernel: nodeInfo.kernelVersion,
    os: nodeInfo.operatingSystem,
  }));

export const namespace = z.object({ metadata }).transform(({ metadata: of }) => [of.name, of.labels] as const);
