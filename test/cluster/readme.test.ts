import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasHelm, ROOT } from '../chart/helm.ts';
import { binary, hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { commandsOf, triedBy } from '../support/readme.ts';

/** Nothing starts Pods here, so that nothing becomes ready. */
const withoutWaiting = (command: string): string => command.replace(' --wait ', ' ');

describe.runIf(hasCluster() && hasHelm())('the commands of README.md for a cluster', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(async () => {
    await cluster?.stop();
  });

  const run = (script: string): Promise<string> => {
    const path = [dirname(binary('kubectl') ?? ''), process.env['PATH']].join(':');
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, PATH: path };
    return new Promise((resolve) => {
      execFile('bash', ['-e', '-c', script], { cwd: ROOT, env, timeout: 60_000 }, (error, out, err) =>
        resolve(error === null ? out : `${script}: ${err}`),
      );
    });
  };

  const commands = commandsOf().filter((command) => triedBy(command) === 'api-server');
  const inKind = commands.findIndex((command) => command.includes(' --wait '));

  it('that install in kind do, with the example in a labelled namespace', async () => {
    const out = await run(commands.slice(inKind).map(withoutWaiting).join('\n'));
    expect(out).toContain('STATUS: deployed');
    expect(out).toContain('namespace/shop labeled');
    expect(out).toContain('deployment.apps/search created');
    const image = '{.spec.template.spec.containers[0].image}';
    expect(await run(`kubectl -n libc-dns get deployment libc-dns-webhook -o jsonpath='${image}'`)).toBe(
      'localhost/libc-dns-webhook:dev',
    );
    expect(await run("kubectl get namespace shop -o jsonpath='{.metadata.labels.libc-dns\\.dev/mode}'")).toBe(
      'enforce',
    );
    await run(
      'helm uninstall libc-dns-webhook --namespace libc-dns --wait=false && kubectl label namespace shop libc-dns.dev/mode-',
    );
  });

  it('that install from a registry do, and label a namespace for a first look', async () => {
    const out = await run(commands.slice(0, inKind).join('\n'));
    expect(out).toContain('STATUS: deployed');
    expect(out).toContain('namespace/shop labeled');
    const image = '{.spec.template.spec.containers[0].image}';
    expect(await run(`kubectl -n libc-dns get deployment libc-dns-webhook -o jsonpath='${image}'`)).toBe(
      join('registry.example.com', 'libc-dns-webhook:dev'),
    );
  });
});
