import { KubeConfig, type User } from '@kubernetes/client-node';
import { readFileSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';
import { parse } from 'yaml';

import { KubeError } from './kube-error.ts';

interface Exec {
  readonly apiVersion?: string;
  readonly command?: string;
  readonly env?: readonly object[] | null;
}

/** A command with a slash is found from the kubeconfig's own folder (client-go: clientcmd/loader.go, GetAuthInfoFileReferences). */
function withExec(user: User, folder: string): User {
  const exec = user.exec as Exec | null | undefined;
  if (typeof exec?.command !== 'string') return user;
  const command = exec.command.includes(sep) ? resolve(folder, exec.command) : exec.command;
  // Plugins answer in the version that it names (kubernetes.io: Authenticating, client-go credential plugins, input and output).
  const info = { kind: 'ExecCredential', apiVersion: exec.apiVersion, spec: { interactive: false } };
  const env = [...(exec.env ?? []), { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }];
  return { ...user, exec: { ...exec, command, env } };
}

/** client-node does not know the key that kubectl writes; this is how it has the token of a service account. */
function withTokenFile(user: User, tokenFile: unknown, folder: string): User {
  if (typeof tokenFile !== 'string' || tokenFile === '') return user;
  return { ...user, authProvider: { name: 'tokenFile', config: { tokenFile: resolve(folder, tokenFile) } } };
}

interface Users {
  readonly users?: readonly { readonly name: string; readonly user?: { readonly tokenFile?: unknown } | null }[] | null;
}

/** One file; its relative paths are of its own folder. Undefined where there is nothing in it. */
function readOne(file: string): KubeConfig | undefined {
  const text = readFileSync(file, 'utf8');
  const content = parse(text, { prettyErrors: false, logLevel: 'silent' }) as Users | null;
  if (content === null) return undefined;
  const folder = dirname(file);
  const config = new KubeConfig();
  config.loadFromString(text);
  config.makePathsAbsolute(folder);
  config.users = config.users.map((user) => {
    const tokenFile = content.users?.find(({ name }) => name === user.name)?.user?.tokenFile;
    return withTokenFile(withExec(user, folder), tokenFile, folder);
  });
  return config;
}

function firstOfName<T extends { readonly name: string }>(all: readonly T[]): T[] {
  return [...Map.groupBy(all, ({ name }) => name).values()].flatMap(([first]) => first ?? []);
}

/**
 * The files of a KUBECONFIG as one: of clusters, users and contexts of the same name the first counts, whole, and the current
 * context is that of the first file that names one (kubernetes.io: Organizing Cluster Access Using kubeconfig Files).
 * Throws {@link KubeError} (invalid), naming the file that cannot be read.
 */
export function readKubeConfig(files: readonly string[]): KubeConfig {
  const configs = files.flatMap((file) => {
    try {
      return readOne(file) ?? [];
    } catch (error) {
      throw new KubeError('invalid', `kubeconfig ${file}: ${(error as Error).message}`, { cause: error });
    }
  });
  const merged = new KubeConfig();
  merged.loadFromOptions({
    clusters: firstOfName(configs.flatMap(({ clusters }) => clusters)),
    users: firstOfName(configs.flatMap(({ users }) => users)),
    contexts: firstOfName(configs.flatMap(({ contexts }) => contexts)),
    currentContext: configs.map(({ currentContext }) => currentContext).find(Boolean),
  });
  return merged;
}
