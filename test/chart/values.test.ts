import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

import { createNodeLocalReader, readDaemonSet } from '../../src/cluster/node-local.ts';
import { cli } from '../support/cli.ts';
import { CI_VALUES } from './golden.ts';
import { CHART, hasHelm, helm, IN_CLUSTER, NAMESPACE, notes, renderText } from './helm.ts';
import { type Manifest, objects } from './rendered.ts';

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

describe.runIf(hasHelm())('certificates of cert-manager', () => {
  it("are in other Secrets than the replicas' own CA: either source can follow the other", () => {
    const text = (values: string[]): string =>
      objects(renderText(values)).find(({ data }) => data?.['config.yaml'] !== undefined)?.data?.['config.yaml'] ?? '';
    const own = (parse(text(['fullnameOverride="dns"'])) as { tls: { secret: string } }).tls.secret;
    const rendered = objects(renderText(['fullnameOverride="dns"', 'certificates.source="cert-manager"']));
    const secrets = rendered
      .filter(({ kind }) => kind === 'Certificate')
      .map((one) => (one as unknown as { spec: { secretName: string } }).spec.secretName);
    expect(own).toBe('dns-ca');
    expect(secrets).toEqual(['dns-cert-manager-ca', 'dns-tls']);
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
    [
      'a registry as an address',
      ['image.registry="https://ghcr.io"'],
      /image\.registry is "https:\/\/ghcr\.io": give the host/,
    ],
    [
      'a mirror with / at its end',
      ['global.imageRegistry="m.example/"'],
      /global\.imageRegistry is "m\.example\/": give the host/,
    ],
    ['a tag that is none', ['image.tag="a b"'], /image\.tag is "a b", which is no tag/],
    [
      'the same in two units',
      ['webhook.timeoutSeconds=1', 'config.detection.budget="1s500ms"'],
      /timeoutSeconds is 1, and .* 1s500ms/,
    ],
    [
      'a policy of the API server without what finds images out',
      ['admissionPolicy.enabled=true', 'config.warmUp.enabled=false'],
      /admissionPolicy\.enabled: it applies what warm-up finds out/,
    ],
    [
      'the server to decide about it',
      ['config.admissionPolicy.enabled=true'],
      /admissionPolicy.*not allowed|'admissionPolicy'/s,
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

describe.runIf(hasHelm())('the policy of the API server', () => {
  const kinds = (values: readonly string[]): readonly string[] => objects(renderText(values)).map(({ kind }) => kind);

  it('takes the place of the webhook, or stands beside it', () => {
    const [none, alone, both] = [
      [],
      ['admissionPolicy.enabled=true'],
      ['admissionPolicy={"enabled":true,"webhook":true}'],
    ].map(kinds);
    expect(none).not.toContain('MutatingAdmissionPolicy');
    expect(alone).toContain('MutatingAdmissionPolicy');
    expect(alone).not.toContain('MutatingWebhookConfiguration');
    expect(both).toEqual(expect.arrayContaining(['MutatingAdmissionPolicy', 'MutatingWebhookConfiguration']));
  });

  it('says where its configuration is, and carries the label by which `libc-dns audit` finds it', () => {
    const policy = objects(renderText(['admissionPolicy.enabled=true'])).find(
      ({ kind }) => kind === 'MutatingAdmissionPolicy',
    );
    expect(policy?.metadata).toMatchObject({
      annotations: { 'libc-dns.dev/namespace': NAMESPACE },
      labels: { 'app.kubernetes.io/name': 'libc-dns-webhook' },
    });
  });

  it('has notes that say how to stop what is there, and a test only where the webhook is asked', () => {
    const [webhook, alone] = [notes([]), notes(['admissionPolicy.enabled=true'])];
    expect(webhook).toContain('kubectl delete mutatingwebhookconfiguration libc-dns-webhook');
    expect(webhook).not.toContain('mutatingadmissionpolicybinding');
    expect(alone).toContain('kubectl delete mutatingadmissionpolicybinding libc-dns-webhook.libc-dns.dev');
    expect(alone).not.toMatch(/mutatingwebhookconfiguration|helm .* test/);
    const rendered = objects(renderText(['admissionPolicy.enabled=true'], IN_CLUSTER));
    expect(rendered.filter(({ metadata }) => metadata.name.endsWith('-test'))).toEqual([]);
  });

  it.each(['opt-in', 'cluster'])('quotes what YAML 1.1, which Helm reads, takes for a boolean, scope %s', (scope) => {
    const values = ['admissionPolicy.enabled=true', `config.scope="${scope}"`, 'config.mode="audit"'];
    const text = renderText(values, ['-s', 'templates/admission-policy.yaml']);
    const asHelm = parseAllDocuments(text, { version: '1.1' }).map((document): unknown => document.toJS());
    expect(asHelm.filter((one) => one !== null)).toEqual(objects(text));
    expect(text).toContain('"off"');
  });

  it('is refused where the API server has none', () => {
    const flags = ['--kube-version', '1.35.9', '--set', 'admissionPolicy.enabled=true'];
    expect(() => helm(['template', 'x', CHART, ...flags])).toThrow(
      /stable from Kubernetes 1\.36 on, and this is v1\.35\.9/,
    );
  });
});
