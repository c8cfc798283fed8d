import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** The cluster that a person means. */
export interface Meant {
  /** A kubeconfig; absent: the service account of our own Pod. */
  readonly file?: string;
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
  warn: (message: string) => void,
): Meant | string {
  const named = context === undefined ? {} : { context };
  if (kubeconfig !== undefined) return { file: kubeconfig, ...named };
  const listed = (environment['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
  if (listed.length > 0) {
    const [file, ...others] = listed.filter((path) => existsSync(path));
    if (file === undefined) return `KUBECONFIG names ${listed.join(', ')}, which is not there`;
    // kubectl merges them; here it is one, and it says which.
    if (others.length > 0) warn(`KUBECONFIG names several files: ${file} is used; --kubeconfig chooses another`);
    return { file, ...named };
  }
  const usual = join(environment['HOME'] ?? homedir(), '.kube', 'config');
  if (existsSync(usual)) return { file: usual, ...named };
  return inCluster ? {} : `neither --kubeconfig nor KUBECONFIG is given, and there is no ${usual}`;
}
