import { failure, ok, skipped, warning, type Outcome } from './check.ts';
import { judgeKernels } from './fault/kernels.ts';
import { judgeKubeProxy } from './fault/kube-proxy.ts';
import { judgeNodeLocal } from './fault/node-local.ts';
import type { Check } from './run-checks.ts';
import { NeedsClusterError, type Sight } from './sight.ts';

const HOW = { text: 'Name the cluster with --kubeconfig and --context, as for kubectl.' };

const [LEAST_MAJOR, LEAST_MINOR] = [1, 30];

/** Whether there is an API server that answers, of a version that the webhook works with. */
async function judgeAccess({ parts, view }: Sight): Promise<Outcome> {
  if (parts.view === undefined) return skipped(`no cluster: ${parts.noCluster ?? 'none is named'}`, { advice: [HOW] });
  const { server } = parts.view;
  try {
    const version = await (await view()).version();
    const data = { server, version };
    const [, major, minor] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
    const old = Number(major) === LEAST_MAJOR && Number(minor) < LEAST_MINOR;
    if (!old) return ok(`${server} answers (Kubernetes ${version})`, { data });
    const seen = `${server} is Kubernetes ${version}: matchConditions need 1.30 or later`;
    return warning(seen, {
      data,
      advice: [{ text: 'Update the cluster, or take matchConditions out of the registration.' }],
    });
  } catch (error) {
    if (!(error instanceof NeedsClusterError)) throw error;
    return failure(error.message, { data: { server }, advice: [HOW] });
  }
}

/** The cluster itself, and whether the fault is possible in it. */
export function faultChecks(sight: Sight): Check[] {
  return [
    { id: 'api-server', group: 'access', run: () => judgeAccess(sight) },
    { id: 'kernels', group: 'fault', run: async () => judgeKernels(await (await sight.view()).nodes()) },
    { id: 'kube-proxy', group: 'fault', run: async () => judgeKubeProxy(await (await sight.view()).kubeProxy()) },
    {
      id: 'node-local',
      group: 'fault',
      run: async () => {
        await sight.view();
        const dns = await sight.dns();
        if (dns.unread !== undefined) throw dns.unread;
        return judgeNodeLocal((await sight.webhookConfig()).config, dns);
      },
    },
  ];
}
