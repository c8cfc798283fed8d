import type { Evidence } from '../evidence.ts';
import { samplesOf } from './fail-open.ts';
import { podsBehind } from './installation.ts';

/** What a replica runs. */
export interface ReplicaVersion {
  /** `namespace/name` of the Pod. */
  readonly pod: string;
  /** undefined if neither its metrics nor its labels tell. */
  readonly version: string | undefined;
  /** `label`: what the chart has written there, for its metrics could not be read. */
  readonly from: 'metrics' | 'label';
}

const BUILD = 'libc_dns_build_info';

/** Returns what the replicas run that the API server calls; empty if there is no webhook. Rejects if that cannot be read. */
export async function replicaVersions(
  evidence: Pick<Evidence, 'view' | 'target' | 'webhookConfig'>,
): Promise<readonly ReplicaVersion[]> {
  const [view, target] = [await evidence.view(), await evidence.target()];
  if (target === undefined) return [];
  const { namespace } = target;
  const pods = await podsBehind(view, target);
  const port = (await evidence.webhookConfig()).config.server.metricsPort;
  return await Promise.all(
    pods.map(async ({ name, view: { labels } }): Promise<ReplicaVersion> => {
      const lines = await view.podMetrics({ namespace, name, port }, [BUILD]).catch(() => []);
      const told = samplesOf(lines)[0]?.labels['version'];
      const version = told ?? labels['app.kubernetes.io/version'];
      return { pod: `${namespace}/${name}`, version, from: told === undefined ? 'label' : 'metrics' };
    }),
  );
}
