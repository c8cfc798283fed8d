import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { KubeObject } from '../../src/kubernetes/objects.ts';
import { CI_VALUES } from '../chart/golden.ts';
import { hasHelm, IN_CLUSTER, NAMESPACE, RELEASE, renderText } from '../chart/helm.ts';
import { writeKubeSchemas, type OpenApi } from '../chart/kube-schemas.ts';
import { hasTool } from '../chart/tools.ts';
import { hasCluster, startCluster, type TestCluster } from '../support/cluster.ts';

/** Kinds of operators that no API server has by itself: nobody here can check them. */
const OF_OPERATORS = ['Certificate', 'Issuer', 'PodMonitor', 'ServiceMonitor', 'PrometheusRule'];

interface Manifest extends KubeObject {
  readonly kind: string;
}

const objects = (text: string): Manifest[] =>
  // As kubectl reads it, for which 0440 is octal.
  parseAllDocuments(text, { version: '1.1' })
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);

interface Deployment extends Manifest {
  readonly spec: {
    readonly template: {
      readonly metadata: object;
      readonly spec: {
        readonly hostNetwork?: boolean;
        readonly priorityClassName?: string;
        readonly containers: readonly object[];
      };
    };
  };
}

describe.runIf(hasCluster() && hasHelm())('the objects of the chart', () => {
  let cluster: TestCluster;
  let folder: string;
  beforeAll(async () => {
    cluster = await startCluster();
    folder = mkdtempSync(join(tmpdir(), 'libc-dns-schemas-'));
    for (const name of [NAMESPACE, 'shop', 'payments', 'dns', 'openshift-dns']) {
      await cluster.createNamespace(
        name,
        name === NAMESPACE ? { 'pod-security.kubernetes.io/enforce': 'restricted' } : {},
      );
    }
    // Without them the API server takes no Pod, not even as a dry run.
    for (const name of [RELEASE, `${RELEASE}-test`, 'dns-tuner', 'dns-tuner-test']) {
      await cluster.kubectl(['create', 'serviceaccount', name, '--namespace', NAMESPACE]);
    }
  });
  afterAll(async () => {
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const dryRun = (object: object): Promise<string> =>
    cluster.kubectl(
      ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'],
      JSON.stringify(object),
    );

  it.each([...CI_VALUES])('%s is accepted, with no field that the API does not know', async (_, file) => {
    const known = objects(renderText([], ['--values', file, ...IN_CLUSTER])).filter(
      ({ kind }) => !OF_OPERATORS.includes(kind),
    );
    expect(known.length).toBeGreaterThan(10);
    for (const object of known) {
      await expect(dryRun(object)).resolves.toContain('(server dry run)');
    }
  });

  it.each([...CI_VALUES])(
    '%s makes Pods that satisfy restricted Pod security, where they have a network',
    async (_, file) => {
      const deployment = objects(renderText([], ['--values', file])).find(
        ({ kind }) => kind === 'Deployment',
      ) as Deployment;
      const { metadata, spec } = deployment.spec.template;
      // The class is not there.
      const { priorityClassName: _class, ...rest } = spec;
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { ...metadata, name: 'replica', namespace: NAMESPACE },
        spec: rest,
      };
      const answer = dryRun(pod).catch((error: unknown) => String(error));
      if (rest.hostNetwork === true) await expect(answer).resolves.toContain('host namespaces (hostNetwork=true)');
      else if (rest.containers.length === 1) await expect(answer).resolves.toContain('(server dry run)');
      // A container of the user's own is the user's.
      else await expect(answer).resolves.not.toContain('container "webhook"');
    },
  );

  it.runIf(hasTool('kubeconform', 'go install github.com/yannh/kubeconform/cmd/kubeconform@latest'))(
    'satisfies kubeconform, strictly, by what this API server says of its API',
    async () => {
      const openApi = await cluster.client.request<OpenApi>({ path: '/openapi/v2' });
      const location = writeKubeSchemas(openApi, join(folder, 'schemas'));
      const skipped = [...OF_OPERATORS, 'CustomResourceDefinition'].join(',');
      for (const [, file] of CI_VALUES) {
        const args = ['-strict', '-summary', '-skip', skipped, '-schema-location', location];
        const input = renderText([], ['--values', file, ...IN_CLUSTER]);
        expect(execFileSync('kubeconform', args, { input, encoding: 'utf8' })).toMatch(/Invalid: 0, Errors: 0/);
      }
      const typo = 'apiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { selectors: {} }\n';
      const wrong = (): string =>
        execFileSync('kubeconform', ['-strict', '-schema-location', location], { input: typo, encoding: 'utf8' });
      expect(wrong).toThrow('Command failed');
    },
  );
});
