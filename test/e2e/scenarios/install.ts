import { CHART, type Cluster } from '../cluster/cluster.ts';
import { expectThat, type Scenario } from '../scenario.ts';

export const RELEASE = 'libc-dns-webhook';
export const NAMESPACE = 'libc-dns';

/** `helm upgrade` to the same chart, with flags. */
export const upgrade = (cluster: Cluster, ...flags: readonly string[]): Promise<string> =>
  cluster.helm('upgrade', RELEASE, CHART, '-n', NAMESPACE, '--wait', '--timeout', '3m', ...flags);

/** `helm install` of this chart, or of another. */
export const helmInstall = (cluster: Cluster, chart: string = CHART): Promise<string> =>
  cluster.helm('install', RELEASE, chart, '-n', NAMESPACE, '--create-namespace', '--wait', '--timeout', '3m');

/** `helm install` with no values at all, and `helm test`. */
export const install: Scenario = {
  id: 'install',
  name: 'helm install with no values, then helm test',
  async run(cluster) {
    const began = performance.now();
    await helmInstall(cluster);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const tested = await cluster.helm('test', RELEASE, '-n', NAMESPACE, '--timeout', '2m');
    expectThat(/Phase:\s+Succeeded/.test(tested), tested);
    const pods = await cluster.get<{ items: { status: { containerStatuses: { restartCount: number }[] } }[] }>(
      '-n',
      NAMESPACE,
      'pods',
      '-l',
      'app.kubernetes.io/name=libc-dns-webhook',
    );
    const restarts = pods.items.flatMap(({ status }) => status.containerStatuses).map((one) => one.restartCount);
    expectThat(restarts.length >= 3 && restarts.every((count) => count === 0), `restarts: ${restarts.join(', ')}`);
    return `${restarts.length} replicas ready ${seconds} s after the command, none restarted, helm test succeeded`;
  },
};
