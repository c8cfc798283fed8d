import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { binary, hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { install, NAMESPACE, type Installation } from '../support/installation.ts';
import { createPod } from '../support/pods.ts';

const RUNBOOK = readFileSync(new URL('../../docs/runbook.md', import.meta.url), 'utf8');

/** Each line of each block of commands, once. */
const commands = new Set(
  [...RUNBOOK.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) => block.trim().split('\n')),
);

/** The API server asks a kubelet for these, of which there is none. */
const NEEDS_KUBELET = /kubectl [^|]*\b(?:logs|exec)\b|\/proxy\//;

/** What kubectl says where a question was right and the answer is none. */
const NOTHING_THERE = /^(No resources found.*\n)?$/;

const AT_LAST = 'kubectl delete mutatingwebhookconfiguration libc-dns-webhook';

describe.runIf(hasCluster())('the commands of the runbook', () => {
  let cluster: TestCluster;
  let installation: Installation;
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-runbook-'));

  /** As an administrator who has a kubeconfig would run it. */
  const run = (command: string): Promise<{ code: number; out: string; err: string }> => {
    const path = [folder, dirname(binary('kubectl') ?? ''), process.env['PATH']].join(delimiter);
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, PATH: path };
    const script = command.replaceAll('NAMESPACE', 'shop');
    return new Promise((resolve) => {
      execFile('bash', ['-o', 'pipefail', '-c', script], { env, timeout: 30_000 }, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
      );
    });
  };

  beforeAll(async () => {
    cluster = await startCluster();
    installation = await install(cluster);
    await cluster.createNamespace('shop', { 'libc-dns.dev/mode': 'enforce' });
    await createPod(cluster, 'shop', { name: 'web' });
    const labels = { 'app.kubernetes.io/name': 'libc-dns-webhook' };
    await cluster.kubectl(['create', 'serviceaccount', 'default', '-n', NAMESPACE]).catch(() => '');
    await createPod(cluster, NAMESPACE, { name: 'replica', labels });
  });
  afterAll(async () => {
    await installation?.stop();
    await cluster?.stop();
    rmSync(folder, { recursive: true });
  });

  it('are there', () => {
    expect(commands.size).toBeGreaterThan(20);
    expect([...commands].filter((command) => !/^(kubectl|for) /.test(command))).toEqual([]);
  });

  it.each([...commands].filter((command) => !NEEDS_KUBELET.test(command) && command !== AT_LAST))(
    '%s',
    async (command) => {
      const { code, out, err } = await run(command);
      expect(err).toMatch(NOTHING_THERE);
      expect(code).toBe(0);
      expect(out + err).not.toBe('');
    },
  );

  it.each([...commands].filter((command) => NEEDS_KUBELET.test(command)))(
    'as far as there is a kubelet: %s',
    async (command) => {
      // grep finds nothing, and kubectl no kubelet: nothing else may be wrong with it.
      const { err } = await run(command);
      expect(err).not.toMatch(
        /unknown|not found|invalid|syntax|Usage|usage|doesn't have a resource|error: (?!unable|an error)/i,
      );
    },
  );

  it('show a Pod as it would be patched, and none once the webhook is stopped', async () => {
    const probe = [...commands].find((command) => command.includes('--dry-run=server')) ?? '';
    await cluster.kubectl(['label', 'namespace', 'shop', 'libc-dns.dev/mode=enforce', '--overwrite']);
    expect((await run(probe)).out).toContain('"reason":"UnknownOptions"');
    expect((await run(AT_LAST)).code).toBe(0);
    expect((await run(probe)).out.trim()).toBe('');
  });
});
