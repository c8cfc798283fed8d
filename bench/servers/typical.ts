import {
  CustomObjectsApi,
  CoreV1Api,
  KubeConfig,
  makeInformer,
  type KubernetesListObject,
} from '@kubernetes/client-node';
import type { KubernetesObject } from '@kubernetes/client-node';
import { readFileSync } from 'node:fs';
import Fastify from 'fastify';

/**
 * A webhook as commonly written in TypeScript: fastify, and client-node informers for the namespaces and ImageLibcs that ours
 * watches too. It allows all Pods. Arguments: certificate file, key file, port, kubeconfig. Listens once the informers have
 * started; ends at SIGTERM.
 */
const [certFile = '', keyFile = '', port = '0', kubeconfig = ''] = process.argv.slice(2);

const config = new KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(CoreV1Api);
const custom = config.makeApiClient(CustomObjectsApi);
const libcs = { group: 'libc-dns.dev', version: 'v1alpha1', plural: 'imagelibcs' };
const informers = [
  makeInformer(config, '/api/v1/namespaces', () => core.listNamespace()),
  makeInformer(
    config,
    `/apis/${libcs.group}/${libcs.version}/${libcs.plural}`,
    async () => (await custom.listClusterCustomObject(libcs)) as KubernetesListObject<KubernetesObject>,
  ),
];

const app = Fastify({ https: { cert: readFileSync(certFile), key: readFileSync(keyFile) } });
app.post('/mutate', (request, reply) => {
  const {
    apiVersion,
    kind,
    request: review,
  } = request.body as Record<string, unknown> & {
    request: { uid: string; namespace: string };
  };
  const namespace = informers[0]?.get(review.namespace);
  const warnings = namespace === undefined ? ['no such namespace'] : [];
  return reply.send({ apiVersion, kind, response: { uid: review.uid, allowed: true, warnings } });
});
process.once('SIGTERM', () => process.exit(0));
await Promise.all(informers.map((informer) => informer.start()));
await app.listen({ host: '127.0.0.1', port: Number(port) });
