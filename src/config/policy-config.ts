import type { DnsOption, PolicyConfig } from '../policy/model.ts';
import { parseQuantity, parseResolverOption } from './options.ts';
import type { Config } from './schema.ts';

/** Returns the policy's part of the configuration, its options parsed. */
export function policyConfig(config: Config): PolicyConfig {
  const extra = Object.entries(config.extraOptions).map(
    ([resolver, options]) => [resolver, parseOptions(options ?? [])] as const,
  );
  return {
    scope: config.scope,
    mode: config.mode,
    excludeNamespaces: config.excludeNamespaces,
    exposure: config.exposure,
    glibc: { options: parseOptions(config.glibc.options), tcpPreflight: config.glibc.tcpPreflight },
    go: { options: parseOptions(config.go.options) },
    musl: config.musl,
    mixedPods: config.mixedPods,
    extraOptions: Object.fromEntries(extra),
    nodeLocal: config.nodeLocal,
    virtualNodes: config.virtualNodes,
    sidecar: sidecarConfig(config.sidecar),
  };
}

function parseOptions(options: readonly string[]): DnsOption[] {
  return options.map((text) => {
    const option = parseResolverOption(text);
    if (typeof option === 'string') throw new TypeError(option);
    return option;
  });
}

const given = (quantities: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(quantities).filter(([, quantity]) => quantity !== ''));

function sidecarConfig({ image, resources: { requests, limits } }: Config['sidecar']): PolicyConfig['sidecar'] {
  return {
    image,
    resources: { requests: { ...given(limits), ...given(requests) }, limits: given(limits) },
    memoryBytes: parseQuantity(limits.memory) ?? 0,
  };
}
