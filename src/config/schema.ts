import { BlockList, isIP } from 'node:net';

import { z } from 'zod';

import { MUSL_LEAST_TIMEOUT } from '../policy/options.ts';
import {
  DAEMON_SETS,
  formatDuration,
  isKnownToGo,
  parseDuration,
  parseQuantity,
  parseResolverOption,
} from './options.ts';

/** Matches a proxy's address without a login, because a file must hold none. */
export const PROXY_ADDRESS = /^(https?:\/\/(\[[0-9a-fA-F:.]+\]|[^\s/@?#:[\]\\]+)(:[0-9]{1,5})?\/?)?$/;

/** An entry of `noProxy`: host, .suffix, *.suffix or address, each with an optional port; a network; or `*`. */
export const NO_PROXY_ENTRY =
  /^(\*|[0-9a-fA-F:.]+\/[0-9]{1,3}|(\*?\.)?[^\s/,*@[\]]+|\[[0-9a-fA-F:.]+\](:[0-9]{1,5})?)$/;

/** CoreDNS for remedy `sidecar`: the release that kubeadm of Kubernetes 1.37 installs. */
const SIDECAR_IMAGE = 'registry.k8s.io/coredns/coredns:v1.14.6';

function duration(fallback: string, least: string, most: string) {
  const [low, high] = [parseDuration(least) ?? 0, parseDuration(most) ?? 0];
  const message = `expected a duration from ${least} to ${most}`;
  return z
    .codec(z.string(message), z.number(), {
      decode: (text, context) => {
        const value = parseDuration(text);
        if (value !== undefined && value >= low && value <= high) return value;
        context.issues.push({ code: 'custom', input: text, message });
        return z.NEVER;
      },
      encode: formatDuration,
    })
    .prefault(fallback);
}

const ip = z.string().refine((text) => isIP(text) !== 0, 'expected an IP address');

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

const isLoopback = (text: string): boolean => loopback.check(text, isIP(text) === 4 ? 'ipv4' : 'ipv6');

const nodeLocalAddress = ip.refine(
  (text) => isIP(text) === 0 || !isLoopback(text),
  "a loopback address is the Pod's own: no node-local cache answers there",
);

/** As in resolv.conf: in any case, and with a dot at the end or without. The API server takes lower case alone. */
const domain = z
  .string()
  .regex(
    /^([A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?)*\.?|\.)$/,
    'expected a DNS domain',
  )
  .overwrite((text) => (text === '.' ? text : text.replace(/\.$/, '').toLowerCase()));

const namespace = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'expected a namespace name');

/** An object's name (DNS-1123 subdomain). */
const objectName = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/, 'expected the name of an object');

const namespacedName = z.string().regex(/^[^/\s]+\/[^/\s]+$/, 'expected namespace/name');

const resolverOption = z.string().superRefine((text, context) => {
  const parsed = parseResolverOption(text);
  if (typeof parsed === 'string') context.addIssue({ code: 'custom', message: parsed });
});

/** An option for resolvers that are musl or may be. */
const muslSafeOption = resolverOption.refine(
  (text) => !text.startsWith('timeout:') || Number(text.slice('timeout:'.length)) >= MUSL_LEAST_TIMEOUT,
  `timeout is at least ${MUSL_LEAST_TIMEOUT} here: musl counts it for the whole look-up`,
);

const goOption = resolverOption.refine((text) => {
  const parsed = parseResolverOption(text);
  return typeof parsed === 'string' || isKnownToGo(parsed);
}, 'Go does not know it, and would resolve through its libc where it is linked to one');

const port = z.int().min(0).max(65_535);

const extraOptions = z.strictObject({
  glibc: z.array(resolverOption).optional(),
  musl: z.array(muslSafeOption).optional(),
  go: z.array(goOption).optional(),
  other: z.array(resolverOption).optional(),
  unknown: z.array(muslSafeOption).optional(),
});

const registry = z.strictObject({
  enabled: z.boolean().default(true),
  allow: z.array(z.string().min(1)).default([]),
  deny: z.array(z.string().min(1)).default([]),
  insecure: z.array(z.string().min(1)).default([]),
  mirrors: z.record(z.string(), z.array(z.string().min(1))).default({}),
  allowPrivateAddresses: z.boolean().default(true),
  concurrency: z.int().min(1).max(64).default(8),
  dockerConfig: z.string().default(''),
  pullSecrets: z.union([z.boolean(), z.literal('unverified')]).default(false),
  identities: z.array(z.enum(['aws', 'google', 'azure'])).default([]),
  caFile: z.string().default(''),
  proxy: z
    .string()
    .regex(PROXY_ADDRESS, 'expected http://host:port or https://host:port; a login only by the environment')
    .default(''),
  noProxy: z
    .array(z.string().regex(NO_PROXY_ENTRY, 'expected host, .suffix, address, network or *, with :port if need be'))
    .default([]),
});

const cache = z.strictObject({
  entries: z.int().min(100).max(1_000_000).default(20_000),
  tagTtl: duration('10m', '1s', '24h'),
  failureTtl: duration('1m', '1s', '1h'),
  store: z.enum(['memory', 'cluster']).default('memory'),
  unusedAfter: duration('720h', '1h', '87600h'),
});

const resource = z.strictObject({
  group: z
    .string()
    .regex(/^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$/, 'expected an API group'),
  version: z.string().regex(/^v[0-9]+((alpha|beta)[0-9]+)?$/, 'expected an API version such as v1 or v1alpha1'),
  plural: z.string().regex(/^[a-z]([-a-z0-9]*[a-z0-9])?$/, 'expected the plural name of a resource, in lower case'),
  template: z
    .string()
    .regex(
      /^([A-Za-z0-9]+|\*)(\.([A-Za-z0-9]+|\*))*$/,
      'expected field names with dots between, * for every item of a list',
    )
    .default('spec.template'),
});

const warmUp = z.strictObject({
  enabled: z.boolean().default(true),
  rate: z.number().min(0.01).max(100).default(2),
  hourly: z.record(z.string().min(1), z.int().min(1).max(100_000)).default({ 'docker.io': 5 }),
  resources: z.array(resource).max(20).default([]),
  lease: objectName.default('libc-dns-webhook'),
});

const detection = z.strictObject({
  budget: duration('1500ms', '10ms', '10s'),
  platform: z
    .string()
    .regex(/^linux\/[a-z0-9]+(\/v[0-9]+)?$/, 'expected a platform such as linux/amd64 or linux/arm/v7')
    .default('linux/amd64'),
  registry: registry.prefault({}),
  cache: cache.prefault({}),
});

/** A Kubernetes quantity within bounds; `optional`: or the empty text, which is the default. */
function quantity(least: string, most: string) {
  const [low, high] = [parseQuantity(least) ?? 0, parseQuantity(most) ?? 0];
  const isWithin = (text: string): boolean => {
    const value = parseQuantity(text);
    return value !== undefined && value >= low && value <= high;
  };
  const message = `expected a quantity from ${least} to ${most}`;
  return {
    needed: z.string().refine(isWithin, message),
    optional: z
      .string()
      .refine((text) => text === '' || isWithin(text), message)
      .default(''),
  };
}

const CPU = quantity('10m', '4');
const MEMORY = quantity('32Mi', '1Gi');
const STORAGE = quantity('1Mi', '1Gi');

/** core/v1 ResourceRequirements of the cache in the Pod. Limits are always set: a quota refuses Pods with a container that has none. */
const sidecarResources = z
  .strictObject({
    limits: z
      .strictObject({
        cpu: CPU.needed.default('100m'),
        memory: MEMORY.needed.default('64Mi'),
        // Virtual nodes that report none would never be chosen.
        'ephemeral-storage': STORAGE.optional,
      })
      .prefault({}),
    /** What is empty equals the limit, so that a Guaranteed Pod stays Guaranteed and any ratio of a LimitRange holds. */
    requests: z
      .strictObject({ cpu: CPU.optional, memory: MEMORY.optional, 'ephemeral-storage': STORAGE.optional })
      .prefault({}),
  })
  .superRefine(({ requests, limits }, context) => {
    for (const name of ['cpu', 'memory', 'ephemeral-storage'] as const) {
      const most = parseQuantity(limits[name]);
      if (most === undefined || (parseQuantity(requests[name]) ?? 0) <= most) continue;
      context.addIssue({ code: 'custom', path: ['requests', name], message: `more than its limit, ${limits[name]}` });
    }
  });

const tls = z
  .strictObject({
    mode: z.enum(['ephemeral', 'files', 'self-managed']).default('ephemeral'),
    certFile: z.string().default(''),
    keyFile: z.string().default(''),
    clientCaFile: z.string().default(''),
    clientNames: z.array(z.string().min(1)).max(32).default([]),
    secret: objectName.default('libc-dns-webhook-ca'),
    registration: objectName.default('libc-dns-webhook'),
    service: objectName.default('libc-dns-webhook'),
    caLifetime: duration('8760h', '10s', '87600h'),
    certLifetime: duration('168h', '2s', '8760h'),
    overlap: duration('5m', '1s', '24h'),
  })
  .superRefine((value, context) => {
    if (value.caLifetime < 3 * (value.certLifetime + value.overlap)) {
      const message =
        'expected at least three times tls.certLifetime and tls.overlap together: a CA outlives what it signs';
      context.addIssue({ code: 'custom', path: ['caLifetime'], message });
    }
    if (value.clientNames.length > 0 && value.clientCaFile === '') {
      const message = 'expected none without tls.clientCaFile: names count in certificates that a CA vouches for';
      context.addIssue({ code: 'custom', path: ['clientNames'], message });
    }
    for (const key of ['certFile', 'keyFile'] as const) {
      if (value.mode === 'files' && value[key] === '') {
        context.addIssue({ code: 'custom', path: [key], message: 'expected a path: tls.mode is files' });
      }
    }
  });

/** The configuration file, version 1. Every key has a default. Decodes durations to milliseconds. */
export const configSchema = z
  .strictObject({
    scope: z.enum(['opt-in', 'cluster']).default('opt-in'),
    mode: z.enum(['enforce', 'audit']).default('enforce'),
    excludeNamespaces: z.array(namespace).default(['kube-system', 'kube-public', 'kube-node-lease']),
    exposure: z.enum(['always', 'auto']).default('always'),
    cluster: z
      .strictObject({
        dns: z.union([z.literal('auto'), z.array(ip).min(1).max(3)]).default('auto'),
        domain: z.union([z.literal('auto'), domain]).default('auto'),
        nodeSearches: z.union([z.literal('auto'), z.array(domain).max(32)]).default('auto'),
        service: namespacedName.default('kube-system/kube-dns'),
      })
      .prefault({}),
    glibc: z
      .strictObject({
        options: z.array(resolverOption).default(['single-request-reopen', 'use-vc']),
        tcpPreflight: z.boolean().default(true),
      })
      .prefault({}),
    go: z.strictObject({ options: z.array(goOption).default([]) }).prefault({}),
    musl: z
      .strictObject({
        remedy: z.enum(['auto', 'redirect', 'retry', 'none']).default('auto'),
        timeout: z.int().min(MUSL_LEAST_TIMEOUT).max(60).default(5),
        attempts: z.int().min(1).max(10).default(10),
        extraNameservers: z.array(ip).max(3).default([]),
      })
      .prefault({}),
    mixedPods: z.enum(['redirect', 'retry']).default('redirect'),
    extraOptions: extraOptions.prefault({}),
    nodeLocal: z
      .strictObject({
        mode: z.enum(['auto', 'on', 'off']).default('auto'),
        addresses: z.array(nodeLocalAddress).min(1).max(3).default(['169.254.20.10']),
        fallback: z.boolean().default(true),
        daemonSet: z
          .string()
          .regex(DAEMON_SETS, 'expected namespace/name, namespace/name-* or namespace/label=value')
          .default('kube-system/node-local-dns'),
        minReady: z.number().min(0).max(1).default(1),
      })
      .prefault({}),
    networkPolicies: z.boolean().default(true),
    virtualNodes: z.enum(['none', 'sidecar']).default('none'),
    sidecar: z
      .strictObject({ image: z.string().min(1).default(SIDECAR_IMAGE), resources: sidecarResources.prefault({}) })
      .prefault({}),
    detection: detection.prefault({}),
    warmUp: warmUp.prefault({}),
    admissionPolicy: z.strictObject({ enabled: z.boolean().default(false) }).prefault({}),
    server: z
      .strictObject({
        address: z
          .string()
          .refine((text) => isIP(text) !== 0, 'expected an IP address to listen on')
          .default('0.0.0.0'),
        port: port.default(10_250),
        metricsPort: port.default(9402),
        warnings: z.boolean().default(false),
        events: z.boolean().default(false),
      })
      .prefault({}),
    tls: tls.prefault({}),
    log: z
      .strictObject({
        level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
        format: z.enum(['json', 'text']).default('json'),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    if (config.musl.remedy === 'redirect' && config.nodeLocal.mode === 'off') {
      context.addIssue({
        code: 'custom',
        path: ['musl', 'remedy'],
        message: 'redirect needs a node-local cache, and nodeLocal.mode is off; use auto, retry or none',
      });
    }
    if (config.server.port === config.server.metricsPort && config.server.port !== 0) {
      const message = 'expected another port than server.port: both listen at one address';
      context.addIssue({ code: 'custom', path: ['server', 'metricsPort'], message });
    }
  });

export type Config = z.output<typeof configSchema>;

/** Returns the configuration of an empty file. */
export const defaultConfig = (): Config => configSchema.parse({});
