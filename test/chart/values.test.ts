import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

import { createNodeLocalReader, readDaemonSet } from '../../src/cluster/node-local.ts';
import { cli } from '../support/cli.ts';
import { CI_VALUES } from './golden.ts';
import { CHART, hasHelm, helm, IN_CLUSTER, notes, renderText, ROOT } from './helm.ts';

interface Manifest {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
}

const objects = (text: string): Manifest[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);

describe.runIf(hasHelm())('the values files of ci/', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'libc-dns-chart-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each([...CI_VALUES])('%s: lints, and the server takes its configuration', async (name, file) => {
    expect(helm(['lint', '--strict', CHART, '--values', file])).toContain('0 chart(s) failed');
    const rendered = objects(renderText([], ['--values', file]));
    const config = rendered.find(({ kind, data }) => kind === 'ConfigMap' && data?.['config.yaml'] !== undefined);
    const path = join(folder, `${name}.yaml`);
    // Files that the cluster mounts are not here, and have tests of their own.
    const text = config?.data?.['config.yaml']?.replaceAll(/^ *(caFile|dockerConfig): .*\n/gm, '') ?? '';
    writeFileSync(path, text);
    expect(await cli(['config', path])).toMatchObject({ code: 0, err: '' });
  });

  it.each([...CI_VALUES])('%s: names no object twice', (_, file) => {
    const names = objects(renderText([], ['--values', file])).map(
      ({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
    );
    expect(names).toEqual([...new Set(names)]);
  });
});

describe.runIf(hasHelm())('mistakes that are refused before anything is installed', () => {
  it.each([
    ['a misspelt value', ['replica=2'], /replica'? .*not allowed|additional properties 'replica'/i],
    ['a misspelt key of the configuration', ['config.muls={"timeout":5}'], /'muls'/],
    ['a mode there is not', ['config.mode="enforced"'], /mode.*must be one of 'enforce', 'audit'/s],
    [
      'YAML that made off a boolean',
      ['config.nodeLocal.mode=false'],
      /nodeLocal\/mode.*must be one of|mode.*got boolean/s,
    ],
    ['a timeout that breaks musl', ['config.musl.timeout=1'], /timeout.*minimum.*5/s],
    ['a budget without a unit', ['config.detection.budget=1500'], /budget.*got number, want string/s],
    ['the server to decide about TLS', ['config.tls.mode="ephemeral"'], /tls.*'mode'/s],
    ['replicas as text', ['replicas="three"'], /replicas.*got string, want integer/s],
    ['a digest that is a tag', ['image.digest="1.0.0"'], /digest.*does not match pattern/s],
    [
      'a failure policy there is not',
      ['webhook.failurePolicy="ignore"'],
      /failurePolicy.*must be one of 'Ignore', 'Fail'/s,
    ],
    ['another source of certificates', ['certificates.source="vault"'], /certificates\/source.*must be one of/s],
    ['a deadline longer than the API allows', ['webhook.timeoutSeconds=60'], /timeoutSeconds.*maximum.*30/s],
    ['labels that are no text', ['podLabels={"a":true}'], /podLabels.*got boolean, want string/s],
    [
      "the kubelet's port on the node's network",
      ['hostNetwork=true'],
      /port 10250 is the kubelet's.*config\.server\.port/,
    ],
    [
      'metrics on the port of the webhook',
      ['config.server.port=9402'],
      /config\.server\.metricsPort: set another port/,
    ],
    [
      'a budget that the API server does not wait for',
      ['config.detection.budget="1s500ms"', 'webhook.timeoutSeconds=1'],
      /budget: 1s500ms is not below webhook\.timeoutSeconds \(1s\)/,
    ],
    [
      'a node-local cache that intercepts a name',
      ['nodeLocalDns.enabled=true', 'nodeLocalDns.interceptAddress="kube-dns.kube-system"'],
      /interceptAddress.*does not match pattern/s,
    ],
    ['a Secret that is not named', ['certificates.source="secret"'], /set certificates\.secretName/],
    [
      'a CA that another owner would overwrite',
      ['certificates.caBundle="-----BEGIN CERTIFICATE-----"'],
      /is for source secret/,
    ],
    ['a login where everybody reads it', ['proxy.url="http://user:password@proxy:3128"'], /proxy\/url.*pattern/s],
    ['a proxy of another kind', ['proxy.url="socks5://proxy:1080"'], /proxy\/url.*pattern/s],
    ['a list for Go', ['proxy.noProxy="a,b"'], /noProxy.*got string, want array/s],
    [
      'a proxy in two places',
      ['proxy.url="http://a:1"', 'config.detection.registry.proxy="http://b:1"'],
      /config\.detection\.registry\.proxy: set it here or in proxy, not in both/,
    ],
    [
      'ports that leave out that of a proxy nobody can see',
      ['proxy.secret="corp"', 'networkPolicy.egressPorts=[443]'],
      /set proxy\.url too, without a login/,
    ],
    [
      'a node-local cache without a name',
      ['nodeLocalDns.enabled=true', 'config.nodeLocal.daemonSet="kube-system/node-local-dns-*"'],
      /config\.nodeLocal\.daemonSet names what is installed/,
    ],
    [
      'DaemonSets without a namespace',
      ['config.nodeLocal.daemonSet="k8s-app=node-local-dns"'],
      /daemonSet.*does not match pattern/s,
    ],
    ['a CA of callers in two places', ['clientCa={"configMap":"a","secret":"b"}'], /clientCa: set configMap or secret/],
    [
      'names of callers without a CA',
      ['clientCa.names=["kube-apiserver"]'],
      /clientCa\.names: set clientCa\.configMap or/,
    ],
    ['the path of a CA that is not mounted', ['config.tls.clientCaFile="/x"'], /tls.*'clientCaFile'/s],
    ['pull secrets for nobody knows whom', ['config.detection.registry.pullSecrets="yes"'], /pullSecrets/],
    [
      'a deadline that ends before the answer comes',
      ['webhook.timeoutSeconds=2', 'config.detection.budget="2s"'],
      /webhook\.timeoutSeconds is 2, and config\.detection\.budget 2s: make it longer/,
    ],
    ['the same in other units', ['webhook.timeoutSeconds=1'], /timeoutSeconds is 1, and .* 1500ms/],
    [
      'more replicas at least than at most',
      ['autoscaling={"enabled":true,"minReplicas":5,"maxReplicas":4}'],
      /autoscaling\.minReplicas is 5, and maxReplicas 4/,
    ],
    [
      'a probe of two kinds',
      ['livenessProbe.exec={"command":["true"]}'],
      /livenessProbe: a probe asks in one way: set httpGet to null beside exec/,
    ],
    ['flags that are no list', ['extraArgs="--log-level debug"'], /extraArgs.*got string, want array/s],
    ['namespaces by a name', ['webhook.namespaceSelector={"team":"a"}'], /namespaceSelector.*'team'/s],
    ['a CA in two places', ['registryCa={"configMap":"a","secret":"b"}'], /configMap or secret, not both/],
  ])('%s', (_, values, message) => {
    expect(() => renderText(values)).toThrow(message);
  });
});

interface DaemonSet extends Manifest {
  readonly spec: object;
}
interface Environment extends Manifest {
  readonly spec: {
    readonly template: {
      readonly spec: { readonly containers: readonly { readonly env: readonly { name: string; value: string }[] }[] };
    };
  };
}

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
      /image: (\S+)/.exec(helm(['template', 'r', folder, '--kube-version', '1.36.0', ...sets]))?.[1] ?? '';
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

  it('annotations for all objects, which those of an object win over', () => {
    const file = CI_VALUES.get('everything') ?? '';
    const values = ['commonAnnotations={"team":"dns","owner":"all"}', 'service.annotations={"owner":"service"}'];
    const all = objects(renderText(values, ['--values', file, '--skip-tests']));
    expect(all.length).toBeGreaterThan(15);
    // Not the node-local cache, which outlives the release, and not extraObjects, which have what their author gave.
    const ours = all.filter(({ metadata }) => !/^cache|-more$/.test(metadata.name));
    const bare = ours.filter(({ metadata }) => metadata.annotations?.['team'] !== 'dns');
    expect(bare.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([]);
    expect(ours.find(({ kind }) => kind === 'Service')?.metadata.annotations?.['owner']).toBe('service');
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
    const crd = parse(readFileSync(join(CHART, 'files/imagelibcs.yaml'), 'utf8')) as {
      readonly metadata: { readonly name: string };
      readonly spec: { readonly names: { readonly kind: string }; readonly versions: readonly { name: string }[] };
    };
    expect(parse(chart.annotations['artifacthub.io/crds'] ?? '')).toEqual([
      expect.objectContaining({
        name: crd.metadata.name,
        kind: crd.spec.names.kind,
        version: crd.spec.versions[0]?.name,
      }),
    ]);
  });

  it('has an icon that is there', () => {
    expect(existsSync(join(ROOT, chart.icon.split('/main/')[1] ?? 'nowhere'))).toBe(true);
  });
});

describe.runIf(hasHelm())('who may call', () => {
  it('the CA of callers is mounted as a folder, and the server reads it there', () => {
    const rendered = renderText(['clientCa={"secret":"callers","key":"tls-ca.crt","names":["kube-apiserver"]}']);
    const config = objects(rendered).find(({ data }) => data?.['config.yaml'] !== undefined)?.data?.['config.yaml'];
    expect(parse(config ?? '')).toMatchObject({
      tls: {
        mode: 'self-managed',
        clientCaFile: '/run/libc-dns/client-ca/ca.crt',
        clientNames: ['kube-apiserver'],
      },
    });
    const deployment = objects(rendered).find(({ kind }) => kind === 'Deployment');
    expect(JSON.stringify(deployment)).toContain('{"name":"client-ca","mountPath":"/run/libc-dns/client-ca"');
    expect(JSON.stringify(deployment)).toContain(
      '{"name":"client-ca","secret":{"secretName":"callers","items":[{"key":"tls-ca.crt","path":"ca.crt"}]}}',
    );
  });

  const PULL = 'config.detection.registry.pullSecrets';
  it.each([
    ['nothing is said of pull secrets that are off', [], undefined],
    ['nor of those for callers that are known', [`${PULL}=true`, 'clientCa.secret="callers"'], undefined],
    [
      'true: they are not used for Pods',
      [`${PULL}=true`],
      /is true, and no clientCa.*only for workloads that warm-up sees/s,
    ],
    ['true without warm-up: for nothing', [`${PULL}=true`, 'config.warmUp.enabled=false'], /is true.* for nothing,/s],
    [
      'unverified: for anyone, anywhere',
      [`${PULL}="unverified"`],
      /is unverified.*secrets of any namespace\. Set clientCa/s,
    ],
    [
      'unverified: for anyone, in these namespaces',
      [`${PULL}="unverified"`, 'rbac.pullSecretNamespaces=["shop"]'],
      /any namespace of rbac\.pullSecretNamespaces\. Set clientCa/,
    ],
  ])('%s', (_, values, warning) => {
    const text = notes(values);
    if (warning === undefined) expect(text).not.toMatch(/pullSecrets/);
    else expect(text).toMatch(warning);
  });
});

describe.runIf(hasHelm())('what the chart starts', () => {
  it('gives Node an environment that it takes', () => {
    const deployment = objects(renderText()).find(({ kind }) => kind === 'Deployment') as Environment;
    const given = deployment.spec.template.spec.containers[0]?.env ?? [];
    const env = Object.fromEntries(given.map(({ name, value }) => [name, value]));
    expect(Object.keys(env)).toEqual(['UV_THREADPOOL_SIZE', 'NODE_OPTIONS']);
    expect(spawnSync(process.execPath, ['--eval', '0'], { env, encoding: 'utf8' })).toMatchObject({
      status: 0,
      stderr: '',
    });
  });

  it.each([
    ['', 'ready'],
    ['10.96.0.10', 'intercepting'],
  ])('has a node-local cache that discovery understands (intercepting %j: %s)', (interceptAddress, state) => {
    const values = ['nodeLocalDns.enabled=true', `nodeLocalDns.interceptAddress="${interceptAddress}"`];
    const daemonSet = objects(renderText(values)).find(({ kind }) => kind === 'DaemonSet') as DaemonSet;
    const running = { ...daemonSet, status: { desiredNumberScheduled: 3, numberReady: 3 } };
    const found = createNodeLocalReader(1).read([readDaemonSet(running)], ['10.96.0.10']);
    expect(found).toMatchObject({ state, addresses: ['169.254.20.10'] });
  });
});

describe.runIf(hasHelm())('a proxy', () => {
  interface NetworkPolicy extends Manifest {
    readonly spec: { readonly egress: readonly { readonly ports: readonly { readonly port?: number }[] }[] };
  }
  const egress = (values: readonly string[]): (number | undefined)[] => {
    const policy = objects(renderText(values)).find(({ kind }) => kind === 'NetworkPolicy') as NetworkPolicy;
    return policy.spec.egress[1]?.ports.map(({ port }) => port) ?? [];
  };

  it.each([
    ['http://proxy.corp.example:3128', [443, 3128]],
    ['http://proxy.corp.example', [443, 80]],
    ['https://proxy.corp.example/', [443]],
    ['http://[fd00::1]:3128/', [443, 3128]],
    ['http://[fd00::1]', [443, 80]],
    ['', [443]],
  ])('%j can be reached where ports are listed', (url, ports) => {
    expect(egress([`proxy.url="${url}"`, 'networkPolicy.egressPorts=[443]'])).toEqual(ports);
    expect(egress([`proxy.url="${url}"`])).toEqual([undefined]);
  });

  it('with a login comes from a Secret, and stands in no object', () => {
    const text = renderText(['proxy.secret="corp-proxy"', 'proxy.key="https_proxy"']);
    const deployment = objects(text).find(({ kind }) => kind === 'Deployment') as Environment;
    expect(deployment.spec.template.spec.containers[0]?.env).toContainEqual({
      name: 'LIBC_DNS_DETECTION_REGISTRY_PROXY',
      valueFrom: { secretKeyRef: { name: 'corp-proxy', key: 'https_proxy' } },
    });
  });
});

describe.runIf(hasHelm())('rights', () => {
  interface Role extends Manifest {
    readonly rules: readonly { readonly resources: readonly string[]; readonly verbs: readonly string[] }[];
  }
  const granted = (values: readonly string[]): Set<string> =>
    new Set(
      objects(renderText(values, ['--skip-tests']))
        .filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role')
        .flatMap((role) =>
          (role as Role).rules.flatMap(({ resources, verbs }) =>
            resources.flatMap((resource) => verbs.map((verb) => `${role.kind} ${verb} ${resource}`)),
          ),
        ),
    );

  it('leave no room for wildcards, for Pods, or for the Secrets of others', () => {
    const all = [...granted([])];
    expect(all.filter((right) => / \*|\* | pods|escalate|bind|impersonate/.test(right))).toEqual([]);
    expect(all.filter((right) => /ClusterRole .* (secrets|serviceaccounts)/.test(right))).toEqual([]);
  });

  it.each([
    ['pull secrets', 'config.detection.registry.pullSecrets=true', 'ClusterRole get secrets'],
    ['verdicts of the cluster', 'config.detection.cache.store="cluster"', 'ClusterRole patch imagelibcs'],
    [
      'certificates of its own',
      'certificates.source="self-managed"',
      'ClusterRole patch mutatingwebhookconfigurations',
    ],
    ['discovery of the node-local cache', 'config.nodeLocal.mode="auto"', 'Role get daemonsets'],
    ['pull secrets of any caller', 'config.detection.registry.pullSecrets="unverified"', 'ClusterRole get secrets'],
    ['Events', 'config.server.events=true', 'ClusterRole create events'],
    ['owners of Pods that get Events', 'config.server.events=true', 'ClusterRole get statefulsets'],
    ['nodes', 'config.exposure="auto"', 'ClusterRole watch nodes'],
    ["what tells kube-proxy's mode", 'config.exposure="auto"', 'Role list pods'],
  ])('%s: only where it is on', (_, on, right) => {
    const off = [
      'config.detection.cache.store="memory"',
      'certificates.source="cert-manager"',
      'config.nodeLocal.mode="off"',
    ];
    expect(granted(off)).not.toContain(right);
    expect(granted([...off, on])).toContain(right);
  });

  it.each([
    ['kube-system/node-local-dns', 'get', ['node-local-dns']],
    ['kube-system/node-local-dns-*', 'list', undefined],
    ['kube-system/app.kubernetes.io/name=node-local-dns', 'list', undefined],
  ])('over the DaemonSets of %s: %s', (daemonSet, verb, resourceNames) => {
    const roles = objects(renderText([`config.nodeLocal.daemonSet="${daemonSet}"`])).filter(
      ({ kind, metadata }) => kind === 'Role' && metadata.namespace === 'kube-system',
    ) as Role[];
    const rule = roles.flatMap(({ rules }) => rules).find(({ resources }) => resources.includes('daemonsets'));
    expect(rule).toEqual({
      apiGroups: ['apps'],
      resources: ['daemonsets'],
      verbs: [verb],
      ...(resourceNames && { resourceNames }),
    });
  });

  it('over nodes and Pods never go beyond reading', () => {
    const more = [...granted(['config.exposure="auto"'])].filter((right) => !granted([]).has(right));
    expect(more.toSorted()).toEqual([
      'ClusterRole list nodes',
      'ClusterRole watch nodes',
      'Role get configmaps',
      'Role list pods',
    ]);
  });

  it('to read pull secrets end at the namespaces listed', () => {
    const values = ['config.detection.registry.pullSecrets=true', 'rbac.pullSecretNamespaces=["shop"]'];
    const all = granted(values);
    expect(all).not.toContain('ClusterRole get secrets');
    expect(all).toContain('Role get serviceaccounts');
  });
});
