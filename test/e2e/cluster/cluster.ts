import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { command, type CommandOptions } from '../../lab/command.ts';
import { startApiServer, startControllers } from './control-plane.ts';
import { createDaemons, type Daemons, inNetwork, until } from './daemons.ts';
import { coreDnsObjects, outsideCorefile } from './dns.ts';
import { makeNetwork } from './network.ts';
import { startNode } from './node.ts';
import { certificatesOf, NODES, type Order, OUTSIDE } from './place.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
export const CHART = join(ROOT, 'charts/libc-dns-webhook');

/** A running cluster, seen by its administrator on the first node. */
export interface Cluster {
  readonly order: Order;
  readonly daemons: Daemons;
  kubectl(...args: readonly string[]): Promise<string>;
  /** Creates or changes objects. */
  apply(...objects: readonly object[]): Promise<void>;
  /** Returns an object, or a List, as kubectl has it in JSON. */
  get<T>(...args: readonly string[]): Promise<T>;
  helm(...args: readonly string[]): Promise<string>;
  /** Runs the product's command line from source. */
  libcDns(args: readonly string[], options?: CommandOptions): Promise<string>;
}

function createCluster(order: Order, daemons: Daemons): Cluster {
  const env = {
    KUBECONFIG: join(certificatesOf(order.folder), 'admin.kubeconfig'),
    HOME: order.folder,
    NODE_EXTRA_CA_CERTS: join(certificatesOf(order.folder), 'ca.crt'),
  };
  const onFirst = async (program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> => {
    daemons.check();
    const [name, words] = inNetwork(NODES[0].name, program, args);
    return await command(name, words, { ...options, env: { ...env, ...options.env } });
  };
  const kubectl = (...args: readonly string[]): Promise<string> => onFirst(join(order.controlPlane, 'kubectl'), args);
  return {
    order,
    daemons,
    kubectl,
    async apply(...items) {
      const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
      await onFirst(join(order.controlPlane, 'kubectl'), ['apply', '-f', '-'], { input });
    },
    async get<T>(...args: readonly string[]) {
      return JSON.parse(await kubectl('get', '-o', 'json', ...args)) as T;
    },
    helm: (...args) => onFirst('helm', args),
    libcDns: (args, options) => onFirst(process.execPath, [join(ROOT, 'src/main.ts'), ...args], options),
  };
}

async function startRegistry({ folder, images }: Order, daemons: Daemons): Promise<void> {
  const certificates = certificatesOf(folder);
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: join(folder, 'registry') } },
    http: {
      addr: `${OUTSIDE}:443`,
      tls: { certificate: join(certificates, 'registry.crt'), key: join(certificates, 'registry.key') },
    },
    log: { level: 'warn', accesslog: { disabled: true } },
  };
  await writeFile(join(folder, 'registry.json'), JSON.stringify(config));
  daemons.start('registry', undefined, 'docker-registry', ['serve', join(folder, 'registry.json')]);
  for (const [image, layout] of Object.entries(images)) {
    const to = `docker://${OUTSIDE}/${image}`;
    const push = ['copy', '--quiet', '--dest-tls-verify=false', '--insecure-policy', `oci:${layout}`, to];
    await until(`pushing ${image}`, () => command('skopeo', push), 20_000);
  }
}

/** Starts everything and waits until both nodes are ready and the cluster DNS runs. */
export async function startCluster(order: Order, say: (text: string) => void): Promise<Cluster> {
  const daemons = createDaemons(order.folder);
  await mkdir(order.folder, { recursive: true });
  await makeNetwork();
  startApiServer(order, daemons);
  await writeFile(join(order.folder, 'Corefile'), outsideCorefile);
  daemons.start('outside-dns', undefined, join(order.node, 'coredns'), ['-conf', join(order.folder, 'Corefile')]);
  await startRegistry(order, daemons);
  say('registry filled');
  const cluster = createCluster(order, daemons);
  await until('the API server', () => cluster.kubectl('get', '--raw', '/readyz'));
  say('API server ready');
  startControllers(order, daemons);
  for (const node of NODES) await startNode(order, node, daemons);
  await cluster.apply(...coreDnsObjects);
  await until(
    'nodes',
    () => cluster.kubectl('wait', '--for=condition=Ready', 'node', '--all', '--timeout=60s'),
    90_000,
  );
  say('nodes ready');
  await cluster.kubectl('-n', 'kube-system', 'rollout', 'status', 'deployment/coredns', '--timeout=120s');
  say('cluster DNS ready');
  return cluster;
}
