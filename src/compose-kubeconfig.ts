import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** The cluster that a person means. */
export interface Meant {
  /** Kubeconfig files; absent: the service account of our own Pod. */
  readonly files?: readonly string[];
  readonly context?: string;
}

export interface Choice {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** Where to look for the cluster: as kubectl does. A sentence where there is none. */
export function meantCluster(
  { kubeconfig, context }: Choice,
  environment: NodeJS.ProcessEnv,
  inCluster: boolean,
): Meant | string {
  const named = context === undefined ? {} : { context };
  if (kubeconfig !== undefined) return { files: [kubeconfig], ...named };
  const listed = (environment['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
  if (listed.length > 0) {
    const files = [...new Set(listed)].filter((path) => existsSync(path));
    return files.length > 0 ? { files, ...named } : `KUBECONFIG names ${listed.join(', ')}, which is not there`;
  }
  const usual = join(environment['HOME'] ?? homedir(), '.kube', 'config');
  if (existsSync(usual)) return { files: [usual], ...named };
  return inCluster ? {} : `neither --kubeconfig nor KUBECONFIG is given, and there is no ${usual}`;
}
