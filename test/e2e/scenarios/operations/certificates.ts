import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';

import type { Cluster } from '../../cluster/cluster.ts';
import { until } from '../../cluster/daemons.ts';
import { certificatesOf } from '../../cluster/place.ts';
import { change } from '../../meanwhile.ts';
import { ANSWER_MS, replicasOf } from '../../replicas.ts';
import { NAMESPACE, RELEASE, upgrade } from '../../installation.ts';

/** Short enough for a test: a CA takes over, certificates are made anew, and the old CA is forgotten. */
const LIFETIMES = ['--set', 'config.tls.overlap=5s', '--set', 'config.tls.certLifetime=20s'] as const;

const SECRET = `${RELEASE}-ca`;

async function caSecret(cluster: Cluster): Promise<Readonly<Record<string, string>>> {
  const { data } = await cluster.get<{ data: Record<string, string> }>('-n', NAMESPACE, 'secret', SECRET);
  return data;
}

const PREPARED = change(
  'ca',
  'the self-managed CA is replaced: new CA, new certificates, old CA forgotten',
  async (cluster) => {
    const before = (await caSecret(cluster))['current.crt'];
    await cluster.kubectl('-n', NAMESPACE, 'annotate', 'secret', SECRET, 'libc-dns.dev/rotate=now', '--overwrite');
    await until(
      'another CA, and none before it',
      async () => {
        const { 'current.crt': current, 'previous.crt': previous } = await caSecret(cluster);
        return current !== before && previous === undefined ? true : undefined;
      },
      120_000,
    );
  },
);

/** Returns the serial number of the certificate that a replica serves. Pods can be reached from outside of the nodes. */
function served(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: 10250, rejectUnauthorized: false, timeout: ANSWER_MS }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.once('timeout', () => socket.destroy(new Error(`${host} does not answer`))).once('error', reject);
  });
}

export async function allServed(cluster: Cluster): Promise<ReadonlySet<string>> {
  const replicas = await replicasOf(cluster);
  return new Set(await Promise.all(replicas.map(({ status }) => served(status.podIP ?? ''))));
}

/** A Secret as cert-manager writes it: the leaf, its key, and the CA. */
function leafSecret(cluster: Cluster, number: 1 | 2): object {
  const file = (name: string): string => readFileSync(join(certificatesOf(cluster.order.folder), name), 'base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name: 'webhook-certificate', namespace: NAMESPACE },
    data: {
      'tls.crt': file(`webhook-${number}.crt`),
      'tls.key': file(`webhook-${number}.key`),
      'ca.crt': file('ca.crt'),
    },
  };
}

const RENEWED = change('secret', "a mounted certificate is renewed, in a Secret as cert-manager's", async (cluster) => {
  const [before] = await allServed(cluster);
  await cluster.apply(leafSecret(cluster, 2));
  // The kubelet brings it into the Pods within a minute or so.
  await until(
    'the new certificate from every replica',
    async () => {
      const now = await allServed(cluster);
      return now.size === 1 && !now.has(before ?? '') ? true : undefined;
    },
    150_000,
  );
});

export const certificates = [
  {
    ...PREPARED,
    async run(cluster: Cluster) {
      await upgrade(cluster, ...LIFETIMES);
      const seen = await PREPARED.run(cluster);
      await upgrade(cluster, '--reset-values');
      return seen;
    },
  },
  {
    ...RENEWED,
    async run(cluster: Cluster) {
      await cluster.apply(leafSecret(cluster, 1));
      const ca = join(certificatesOf(cluster.order.folder), 'ca.crt');
      // The replicas have written the caBundle until now.
      const source = [
        '--force-conflicts',
        '--set',
        'certificates.source=secret,certificates.secretName=webhook-certificate',
      ];
      await upgrade(cluster, ...source, '--set-file', `certificates.caBundle=${ca}`);
      const seen = await RENEWED.run(cluster);
      await upgrade(cluster, '--reset-values');
      return seen;
    },
  },
];
