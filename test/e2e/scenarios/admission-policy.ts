import { setTimeout as sleep } from 'node:timers/promises';

import { webhookCounts } from '../../support/api-metrics.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { until } from '../cluster/daemons.ts';
import { flood, floodText } from '../flood.ts';
import { RATE, rollout } from '../meanwhile.ts';
import { expectThat, type Scenario } from '../scenario.ts';
import { NAMESPACE, ours, POLICIES, RELEASE, upgrade } from '../installation.ts';

const SHOP = 'by-policy';

const image = (name: string): string => `registry.e2e.test/apps/${name}:1`;

/** Images by Deployment, and the reason that their Pods get. Without a node-local cache musl sends again. */
const APPS: Readonly<Record<string, { readonly images: readonly string[]; readonly reason: string | undefined }>> = {
  glibc: { images: ['glibc'], reason: 'OptionsAdded' },
  musl: { images: ['musl'], reason: 'MuslRetried' },
  go: { images: ['go'], reason: undefined },
  mixed: { images: ['glibc', 'musl'], reason: 'MixedRetried' },
};

const deployment = (app: string, images: readonly string[]): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: app, namespace: SHOP },
  spec: {
    selector: { matchLabels: { app } },
    template: {
      metadata: { labels: { app } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: images.map((name) => ({ name, image: image(name) })),
      },
    },
  },
});

const namespace = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: SHOP, labels: { 'libc-dns.dev/mode': 'enforce' } },
};

interface Pod {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>>; readonly deletionTimestamp?: string };
}

/** Returns the reasons on the Pods of a Deployment that are not being deleted; undefined for one without a decision. */
async function reasonsOf(cluster: Cluster, app: string): Promise<readonly (string | undefined)[]> {
  const { items } = await cluster.get<{ items: readonly Pod[] }>('-n', SHOP, 'pods', '-l', `app=${app}`);
  return items
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata }) => {
      const { reason } = JSON.parse(metadata.annotations?.['libc-dns.dev/decision'] ?? '{}') as { reason?: string };
      return reason;
    });
}

/** Creates the Pods of all Deployments anew, and says what they got. */
async function recreate(cluster: Cluster, when: string): Promise<string> {
  await cluster.kubectl('-n', SHOP, 'delete', 'pods', '--all', '--force', '--grace-period=0');
  const seen: string[] = [];
  for (const [app, { reason }] of Object.entries(APPS)) {
    await cluster.kubectl('-n', SHOP, 'rollout', 'status', `deployment/${app}`, '--timeout=60s');
    const reasons = await reasonsOf(cluster, app);
    expectThat(reasons.length > 0 && reasons.every((one) => one === reason), `${when}, ${app}: ${reasons.join()}`);
    await cluster.kubectl('-n', SHOP, 'exec', `deployment/${app}`, '--', '/probe', 'lookup', 'kubernetes.default');
    seen.push(`${app} ${reason ?? 'none'}`);
  }
  return seen.join(', ');
}

/** Returns how often the API server has called our webhook. */
const calls = async (cluster: Cluster): Promise<number> =>
  (await webhookCounts({ kubectl: (args) => cluster.kubectl(...args) })).calls;

/** The webhook is called for a Pod whose image the policy does not know, and for no other. */
async function besideWebhook(cluster: Cluster): Promise<void> {
  const run = async (name: string, of: string): Promise<string> => {
    await cluster.kubectl('-n', SHOP, 'run', name, `--image=${image(of)}`, `--labels=app=${name}`);
    return (await reasonsOf(cluster, name)).join();
  };
  const before = await calls(cluster);
  const known = await run('known', 'musl');
  expectThat(known === 'MuslRetried' && (await calls(cluster)) === before, `a known image: ${known}`);
  // The first Pods may come before the look-up has ended.
  const unknown: string[] = [];
  while (unknown.at(-1) !== 'MuslRetried') {
    unknown.push(await run(`unknown-${unknown.length}`, 'static-musl'));
    const more = (await calls(cluster)) - before;
    const seen = `an image that no workload runs: ${unknown.join(', ')}, ${more} calls`;
    expectThat(more === unknown.length && unknown.length < 10, seen);
    await sleep(1000);
  }
}

/** Waits until the images of all Deployments are in the namespace's PodResolvers. */
async function untilKnown(cluster: Cluster): Promise<void> {
  await until('the images of the workloads in the PodResolvers', async () => {
    const text = await cluster.kubectl('-n', SHOP, 'get', 'podresolvers', '-o', 'json').catch(() => '');
    const nameOf = (one: string): string => image(one).slice(image(one).lastIndexOf('/') + 1);
    return ['glibc', 'musl', 'go'].every((name) => text.includes(` ${nameOf(name)} `)) || undefined;
  });
}

/** The policy of the API server in the place of the webhook. */
export const admissionPolicy: Scenario = {
  id: 'admission-policy',
  name: 'admissionPolicy.enabled: the API server applies what is known, with no webhook and with no replica',
  async run(cluster) {
    await cluster.kubectl('delete', 'namespace', SHOP, '--ignore-not-found', '--timeout=60s');
    await cluster.apply(namespace, ...Object.entries(APPS).map(([app, { images }]) => deployment(app, images)));
    await upgrade(cluster, '--set', 'admissionPolicy.enabled=true');
    const webhooks = await ours(cluster, 'mutatingwebhookconfigurations');
    expectThat(webhooks === '', `still registered: ${webhooks}`);
    const began = performance.now();
    await untilKnown(cluster);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    // The API server's own copy of the object.
    await sleep(2000);
    const seen = await recreate(cluster, 'with replicas');
    await cluster.kubectl('-n', NAMESPACE, 'scale', `deployment/${RELEASE}`, '--replicas=0');
    await cluster.kubectl(...rollout);
    await recreate(cluster, 'without replicas');
    await upgrade(cluster, '--set', 'admissionPolicy.webhook=true', '--set', 'admissionPolicy.enabled=true');
    await besideWebhook(cluster);
    await cluster.kubectl('delete', 'namespace', SHOP, '--wait=false');
    await upgrade(cluster, '--set', 'admissionPolicy.enabled=false');
    const left = await ours(cluster, ...POLICIES, 'customresourcedefinitions');
    expectThat(
      left.split(',').every((one) => one.includes('imagelibcs')),
      `left: ${left}`,
    );
    return `known ${seconds} s after the upgrade; ${seen}; the same while no replica runs; with the webhook beside it, that one is called for unknown images alone; turned off, no policy is left`;
  },
};

const BOTH = ['--set', 'admissionPolicy.enabled=true', '--set', 'admissionPolicy.webhook=true'];

/** The commands of docs/policy.md, "From one to the other, and back". */
async function thereAndBack(cluster: Cluster): Promise<void> {
  await upgrade(cluster, ...BOTH);
  await untilKnown(cluster);
  await upgrade(cluster, '--set', 'admissionPolicy.enabled=true');
  const webhooks = await ours(cluster, 'mutatingwebhookconfigurations');
  expectThat(webhooks === '', `still registered: ${webhooks}`);
  await upgrade(cluster, ...BOTH);
  await upgrade(cluster, '--set', 'admissionPolicy.enabled=false');
  const policies = await ours(cluster, ...POLICIES);
  expectThat(policies === '', `still there: ${policies}`);
}

/** No Pod of a workload's image may be created unpatched while one takes the place of the other. */
export const policySwitch: Scenario = {
  id: 'policy-switch',
  name: `from the webhook to the policy of the API server, and back, by way of both, at ${RATE} Pods a second`,
  async run(cluster) {
    await cluster.kubectl('delete', 'namespace', SHOP, '--ignore-not-found', '--timeout=60s');
    await cluster.apply(namespace, deployment('glibc', ['glibc']), deployment('others', ['musl', 'go']));
    await upgrade(cluster, '--set', 'admissionPolicy.enabled=false');
    await until('a Pod that the webhook patches', async () => {
      const flags = ['--image', image('glibc'), '--dry-run=server', '-o', 'json'];
      const pod = await cluster.kubectl('-n', SHOP, 'run', 'new', ...flags).catch(() => '');
      return pod.includes('single-request-reopen') || undefined;
    });
    const before = await calls(cluster);
    const running = (async (): Promise<void> => {
      await sleep(2000);
      await thereAndBack(cluster);
      await sleep(2000);
    })();
    const seen = await flood(cluster.order, RATE, running, { namespace: SHOP });
    const called = (await calls(cluster)) - before;
    await cluster.kubectl('delete', 'namespace', SHOP, '--wait=false');
    const text = `${floodText(seen)}; the webhook was called for ${called} of them`;
    expectThat(seen.refused === 0 && seen.unpatched === 0 && called < seen.pods, text);
    return text;
  },
};
