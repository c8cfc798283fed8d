import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { KubeObject } from '../../src/kubernetes/objects.ts';
import { hasHelm, IN_CLUSTER, NAMESPACE, RELEASE, renderText } from '../chart/helm.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';
import { install, type Installation } from '../support/installation.ts';

interface Manifest extends KubeObject {
  readonly kind: string;
}
interface TestPod extends Manifest {
  readonly spec: {
    readonly containers: readonly { readonly command?: readonly string[]; readonly args: readonly string[] }[];
  };
}
interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: { readonly 'certificate-authority-data': string } }[];
  readonly users: readonly { readonly user: { readonly token: string } }[];
}

describe.runIf(hasCluster() && hasHelm())('helm test', () => {
  let cluster: TestCluster;
  let installation: Installation;
  let folder: string;
  let program: readonly string[];

  beforeAll(async () => {
    cluster = await startCluster();
    folder = mkdtempSync(join(tmpdir(), 'libc-dns-helm-test-'));
    installation = await install(cluster, { settings: { DETECTION_REGISTRY_ENABLED: 'false' } });
    const path = '/api/v1/namespaces/default/serviceaccounts';
    await cluster.client.request({ method: 'POST', path, body: { metadata: { name: 'default' } } }).catch(() => {});
    const rendered = parseAllDocuments(renderText([], [...IN_CLUSTER, '--show-only', 'templates/tests/check.yaml']))
      .map((document) => document.toJS() as Manifest)
      .filter((manifest) => manifest !== null);
    const pod = rendered.find(({ kind }) => kind === 'Pod') as TestPod;
    const { command, args = [] } = pod.spec.containers[0] ?? {};
    // The image's own entry point is libc-dns.
    expect(command).toEqual(['/nodejs/bin/node']);
    program = args;
    await cluster.apply(...rendered.filter(({ kind }) => kind !== 'Pod'));
    const file = await cluster.kubeconfigOf(NAMESPACE, `${RELEASE}-test`);
    const { clusters, users } = parse(readFileSync(file, 'utf8')) as Kubeconfig;
    writeFileSync(join(folder, 'token'), users[0]?.user.token ?? '');
    writeFileSync(join(folder, 'ca.crt'), Buffer.from(clusters[0]!.cluster['certificate-authority-data'], 'base64'));
  });
  afterAll(async () => {
    await installation?.stop();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs what the test Pod runs, with the rights of its service account. */
  const check = (namespace = 'default'): Promise<{ code: number; out: string }> =>
    new Promise((resolve) => {
      const env = {
        TEST_NAMESPACE: namespace,
        SERVICE_ACCOUNT: folder,
        API_SERVER: cluster.server,
        NODE_EXTRA_CA_CERTS: join(folder, 'ca.crt'),
        TRIES: '1',
      };
      execFile(process.execPath, program, { env }, (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, out: stdout + stderr }),
      );
    });

  it('passes where a Pod comes back patched', async () => {
    expect(await check()).toEqual({
      code: 0,
      out: expect.stringMatching(/came back patched: \{"reason":"OptionsAdded"/),
    });
  });

  it('has no rights but in its own namespace, and says so', async () => {
    expect(await check('kube-system')).toEqual({ code: 1, out: expect.stringContaining('403: pods is forbidden') });
  });

  it('fails where no replica can be reached', async () => {
    await installation.removeReplica(installation.replicas[0]!);
    expect(await check()).toEqual({ code: 1, out: expect.stringContaining('the Pod came back as it was') });
  });
});
