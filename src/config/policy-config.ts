import type { DnsOption, PolicyConfig } from '../policy/model.ts';
import { parseResolverOption } from './options.ts';
import type { Config } from './schema.ts';

function parsed(options: readonly string[]): DnsOption[] {
  return options.map((text) => {
    const option = parseResolverOption(text);
    if (typeof option === 'string') throw new TypeError(option);
    return option;
  });
}

/** The policy's part of the configuration, made once: options parsed. */
export function policyConfig(config: Config): PolicyConfig {
  const extra = Object.entries(config.extraOptions).map(
    ([resolver, options]) => [resolver, parsed(options ?? [])] as const,
  );
  return {
    scope: config.scope,
    mode: config.mode,
    excludeNamespaces: config.excludeNamespaces,
    glibc: { options: parsed(config.glibc.options), tcpPreflight: config.glibc.tcpPreflight },
    go: { options: parsed(config.go.options) },
    musl: config.musl,
    mixedPods: config.mixedPods,
    extraOptions: Object.fromEntries(extra),
    nodeLocal: config.nodeLocal,
  };
}
