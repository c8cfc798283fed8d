import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { configSchema } from '../../src/config/schema.ts';
import { readMetrics } from '../../src/doctor/view/reader.ts';
import { CALL_STATUS_METRICS, judgeCallers } from '../../src/doctor/webhook/callers.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { clientAuthority, type ClientAuthority, type Pair } from '../support/client-certificates.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { elf } from '../support/elf-builder.ts';
import { type BuiltImage, image } from '../support/image-builder.ts';
import { install, type Installation, type InstallOptions, NAME, NAMESPACE } from '../support/installation.ts';
import { layer } from '../support/layer-builder.ts';
import { createPod } from '../support/pods.ts';
import { type RegistryServer, startRegistry } from '../support/registry-server.ts';
import { answerOf, type Answer } from '../support/reviews.ts';
import { dockerConfigSecret } from '../support/secrets-api.ts';

const LOGIN = { username: ownName('victim'), password: 'correct horse' };
const UID = '00000000-0000-4000-8000-000000000000';

/** The API server of these tests is our own: a running one has its admission configuration already. */
describe.runIf(hasCluster() && process.env['LIBC_DNS_TEST_KUBECONFIG'] === undefined)('who may call', () => {
  let cluster: TestCluster;
  let installation: Installation;
  let registry: RegistryServer;
  let folder: string;
  let ours: ClientAuthority;
  let other: ClientAuthority;
  let privateImage: string;
  let built: BuiltImage;
  const at = (file: string): string => join(folder, file);

  /** Writes what docs/security.md says how to write. */
  function configureApiServer({ cert, key }: Pair): void {
    writeFileSync(at('client.crt'), cert);
    writeFileSync(at('client.key'), key);
    const plugin = {
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'WebhookAdmissionConfiguration',
      kubeConfigFile: at('webhooks'),
    };
    const admission = {
      apiVersion: 'apiserver.config.k8s.io/v1',
      kind: 'AdmissionConfiguration',
      plugins: [{ name: 'MutatingAdmissionWebhook', configuration: plugin }],
    };
    // `*` in the place of the Service: these tests have it on a port that is not known yet.
    const user = { name: '*', user: { 'client-certificate': at('client.crt'), 'client-key': at('client.key') } };
    writeFileSync(at('admission'), JSON.stringify(admission));
    writeFileSync(at('webhooks'), JSON.stringify({ apiVersion: 'v1', kind: 'Config', users: [user] }));
    const policy = {
      apiVersion: 'audit.k8s.io/v1',
      kind: 'Policy',
      omitStages: ['RequestReceived'],
      rules: [{ level: 'Metadata', resources: [{ group: '', resources: ['secrets', 'serviceaccounts', 'events'] }] }],
    };
    writeFileSync(at('policy'), JSON.stringify(policy));
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'libc-dns-callers-'));
    [ours, other] = await Promise.all([clientAuthority(), clientAuthority()]);
    configureApiServer(await ours.sign());
    [cluster, registry] = await Promise.all([
      startCluster({
        'admission-control-config-file': at('admission'),
        'audit-policy-file': at('policy'),
        'audit-log-path': at('audit.log'),
      }),
      startRegistry({ auth: { kind: 'basic', ...LOGIN } }),
    ]);
    const program = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
    built = image({
      layers: [layer([{ path: 'app', content: program }], 'gzip')],
      config: { entrypoint: ['/app'] },
    });
    privateImage = registry.put('victim/app:v1', built);
    await cluster.createNamespace(ownName('victim'), { 'libc-dns.dev/mode': 'enforce' });
    const auths = { [registry.host]: LOGIN };
    const secret = dockerConfigSecret({ auths });
    await cluster.apply({ apiVersion: 'v1', ...secret, metadata: { name: 'login', namespace: ownName('victim') } });
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'default', namespace: ownName('victim') },
      imagePullSecrets: [{ name: 'login' }],
    });
    await cluster.createNamespace(NAMESPACE);
    const rbac = 'rbac.authorization.k8s.io';
    const rules = [
      { apiGroups: [''], resources: ['secrets', 'serviceaccounts'], verbs: ['get'] },
      { apiGroups: [''], resources: ['events'], verbs: ['create'] },
      { apiGroups: ['apps'], resources: ['replicasets', 'statefulsets', 'daemonsets'], verbs: ['get'] },
    ];
    const metadata = { name: 'logins-and-events' };
    await cluster.apply(
      { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata, rules },
      {
        apiVersion: `${rbac}/v1`,
        kind: 'ClusterRoleBinding',
        metadata,
        subjects: [{ kind: 'ServiceAccount', name: NAME, namespace: NAMESPACE }],
        roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: metadata.name },
      },
    );
  });
  afterEach(async () => await installation?.stop());
  afterAll(async () => {
    await registry?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function writeBundle(...authorities: readonly ClientAuthority[]): void {
    writeFileSync(at('next'), authorities.map(({ cert }) => cert).join(''));
    renameSync(at('next'), at('ca.crt'));
  }

  async function start(settings: Record<string, string>, more: InstallOptions = {}): Promise<void> {
    const common = {
      // The first look-up starts the process that reads images.
      DETECTION_BUDGET: '4s',
      DETECTION_REGISTRY_INSECURE: registry.host,
      GLIBC_TCP_PREFLIGHT: 'false',
      WARM_UP_ENABLED: 'false',
    };
    installation = await install(cluster, { ...more, settings: { ...common, ...settings } });
  }

  const verifying = (): Record<string, string> => ({
    TLS_CLIENT_CA_FILE: at('ca.crt'),
    TLS_CLIENT_NAMES: 'kube-apiserver',
    DETECTION_REGISTRY_PULL_SECRETS: 'true',
    SERVER_EVENTS: 'true',
  });

  interface Claimed {
    readonly image?: string;
    readonly owner?: { readonly kind: string; readonly name: string; readonly uid: string };
  }

  /** Sends a review that no API server has sent, of a Pod in the namespace `victim`. */
  async function direct(client: Pair | undefined, { image: of = 'x', owner }: Claimed = {}) {
    const [replica] = installation.replicas;
    if (replica === undefined) throw new Error('no replica');
    const ownerReferences = owner === undefined ? [] : [{ apiVersion: 'apps/v1', controller: true, ...owner }];
    const object = {
      metadata: { name: 'forged', ownerReferences },
      spec: { containers: [{ name: 'main', image: of }], imagePullSecrets: [{ name: 'login' }] },
    };
    const resource = { group: '', version: 'v1', resource: 'pods' };
    const request = { uid: UID, resource, operation: 'CREATE', namespace: ownName('victim'), object };
    const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
    // The serving certificate is for the Service: these calls are not about it.
    const options = { rejectUnauthorized: false, ...(client && { client }) };
    return await replica.post(JSON.stringify(review), { path: '/mutate?timeout=5s', ...options });
  }

  let pods = 0;
  async function decisionOn(imageName: string): Promise<Answer['audit']['decision'] | undefined> {
    pods += 1;
    const spec = { containers: [{ name: 'main', image: imageName }], imagePullSecrets: [{ name: 'login' }] };
    const stored = await createPod(cluster, ownName('victim'), { name: `pod-${pods}`, annotations: {}, spec });
    const text = stored.metadata.annotations?.['libc-dns.dev/decision'];
    return text === undefined ? undefined : (JSON.parse(text) as Answer['audit']['decision']);
  }

  async function failurePolicy(policy: 'Fail' | 'Ignore'): Promise<void> {
    const registration = `mutatingwebhookconfiguration/${NAME}`;
    const count = (await cluster.kubectl(['get', registration, '-o', 'jsonpath={.webhooks[*].name}'])).split(
      ' ',
    ).length;
    const patch = Array.from({ length: count }, (_, index) => ({
      op: 'replace',
      path: `/webhooks/${index}/failurePolicy`,
      value: policy,
    }));
    await cluster.kubectl(['patch', registration, '--type=json', '-p', JSON.stringify(patch)]);
  }

  /** What `doctor --check callers` makes of the API server's own counts. */
  async function refusalsSeen(): Promise<string> {
    const transport = kubeConfigTransport({ files: [cluster.kubeconfig], userAgent: 'libc-dns-test' });
    const apiServer = await readMetrics(transport, '/metrics', CALL_STATUS_METRICS, AbortSignal.timeout(20_000));
    const config = configSchema.parse({ tls: { clientCaFile: at('ca.crt') } });
    return judgeCallers({ config, apiServer, names: ['namespaces.libc-dns.dev'], now: Date.now() }).seen;
  }

  /** What the webhook asked the API server for, of Secrets, service accounts and Events. */
  function read(): string[] {
    interface AuditEvent {
      readonly verb: string;
      readonly user: { readonly username: string };
      readonly objectRef: { readonly resource: string; readonly namespace: string; readonly name?: string };
    }
    return readFileSync(at('audit.log'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as AuditEvent)
      .filter(
        ({ user, objectRef }) =>
          user.username.endsWith(`:${NAMESPACE}:${NAME}`) && objectRef.namespace === ownName('victim'),
      )
      .map(({ verb, objectRef: { resource, name = '' } }) => `${verb} ${resource} ${name}`.trim());
  }

  const newly = (before: number): string[] => read().slice(before);

  const metric = async (line: string): Promise<boolean> =>
    (await (await fetch(`${installation.replicas[0]?.probes}/metrics`)).text()).includes(line);

  const warned = (): string[] =>
    installation.replicas
      .flatMap(({ lines }) => lines)
      .filter(({ level }) => level === 'warn')
      .map(({ msg }) => msg);

  it('with a client CA: the API server is answered and has pull secrets used; nobody else is answered', async () => {
    writeBundle(ours);
    await start(verifying());
    const before = read().length;
    for (const client of [
      undefined,
      await other.sign(),
      await ours.sign({ subject: 'CN=system:node:a' }),
      await ours.sign({ forServers: true }),
    ]) {
      expect(await direct(client, { image: privateImage })).toMatchObject({ status: 403 });
    }
    expect(newly(before)).toEqual([]);
    expect(await decisionOn(privateImage)).toMatchObject({ reason: 'MuslRetried' });
    expect(newly(before)).toEqual(['get secrets login']);
    expect(warned().filter((text) => text.includes('pullSecrets'))).toEqual([]);
  });

  it('another CA takes the place of the first without a restart', async () => {
    writeBundle(ours);
    await start(verifying());
    const [old, next] = await Promise.all([ours.sign(), other.sign()]);
    const statusOf = async (client: Pair): Promise<number> => (await direct(client)).status;
    expect([await statusOf(old), await statusOf(next)]).toEqual([200, 403]);
    writeBundle(ours, other);
    await expect.poll(() => statusOf(next), { timeout: 10_000 }).toBe(200);
    expect(await decisionOn('registry.test/app:1')).toMatchObject({ reason: 'UnknownOptions' });
    writeBundle(other);
    await expect.poll(() => statusOf(old), { timeout: 10_000 }).toBe(403);
    // Now the API server's own certificate counts no more: the Pod passes unpatched (failurePolicy Ignore).
    expect(await decisionOn('registry.test/app:1')).toBeUndefined();
    // Where the failure is not ignored it is seen what an API server's log says of it.
    await failurePolicy('Fail');
    await expect
      .poll(() => decisionOn('registry.test/app:1').then(() => '', String), { timeout: 10_000 })
      .toContain('no CA of tls.clientCaFile signed the client certificate for this use (docs/security.md');
    await failurePolicy('Ignore');
    expect(await refusalsSeen()).toMatch(
      /^\d+ calls of the API server refused since it started, for its client certificate/,
    );
    writeBundle(ours, other);
    await expect
      .poll(() => decisionOn('registry.test/app:1'), { timeout: 10_000 })
      .toMatchObject({ reason: 'UnknownOptions' });
  });

  it('without one, pullSecrets true: a review that names another namespace uses no Secret, and describes no image', async () => {
    await start({ DETECTION_REGISTRY_PULL_SECRETS: 'true' });
    const before = read().length;
    const { audit } = answerOf(await direct(undefined, { image: privateImage }));
    expect(audit).toMatchObject({
      decision: { reason: 'UnknownOptions', resolvers: { main: 'unknown' } },
      message: expect.stringMatching(/ main: the webhook's log says why\.$/) as string,
    });
    expect(await decisionOn(privateImage)).toMatchObject({ reason: 'UnknownOptions' });
    expect(newly(before)).toEqual([]);
    expect(warned()).toContainEqual(
      expect.stringMatching(/^detection\.registry\.pullSecrets true, and callers are not/),
    );
  });

  it('without one, pullSecrets true: warm-up uses them for the workloads that it reads itself', async () => {
    const warmed = registry.put('victim/app:v2', built);
    await start({ DETECTION_REGISTRY_PULL_SECRETS: 'true', WARM_UP_ENABLED: 'true' });
    const before = read().length;
    const selector = { matchLabels: { app: 'warm' } };
    const spec = { containers: [{ name: 'main', image: warmed }], imagePullSecrets: [{ name: 'login' }] };
    const template = { metadata: { labels: { app: 'warm' } }, spec };
    const metadata = { name: 'warm', namespace: ownName('victim') };
    await cluster.apply({ apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: { selector, template } });
    await expect.poll(() => newly(before), { timeout: 15_000 }).toEqual(['get secrets login']);
    await expect.poll(() => decisionOn(warmed), { timeout: 10_000 }).toMatchObject({ resolvers: { main: 'musl' } });
    expect(newly(before)).toEqual(['get secrets login']);
  });

  it('without one, pullSecrets unverified: they are used for any caller, and the log warns of it', async () => {
    await start({ DETECTION_REGISTRY_PULL_SECRETS: 'unverified' });
    const before = read().length;
    const { audit } = answerOf(await direct(undefined, { image: privateImage }));
    expect(audit.decision).toMatchObject({ resolvers: { main: 'musl' } });
    expect(newly(before)).toEqual(['get secrets login']);
    expect(warned()).toContainEqual(expect.stringMatching(/^detection\.registry\.pullSecrets unverified: anyone/));
  });

  it('without one, Events on: written on an owner that is found by name and UID, and on no other', async () => {
    await start({ SERVER_EVENTS: 'true' });
    const selector = { matchLabels: { app: 'web' } };
    const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'main', image: 'x' }] } };
    const meta = { name: 'web', namespace: ownName('victim') };
    await cluster.apply({ apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: meta, spec: { selector, template } });
    const uid = await cluster.kubectl([
      '-n',
      ownName('victim'),
      'get',
      'statefulset',
      'web',
      '-o',
      'jsonpath={.metadata.uid}',
    ]);
    const before = read().length;
    for (const owner of [
      { kind: 'StatefulSet', name: 'web', uid: UID },
      { kind: 'StatefulSet', name: 'gone', uid },
      { kind: 'Deployment', name: 'web', uid },
    ]) {
      expect((await direct(undefined, { owner })).status).toBe(200);
    }
    await expect.poll(() => metric('libc_dns_event_writes_total{result="unproven"} 3')).toBe(true);
    expect(newly(before)).toEqual([]);
    await direct(undefined, { owner: { kind: 'StatefulSet', name: 'web', uid } });
    await expect.poll(() => newly(before)).toEqual([expect.stringMatching(/^create events web\./)]);
  });
});
