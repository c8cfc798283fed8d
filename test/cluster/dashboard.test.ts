import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { Agent } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasHelm, renderText } from '../chart/helm.ts';
import { objects } from '../chart/rendered.ts';
import { hasTool } from '../chart/tools.ts';
import { images, prepare } from '../support/admission-policy.ts';
import { hasCluster, ownName, startCluster, type TestCluster } from '../support/cluster.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { install, NAMESPACE, type Installation } from '../support/installation.ts';
import { layer } from '../support/layer-builder.ts';
import { createPod } from '../support/pods.ts';
import { installPodResolvers } from '../support/pod-resolvers.ts';
import { facts, policy } from '../support/policy.ts';
import { startPrometheus, type Prometheus, type ScrapeJob } from '../support/prometheus.ts';
import { podReview } from '../support/reviews.ts';
import { startRegistry, type Fault, type RegistryServer } from '../support/registry-server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import type { WebhookProcess } from '../support/webhook-process.ts';

const FILES = new URL('../../charts/libc-dns-webhook/files/', import.meta.url);
const dashboard = JSON.parse(readFileSync(new URL('dashboard.json', FILES), 'utf8')) as {
  panels: { title: string; targets: { expr: string }[] }[];
};

const queries = dashboard.panels.flatMap(({ title, targets }) =>
  targets.map(({ expr }): [string, string] => [
    title,
    expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(cluster|namespace)/g, '.*'),
  ]),
);

/** What node-exporter 1.5 shows, word for word; its collector `conntrack` reads /proc/net/stat/nf_conntrack. */
const NODE_EXPORTER = `# HELP node_nf_conntrack_stat_drop Number of packets dropped due to conntrack failure.
# TYPE node_nf_conntrack_stat_drop gauge
node_nf_conntrack_stat_drop 12
`;

/** Of Prometheus, as the chart's PodMonitor makes them, and of the API server, as kube-prometheus does. */
function jobs({ server }: TestCluster, { probes }: WebhookProcess, token: string, node: string): ScrapeJob[] {
  return [
    { job_name: 'node-exporter', static_configs: [{ targets: [node] }] },
    { job_name: 'libc-dns-webhook', static_configs: [{ targets: [new URL(probes).host] }] },
    {
      job_name: 'apiserver',
      scheme: 'https',
      tls_config: { insecure_skip_verify: true },
      authorization: { credentials: token },
      static_configs: [{ targets: [new URL(server).host] }],
    },
  ];
}

const SHOP = ownName('shop');
/** Its Pods are patched by the API server's policy, which is for no other. */
const BY_POLICY = ownName('by-policy');

describe.runIf(hasCluster() && hasHelm() && hasTool('prometheus', 'apt-get install prometheus'))(
  'the dashboard, by Prometheus, of a server that has seen traffic and trouble',
  () => {
    let cluster: TestCluster;
    let installation: Installation;
    let registry: RegistryServer;
    let proxy: TcpProxy;
    let prometheus: Prometheus;
    let node: Server;
    let fault: Fault | undefined;
    let going: Promise<unknown> | undefined;
    let isOver = false;

    async function tokenOf(): Promise<string> {
      const subjects = [{ kind: 'ServiceAccount', name: 'default', namespace: NAMESPACE }];
      const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' };
      const kind = 'ClusterRoleBinding';
      const metadata = { name: 'prometheus' };
      await cluster.apply({ apiVersion: 'rbac.authorization.k8s.io/v1', kind, metadata, roleRef, subjects });
      return (await cluster.kubectl(['create', 'token', 'default', '-n', NAMESPACE])).trim();
    }

    const agent = new Agent({ rejectUnauthorized: false });

    /** A Pod through the API server, one of an image that nobody has seen past it, and a request that is none. */
    async function traffic(replica: WebhookProcess, turn: number): Promise<void> {
      const program = Buffer.concat([elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }), Buffer.from(`${turn}`)]);
      const layers = [layer([{ path: 'app', content: program }], 'gzip')];
      const reference = registry.put(`team/app-${turn}:v1`, image({ layers, config: { entrypoint: ['/app'] } }));
      fault = turn % 3 === 2 ? { kind: 'hang' } : undefined;
      const containers = [{ name: 'main', image: reference }];
      const review = podReview({ metadata: { namespace: SHOP }, spec: { containers }, request: { namespace: SHOP } });
      await replica.post(JSON.stringify(review), { agent });
      await replica.post('no review', { agent });
      await createPod(cluster, SHOP, { name: `pod-${turn}` });
      await createPod(cluster, BY_POLICY, { name: `pod-${turn}`, annotations: {} });
      if (turn % 5 === 4) proxy.cut();
    }

    beforeAll(async () => {
      cluster = await startCluster();
      registry = await startRegistry({ fault: () => fault });
      proxy = await startTcpProxy(cluster.server);
      const settings = {
        DETECTION_REGISTRY_INSECURE: registry.host,
        DETECTION_BUDGET: '300ms',
        NODE_LOCAL_MODE: 'on',
        ADMISSION_POLICY_ENABLED: 'true',
      };
      installation = await install(cluster, { replicas: 0, settings });
      const replica = await installation.addReplica({ server: proxy.url });
      await cluster.createNamespace(SHOP, { 'libc-dns.dev/mode': 'enforce' });
      await installPodResolvers(cluster);
      const selector = `webhook.namespaceSelector={"matchLabels":{"only":"${BY_POLICY}"}}`;
      const values = ['admissionPolicy.enabled=true', selector];
      await cluster.apply(...objects(renderText(values, ['-s', 'templates/admission-policy.yaml'])));
      const labels = { 'libc-dns.dev/mode': 'enforce', only: BY_POLICY };
      await prepare(cluster, { name: BY_POLICY, labels }, { cluster: facts, config: policy() }, images);
      node = createServer((_, response) => void response.setHeader('content-type', 'text/plain').end(NODE_EXPORTER));
      await new Promise<void>((resolve) => void node.listen(0, '127.0.0.1', resolve));
      const { port } = node.address() as AddressInfo;
      prometheus = await startPrometheus(
        jobs(cluster, replica, await tokenOf(), `127.0.0.1:${port}`),
        fileURLToPath(new URL('rules.yaml', FILES)),
      );
      // The API server finds nobody: it lets Pods pass, and counts them.
      await installation.balancer.close();
      let turn = 0;
      const next = (): void => {
        turn += 1;
        going = traffic(replica, turn).then(() => (isOver ? undefined : setTimeout(next, 200)));
      };
      next();
    });
    afterAll(async () => {
      isOver = true;
      await going;
      agent.destroy();
      await prometheus?.stop();
      node?.close();
      await installation?.stop();
      await proxy?.close();
      await registry?.close();
      await cluster?.stop();
    });

    it.each(queries)('%s: %s', { timeout: 60_000 }, async (_, expression) => {
      const numbers = async (): Promise<number[]> =>
        (await prometheus.query(expression)).map(({ value: [, value] }) => Number(value)).filter(Number.isFinite);
      await expect.poll(async () => (await numbers()).length, { timeout: 40_000, interval: 500 }).toBeGreaterThan(0);
    });

    it('and its rules are evaluated without an error', async () => {
      const evaluated = async (): Promise<string[]> =>
        (await prometheus.rules()).map(({ name, health, lastError }) => `${name} ${health} ${lastError ?? ''}`.trim());
      await expect
        .poll(async () => (await evaluated()).every((rule) => rule.endsWith(' ok')), { timeout: 20_000 })
        .toBe(true);
      expect((await evaluated()).length).toBeGreaterThan(8);
    });
  },
);
