import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { CHART } from '../../cluster/cluster.ts';
import { change } from '../../meanwhile.ts';
import { NAMESPACE, RELEASE, helmInstall, upgrade } from '../../installation.ts';

/** No release has been tagged yet: the first chart of 0.1.0 that had all its parts stands in for one. */
const FIRST = 'feed461';

const upgraded = change('release', `helm upgrade from the first chart of 0.1.0 (${FIRST}) to this one`, (cluster) =>
  upgrade(cluster),
);

const root = join(CHART, '../..');
const git = (...words: string[]): Buffer =>
  execFileSync('git', ['-c', 'safe.directory=*', ...words], {
    cwd: root,
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'ignore'],
  });

/** Takes the old chart out of the history of the repository. */
function oldChart(folder: string): string {
  mkdirSync(folder, { recursive: true });
  const archive = git('archive', FIRST, 'charts/libc-dns-webhook');
  execFileSync('tar', ['x', '-C', folder], { input: archive });
  const chart = join(folder, 'charts/libc-dns-webhook');
  // Today's image stands in for the old one, whose entry point did not name the program.
  const deployment = join(chart, 'templates/deployment.yaml');
  writeFileSync(deployment, readFileSync(deployment, 'utf8').replace('args: [main.js, ', 'args: ['));
  return chart;
}

export const release: typeof upgraded = {
  ...upgraded,
  whyNot() {
    try {
      git('cat-file', '-e', `${FIRST}^{commit}`);
      return undefined;
    } catch {
      return `the history here does not reach back to ${FIRST}`;
    }
  },
  async run(cluster) {
    const chart = oldChart(join(cluster.order.folder, 'first-chart'));
    await cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--wait');
    // It stays for the next install of today's chart; the old one had it made by Helm alone.
    await cluster.kubectl('delete', 'customresourcedefinition', 'imagelibcs.libc-dns.dev');
    await helmInstall(cluster, chart);
    return await upgraded.run(cluster);
  },
};
