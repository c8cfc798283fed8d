import { type Choice, meantCluster } from './compose-kubeconfig.ts';
import { joinByKubeconfig, type Joined, joinOwn, type Surroundings } from './compose-kubernetes.ts';
import type { KubeClient } from './kubernetes/client.ts';
import type { Log } from './telemetry/log.ts';
import { CommandError } from './terminal/io.ts';

/** A cluster that a person looks at. */
export interface PersonsCluster extends Joined {
  readonly client: KubeClient;
  /** Whether we run in it, so that our own resolv.conf and the cluster DNS are those of its Pods. */
  readonly inside: boolean;
}

/**
 * Joins the cluster that a person means: `--kubeconfig`, `KUBECONFIG`, `~/.kube/config`, else the one we run in. Rejects with
 * `CommandError` where there is none, or where it cannot be used.
 */
export async function joinAsPerson(choice: Choice, around: Surroundings, log: Log): Promise<PersonsCluster> {
  const meant = meantCluster(choice, around.environment, around.inCluster);
  if (typeof meant === 'string') throw new CommandError('usage', `no cluster: ${meant}`);
  if (meant.files !== undefined) return { ...(await joinByKubeconfig(meant, around, log)), inside: false };
  const { client, own } = await joinOwn(around, log);
  if (client === undefined) throw new CommandError('failed', 'no cluster: no service account token is mounted here');
  return { client, own, inside: true };
}
