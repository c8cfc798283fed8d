import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { configSchema } from '../../src/config/schema.ts';
import { CI_VALUES } from './golden.ts';
import { CHART, hasHelm, helm, IN_CLUSTER, renderText, ROOT } from './helm.ts';
import { type Manifest, objects } from './rendered.ts';

describe.runIf(hasHelm())('values that other charts have', () => {
  interface Workload extends Manifest {
    readonly spec: {
      readonly revisionHistoryLimit?: number;
      readonly template: {
        readonly spec: {
          readonly initContainers?: readonly unknown[];
          readonly containers: readonly (Readonly<Record<string, unknown>> & { readonly image: string })[];
        };
      };
    };
  }
  const of = (kind: string, values: readonly string[], more: readonly string[] = []): Workload =>
    objects(renderText(values, more)).find((one) => one.kind === kind) as Workload;
  const container = (values: readonly string[]) => of('Deployment', values).spec.template.spec.containers[0]!;

  const DIGEST = `sha256:${'a'.repeat(64)}`;
  const NAME = 'libc-dns/libc-dns-webhook';
  it.each([
    ['the release', [], `ghcr.io/${NAME}:0.1.0`],
    ['a registry', ['image.registry="mirror.example:5000"'], `mirror.example:5000/${NAME}:0.1.0`],
    ['the registry of all charts', ['global.imageRegistry="mirror.example"'], `mirror.example/${NAME}:0.1.0`],
    ['a repository with a registry', ['image.repository="localhost/own"', 'image.tag="ci"'], 'localhost/own:ci'],
    ['both', ['image.repository="a.example/own"', 'global.imageRegistry="b.example"'], 'b.example/own:0.1.0'],
    ['no registry', ['image.registry=""', 'image.tag="1"'], `${NAME}:1`],
    ['a digest, which wins over a tag', [`image.digest="${DIGEST}"`, 'image.tag="1"'], `ghcr.io/${NAME}@${DIGEST}`],
  ])('image: %s', (_, values, image) => {
    expect(container(values).image).toBe(image);
  });

  it('image: the digest of a release gives way to a tag and to a digest', () => {
    const folder = mkdtempSync(join(tmpdir(), 'libc-dns-released-'));
    cpSync(CHART, folder, { recursive: true });
    const about = join(folder, 'Chart.yaml');
    const text = readFileSync(about, 'utf8').replace('image-digest: ""', `image-digest: ${DIGEST}`);
    writeFileSync(about, text);
    const image = (...sets: string[]): string =>
      /image: (\S+)/.exec(helm(['template', 'r', folder, '--kube-version', '1.37.0', ...sets]))?.[1] ?? '';
    expect(image()).toBe(`ghcr.io/${NAME}@${DIGEST}`);
    expect(image('--set', 'image.tag=mine')).toBe(`ghcr.io/${NAME}:mine`);
    const own = DIGEST.replaceAll('a', 'b').replace('shb', 'sha');
    expect(image('--set', `image.digest=${own}`)).toBe(`ghcr.io/${NAME}@${own}`);
    rmSync(folder, { recursive: true });
  });

  it('the registry of all charts is that of the node-local cache too', () => {
    const cache = of('DaemonSet', ['nodeLocalDns.enabled=true', 'global.imageRegistry="mirror.example"']);
    expect(cache.spec.template.spec.containers[0]?.image).toBe('mirror.example/dns/k8s-dns-node-cache:1.26.4');
  });

  it('the registry of all charts is that of the cache in Pods too, whose default the chart knows', () => {
    const image = (...values: string[]): unknown => {
      const [map] = objects(renderText(values)).filter(({ kind }) => kind === 'ConfigMap') as unknown as [
        { data: Record<string, string> },
      ];
      return (parse(map.data['config.yaml'] ?? '') as { sidecar?: { image?: string } }).sidecar?.image;
    };
    const { path, host } = /^(?<host>[^/]+)\/(?<path>.+)$/.exec(configSchema.parse({}).sidecar.image)?.groups ?? {};
    expect([image(), host]).toEqual([undefined, 'registry.k8s.io']);
    expect(image('global.imageRegistry="mirror.example:5000"')).toBe(`mirror.example:5000/${path}`);
    expect(image('global.imageRegistry="mirror.example"', 'config.sidecar.image="own.example/dns:1"')).toBe(
      'mirror.example/dns:1',
    );
    expect(image('config.sidecar.image="own.example/dns:1"')).toBe('own.example/dns:1');
  });

  it('probes, flags, security and history: merged over what there is', () => {
    const given = [
      'livenessProbe.periodSeconds=30',
      'extraArgs=["--log-level","debug"]',
      'securityContext.capabilities.add=["NET_BIND_SERVICE"]',
      'revisionHistoryLimit=1',
      'extraInitContainers=[{"name":"first","image":"a"}]',
    ];
    expect(container(given)).toMatchObject({
      args: ['serve', '--config', '/etc/libc-dns/config.yaml', '--log-level', 'debug'],
      livenessProbe: { httpGet: { path: '/livez', port: 'metrics' }, periodSeconds: 30, timeoutSeconds: 5 },
      securityContext: {
        allowPrivilegeEscalation: false,
        capabilities: { add: ['NET_BIND_SERVICE'], drop: ['ALL'] },
      },
    });
    expect(of('Deployment', given).spec).toMatchObject({
      revisionHistoryLimit: 1,
      template: { spec: { initContainers: [{ name: 'first', image: 'a' }] } },
    });
  });

  it('users: 65532, but on OpenShift none, for restricted-v2 gives them numbers', () => {
    const user = (more: readonly string[]): unknown =>
      (of('Deployment', [], more).spec.template.spec as { securityContext?: unknown }).securityContext;
    const restricted = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
    expect(user([])).toEqual({ ...restricted, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532 });
    expect(user(['--api-versions', 'security.openshift.io/v1'])).toEqual(restricted);
  });

  it("annotations for all objects, which an object's own win over", () => {
    const file = CI_VALUES.get('everything') ?? '';
    const values = ['commonAnnotations={"team":"dns","owner":"all"}', 'service.annotations={"owner":"service"}'];
    const all = objects(renderText(values, ['--values', file, ...IN_CLUSTER]));
    expect(all.length).toBeGreaterThan(15);
    // Not extraObjects, which have what their author gave.
    const ours = all.filter(({ metadata }) => !metadata.name.endsWith('-more'));
    const annotated = (key: string): string[] =>
      ours.filter(({ metadata }) => metadata.annotations?.[key] !== undefined).map(({ kind }) => kind);
    // Objects of the node-local cache are kept at an uninstall, and objects of the test are hooks, as without it.
    expect(annotated('helm.sh/resource-policy')).toEqual(expect.arrayContaining(['DaemonSet', 'ConfigMap', 'Service']));
    expect(annotated('helm.sh/hook')).toEqual(expect.arrayContaining(['ServiceAccount', 'Role', 'RoleBinding', 'Pod']));
    const bare = ours.filter(({ metadata }) => metadata.annotations?.['team'] !== 'dns');
    expect(bare.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([]);
    // The Service of the node-local cache has none of its own.
    const service = ours.findLast(({ kind, metadata }) => kind === 'Service' && !metadata.name.endsWith('-upstream'));
    expect(service?.metadata.annotations?.['owner']).toBe('service');
  });

  it('more that a namespace has to have: for both entries of the registration', () => {
    const registration = of('MutatingWebhookConfiguration', [
      'webhook.namespaceSelector={"matchLabels":{"team":"a"},"matchExpressions":[{"key":"env","operator":"Exists"}]}',
    ]) as unknown as { webhooks: { namespaceSelector: { matchLabels: object; matchExpressions: object[] } }[] };
    expect(registration.webhooks).toHaveLength(2);
    for (const { namespaceSelector } of registration.webhooks) {
      expect(namespaceSelector.matchLabels).toEqual({ team: 'a' });
      expect(namespaceSelector.matchExpressions).toHaveLength(3);
      expect(namespaceSelector.matchExpressions.at(-1)).toEqual({ key: 'env', operator: 'Exists' });
    }
  });

  it.each(['PodMonitor', 'ServiceMonitor'])('relabelings of a %s', (kind) => {
    const monitor = of(kind, [
      `metrics.monitor={"enabled":true,"kind":"${kind}","relabelings":[{"targetLabel":"a"}],"metricRelabelings":[{"targetLabel":"b"}]}`,
    ]);
    const { podMetricsEndpoints, endpoints } = monitor.spec as unknown as Record<string, unknown[]>;
    expect(podMetricsEndpoints ?? endpoints).toEqual([
      {
        port: 'metrics',
        interval: '30s',
        relabelings: [{ targetLabel: 'a' }],
        metricRelabelings: [{ targetLabel: 'b' }],
      },
    ]);
  });

  it('more objects, in which templates are filled in', () => {
    const text = renderText([
      'extraObjects=[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"{{ .Release.Name }}-one"}},"kind: Lease\\nmetadata: { name: two }"]',
    ]);
    const names = objects(text).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(names).toEqual(expect.arrayContaining(['Secret libc-dns-webhook-one', 'Lease two']));
  });
});

describe.runIf(hasHelm())('helm template, without a cluster', () => {
  const tests = (more: readonly string[]): string[] =>
    objects(renderText([], more)).flatMap(({ kind, metadata }) => (metadata.name.endsWith('-test') ? [kind] : []));

  it('leaves nothing of the test behind in what kubectl applies', () => {
    expect(tests([])).toEqual([]);
    expect(tests(IN_CLUSTER).toSorted()).toEqual(['Pod', 'Role', 'RoleBinding', 'ServiceAccount']);
    expect(tests([...IN_CLUSTER, '--skip-tests'])).toEqual([]);
  });
});

describe('Chart.yaml', () => {
  const chart = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8')) as {
    readonly version: string;
    readonly icon: string;
    readonly annotations: Readonly<Record<string, string>>;
  };
  it('says to Artifact Hub which images and definitions it brings', () => {
    expect(parse(chart.annotations['artifacthub.io/images'] ?? '')).toEqual([
      expect.objectContaining({ image: `ghcr.io/libc-dns/libc-dns-webhook:${chart.version}` }),
      expect.objectContaining({ image: parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')).nodeLocalDns.image }),
    ]);
    const definitions = ['imagelibcs', 'podresolvers'].map((name) => {
      const { metadata, spec } = parse(readFileSync(join(CHART, `files/${name}.yaml`), 'utf8')) as {
        readonly metadata: { readonly name: string };
        readonly spec: { readonly names: { readonly kind: string }; readonly versions: readonly { name: string }[] };
      };
      return { name: metadata.name, kind: spec.names.kind, version: spec.versions[0]?.name };
    });
    expect(parse(chart.annotations['artifacthub.io/crds'] ?? '')).toMatchObject(definitions);
  });

  it('has an icon that is there', () => {
    expect(existsSync(join(ROOT, chart.icon.split('/main/')[1] ?? 'nowhere'))).toBe(true);
  });
});
