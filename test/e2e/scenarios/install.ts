import { helmInstall, NAMESPACE, RELEASE } from '../installation.ts';
import { replicasOf } from '../replicas.ts';
import { expectThat, type Scenario } from '../scenario.ts';

/** `helm install` with no values at all, and `helm test`. */
export const install: Scenario = {
  id: 'install',
  name: 'helm install with no values, then helm test',
  async run(cluster) {
    await cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--ignore-not-found', '--wait');
    const began = performance.now();
    await helmInstall(cluster);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const tested = await cluster.helm('test', RELEASE, '-n', NAMESPACE, '--timeout', '2m');
    expectThat(/Phase:\s+Succeeded/.test(tested), tested);
    const replicas = await replicasOf(cluster);
    const restarts = replicas.flatMap(({ status }) => status.containerStatuses ?? []).map((one) => one.restartCount);
    expectThat(restarts.length >= 3 && restarts.every((count) => count === 0), `restarts: ${restarts.join(', ')}`);
    return `${restarts.length} replicas ready ${seconds} s after the command, none restarted, helm test succeeded`;
  },
};
