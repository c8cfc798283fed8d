import { randomUUID } from 'node:crypto';

import { NAME, NAMESPACE } from '../../support/installation.ts';
import { answerOf, podReview } from '../../support/reviews.ts';
import { dockerConfigSecret } from '../../support/secrets-api.ts';
import type { Fault } from '../fault.ts';
import { keep } from '../fault.ts';
import { HEAP } from '../support/connections.ts';
import { metric } from '../support/measure.ts';
import { besideAttack, streetOf } from '../support/neighbour.ts';
import { openRegistry, type Cluster } from '../support/world.ts';

/** What a neighbour gets for reviews that no API server has sent. */

const LOGIN = { username: 'victim', password: 'correct horse' };
const KINDS = ['StatefulSet', 'ReplicaSet', 'DaemonSet'];

/** Gives the webhook the rights that pull secrets and Events need, and the namespace `victim` a login and a workload. */
async function prepare({ cluster }: Cluster, host: string): Promise<void> {
  for (const name of ['victim', 'quiet']) await cluster.createNamespace(name, { 'libc-dns.dev/mode': 'enforce' });
  const rbac = 'rbac.authorization.k8s.io';
  const metadata = { name: 'logins-and-events' };
  const selector = { matchLabels: { app: 'web' } };
  const template = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'main', image: 'x' }] } };
  await cluster.apply(
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata,
      rules: [
        { apiGroups: [''], resources: ['secrets', 'serviceaccounts'], verbs: ['get'] },
        { apiGroups: [''], resources: ['events'], verbs: ['create'] },
        { apiGroups: ['apps'], resources: ['replicasets', 'statefulsets', 'daemonsets'], verbs: ['get'] },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata,
      subjects: [{ kind: 'ServiceAccount', name: NAME, namespace: NAMESPACE }],
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: metadata.name },
    },
    {
      apiVersion: 'v1',
      ...dockerConfigSecret({ auths: { [host]: LOGIN } }),
      metadata: { name: 'login', namespace: 'victim' },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'web', namespace: 'victim' },
      spec: { selector, template },
    },
  );
}

/** A review of a Pod in `victim` that names its login and its workload. */
function forged(image: string, turn: number): string {
  const kind = KINDS[turn % KINDS.length];
  const owner = { apiVersion: 'apps/v1', kind, name: 'web', uid: randomUUID(), controller: true };
  return JSON.stringify(
    podReview({
      metadata: { namespace: 'victim', ownerReferences: [owner] },
      spec: { containers: [{ name: 'main', image }], imagePullSecrets: [{ name: 'login' }] },
      request: { namespace: 'victim' },
    }),
  );
}

const unverified: Fault = {
  id: 'unverified-callers',
  name: '20 reviews a second, posted directly, of Pods of a namespace with a login and a workload; pull secrets and Events on',
  promise: `the login is not used, no Event is written, and the answers tell a closed port, a name that is not known and a refused login apart in nothing; meanwhile 64 new images of another namespace are known, each within the budget of 1.5 s; a known Pod is answered within 50 ms, /livez within 1 s`,
  alsoIn: 'test/cluster/callers.test.ts',
  async run(world) {
    const opened = await world.cluster();
    const { cluster } = opened;
    const registry = await openRegistry();
    world.afterwards(() => registry.close());
    const refused = { kind: 'answer', status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } } as const;
    registry.failAt(({ path, headers }) =>
      path.includes('/private/') && headers.authorization === undefined ? refused : undefined,
    );
    await prepare(opened, registry.host);
    const webhook = await world.webhook({
      environment: HEAP,
      settings: {
        DETECTION_REGISTRY_INSECURE: registry.host,
        DETECTION_REGISTRY_PULL_SECRETS: 'true',
        SERVER_EVENTS: 'true',
      },
      flags: ['--kubeconfig', await cluster.kubeconfigOf(NAMESPACE, NAME)],
    });
    const street = streetOf(webhook, registry);
    const messages = new Set<string>();
    const beside = await besideAttack(street, {
      async everySecond(second) {
        const images = [
          registry.newImage(`private/app-${second}`),
          `127.0.0.2:1/app-${second}:1`,
          `unknown-${second}.invalid/app:1`,
          `${registry.host}/missing-${second}:1`,
        ];
        const reviews = Array.from({ length: 20 }, (_, turn) => forged(images[turn % images.length] ?? '', turn));
        const answers = await Promise.all(reviews.map((review) => webhook.post(review)));
        for (const answer of answers) messages.add(answerOf(answer).audit.message);
      },
    });
    const sent = registry.requests.filter(({ headers }) => headers.authorization !== undefined).length;
    const events = await cluster.kubectl(['-n', 'victim', 'get', 'events', '-o', 'name']);
    const written = events.split('\n').filter(Boolean).length;
    const refusedEvents = await metric(webhook, 'libc_dns_event_writes_total{result="unproven"}');
    const seen = `the login sent ${sent} times, ${written} Events, ${refusedEvents} not written; ${messages.size} kind of answer; ${beside}`;
    keep(sent === 0 && written === 0 && refusedEvents > 0 && messages.size === 1, seen);
    return seen;
  },
};

export const callerFaults: readonly Fault[] = [unverified];
