import { z } from 'zod';

import { configSchema } from '../../src/config/schema.ts';

/** What the API checks itself: any object, any list of objects. */
const object = z.record(z.string(), z.unknown());
const objects = z.array(object);
const labels = z.record(z.string(), z.string());
const name = z.string().regex(/^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$/);
const count = z.int().min(0);
const countOrPercent = z.union([count, z.string().regex(/^[0-9]+%$/)]);
const goDuration = z.string().regex(/^([0-9]+(h|m|s))+$/);
const portNumber = z.int().min(1).max(65_535);

const resources = z.strictObject({
  requests: object.optional(),
  limits: object.optional(),
  claims: objects.optional(),
});

const certificates = z.strictObject({
  source: z.enum(['self-managed', 'cert-manager', 'secret']),
  certManager: z.strictObject({
    issuerRef: z.strictObject({ name: name.optional(), kind: z.string().optional(), group: z.string().optional() }),
    duration: goDuration,
    renewBefore: goDuration,
  }),
  secretName: name,
  caBundle: z.string().regex(/^(\s*-----BEGIN CERTIFICATE-----[\s\S]*)?$/),
});

const { tls, warmUp, admissionPolicy: _, ...configKeys } = configSchema.shape;

const clientCa = z.strictObject({
  configMap: name,
  secret: name,
  key: z.string().min(1),
  names: tls.unwrap().shape.clientNames.unwrap(),
});

const webhook = z.strictObject({
  failurePolicy: z.enum(['Ignore', 'Fail']),
  timeoutSeconds: z.int().min(1).max(30),
  reinvocationPolicy: z.enum(['IfNeeded', 'Never']),
  annotations: labels,
  labels,
  namespaceSelector: z.strictObject({ matchLabels: labels.optional(), matchExpressions: objects.optional() }),
  matchConditions: z.array(z.strictObject({ name: z.string(), expression: z.string() })),
});

const metrics = z.strictObject({
  monitor: z.strictObject({
    enabled: z.boolean(),
    kind: z.enum(['PodMonitor', 'ServiceMonitor']),
    interval: goDuration,
    labels,
    relabelings: objects,
    metricRelabelings: objects,
  }),
  rules: z.strictObject({ enabled: z.boolean(), labels }),
  dashboard: z.strictObject({ enabled: z.boolean(), labels, annotations: labels }),
});

const nodeLocalDns = z.strictObject({
  enabled: z.boolean(),
  image: z.string().min(1),
  clusterDomain: z.string().min(1),
  interceptAddress: z.string().regex(/^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)?$/),
  clusterDnsSelector: labels,
  priorityClassName: name,
  resources,
  tolerations: objects,
});

/** Of the configuration, so that both refuse the same. */
const { proxy: proxyAddress, noProxy } = configSchema.shape.detection.unwrap().shape.registry.unwrap().shape;

const parts = {
  image: z.strictObject({
    registry: z.string(),
    repository: z.string().min(1),
    tag: z.string(),
    digest: z.string().regex(/^(sha256:[0-9a-f]{64})?$/),
    pullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
  }),
  autoscaling: z.strictObject({
    enabled: z.boolean(),
    minReplicas: z.int().min(1),
    maxReplicas: z.int().min(1),
    targetCPUUtilization: z.int().min(1),
  }),
  admissionPolicy: z.strictObject({ enabled: z.boolean(), webhook: z.boolean() }),
  priorityClass: z.strictObject({
    create: z.boolean(),
    name,
    value: z.int().min(-2_147_483_648).max(1_000_000_000),
  }),
  podDisruptionBudget: z.strictObject({ enabled: z.boolean(), maxUnavailable: countOrPercent }),
  dnsConfig: z.strictObject({
    nameservers: z.array(z.string()).optional(),
    searches: z.array(z.string()).optional(),
    options: z.array(z.strictObject({ name: z.string(), value: z.string().optional() })).optional(),
  }),
  proxy: z.strictObject({
    url: proxyAddress.unwrap(),
    secret: name,
    key: z.string().min(1),
    noProxy: noProxy.unwrap(),
  }),
  registryCa: z.strictObject({ configMap: name, secret: name, key: z.string().min(1) }),
  service: z.strictObject({ port: portNumber, annotations: labels, labels }),
  serviceAccount: z.strictObject({ create: z.boolean(), name, annotations: labels }),
  rbac: z.strictObject({ create: z.boolean(), pullSecretNamespaces: z.array(name) }),
  networkPolicy: z.strictObject({
    enabled: z.boolean(),
    apiServers: objects,
    metricsFrom: objects,
    egressPorts: z.array(portNumber),
  }),
};

const { caLifetime, certLifetime, overlap } = tls.unwrap().shape;

/** The configuration without the names that the chart gives by itself. */
const config = z.strictObject({
  ...configKeys,
  tls: z.strictObject({ caLifetime, certLifetime, overlap }).prefault({}),
  warmUp: warmUp.unwrap().omit({ lease: true }).prefault({}),
});

/** values.yaml. What the API server checks by itself is any object here; all else is strict, so that typos are refused. */
export const valuesSchema = z.strictObject({
  // Given to every chart where this one is part of another, and so not ours alone.
  global: z.looseObject({ imageRegistry: z.string().optional() }),
  config,
  ...parts,
  imagePullSecrets: z.array(z.strictObject({ name })),
  nameOverride: name,
  fullnameOverride: name,
  commonLabels: labels,
  commonAnnotations: labels,
  replicas: count,
  resources,
  heapPercentage: z.int().min(10).max(90),
  threads: z.int().min(4).max(1024),
  certificates,
  clientCa,
  webhook,
  hostNetwork: z.boolean(),
  revisionHistoryLimit: count,
  strategy: object,
  topologySpreadConstraints: objects,
  affinity: object,
  nodeSelector: labels,
  tolerations: objects,
  podLabels: labels,
  podAnnotations: labels,
  podSecurityContext: object,
  securityContext: object,
  startupProbe: object,
  readinessProbe: object,
  livenessProbe: object,
  terminationGracePeriodSeconds: z.int().min(1),
  hostAliases: objects,
  extraArgs: z.array(z.string()),
  extraEnv: objects,
  extraEnvFrom: objects,
  extraVolumes: objects,
  extraVolumeMounts: objects,
  extraContainers: objects,
  extraInitContainers: objects,
  extraObjects: z.array(z.union([object, z.string()])),
  registryLogins: z.strictObject({ secret: name }),
  crds: z.strictObject({ enabled: z.boolean(), keep: z.boolean() }),
  metrics,
  nodeLocalDns,
  test: z.strictObject({ namespace: name.min(1) }),
});
