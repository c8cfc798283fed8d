import type { Mode, NamespaceView, PodView, PolicyConfig } from './model.ts';
import type { Reason } from './reasons.ts';

/** The label on namespaces and Pods. */
export const MODE_LABEL = 'libc-dns.dev/mode';

/** Kubernetes' own namespaces, where the mode is always off. */
export const SYSTEM_NAMESPACES: readonly string[] = ['kube-system', 'kube-public', 'kube-node-lease'];

export interface Scope {
  readonly mode: Mode;
  /** Why the mode is off; undefined if it is not. */
  readonly reason?: Reason;
  readonly warnings: readonly string[];
}

type Config = Pick<PolicyConfig, 'scope' | 'mode' | 'excludeNamespaces'>;

/**
 * Returns the mode for a Pod, by the first rule that applies:
 *
 * | rule                                | mode                                             |
 * |-------------------------------------|--------------------------------------------------|
 * | system, own or excluded namespace   | off                                              |
 * | Pod label                           | that; `enforce` under a namespace's `audit`: audit |
 * | namespace label                     | that                                             |
 * | scope `cluster`                     | the configured mode                              |
 * | else                                | off                                              |
 */
export function effectiveMode(
  pod: Pick<PodView, 'labels'>,
  namespace: NamespaceView,
  config: Config,
  ownNamespace?: string,
): Scope {
  const ruled = namespaceRule(namespace.name, config, ownNamespace);
  if (ruled !== undefined) return { mode: 'off', reason: ruled, warnings: [] };

  const warnings: string[] = [];
  const podMode = readLabel(pod.labels, 'Pod', warnings);
  const namespaceMode = readLabel(namespace.labels, 'namespace', warnings);
  if (podMode === 'off') return { mode: 'off', reason: 'PodOptedOut', warnings };
  if (podMode === 'enforce' && namespaceMode === 'audit') return { mode: 'audit', warnings };
  if (podMode !== undefined) return { mode: podMode, warnings };
  if (namespaceMode === 'off') return { mode: 'off', reason: 'NamespaceOptedOut', warnings };
  if (namespaceMode !== undefined) return { mode: namespaceMode, warnings };
  if (config.scope === 'cluster') return { mode: config.mode, warnings };
  return { mode: 'off', reason: 'NotOptedIn', warnings };
}

/** Reports whether Pods without a label of their own are in scope. */
export const isInScope = (namespace: NamespaceView, config: Config, ownNamespace?: string): boolean =>
  effectiveMode({ labels: {} }, namespace, config, ownNamespace).mode !== 'off';

function namespaceRule(name: string, config: Config, own: string | undefined): Reason | undefined {
  if (SYSTEM_NAMESPACES.includes(name)) return 'SystemNamespace';
  if (own !== undefined && name === own) return 'OwnNamespace';
  return config.excludeNamespaces.includes(name) ? 'NamespaceExcluded' : undefined;
}

function readLabel(labels: Readonly<Record<string, string>>, of: string, warnings: string[]): Mode | undefined {
  const value = labels[MODE_LABEL];
  if (value === undefined) return undefined;
  if (value === 'enforce' || value === 'audit' || value === 'off') return value;
  warnings.push(`label ${MODE_LABEL} of the ${of} is ${JSON.stringify(value)}: ignored; use enforce, audit or off`);
  return undefined;
}
