import { fileURLToPath } from 'node:url';

import { startRegistry } from '../../support/registry-server.ts';
import type { Fault } from '../fault.ts';
import { startNameServer } from '../support/name-server.ts';
import { besideAttack, openStreet } from '../support/neighbour.ts';
import { drip, startRawServer } from '../support/raw-server.ts';
import type { Registry } from '../support/world.ts';

const WITHOUT_DNS = fileURLToPath(new URL('../support/without-dns.ts', import.meta.url));
const PROMISE =
  'meanwhile 64 new images of another namespace are known, each within the budget of 1.5 s; a known Pod is answered within 50 ms, /livez within 1 s; memory of all processes under the limit of 512 MB';

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

const deadNames: Fault = {
  id: 'neighbour-dead-names',
  name: 'one Pod a second with 32 images of names whose DNS never answers',
  promise: PROMISE,
  alsoIn: 'test/registry/neighbours.test.ts, test/unit/registry/http/names.test.ts',
  async run(world) {
    const file = await startNameServer(world, ['healthy.test']);
    const plain = ({ host }: Registry): string[] => [host.replace('127.0.0.1', 'healthy.test')];
    const street = await openStreet(world, plain, { main: WITHOUT_DNS, environment: { RESOLV_CONF: file } });
    const { registry } = street;
    return await besideAttack(street, {
      everySecond: (second) =>
        street.pod(
          'greedy',
          numbers(32).map((name) => `dead-${second}-${name}.example/app:1`),
        ),
      newImage: () => registry.newImage().replace('127.0.0.1', 'healthy.test'),
    });
  },
};

const SLOW =
  'HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json\r\ncontent-length: 9999\r\n\r\n';

const drippingHosts: Fault = {
  id: 'neighbour-dripping-hosts',
  name: 'one Pod a second with 32 images of hosts that send a byte a second',
  promise: PROMISE,
  alsoIn: 'test/registry/neighbours.test.ts, test/unit/detection/flights.test.ts',
  async run(world) {
    const port = await startRawServer(world, (_, socket) => {
      socket.write(SLOW);
      drip(socket, ' ', 1000);
    });
    const hosts = (second: number): string[] => numbers(32).map((host) => `127.1.${second}.${host + 1}:${port}`);
    const street = await openStreet(world, () => numbers(10).flatMap(hosts));
    return await besideAttack(street, {
      everySecond: (second) =>
        street.pod(
          'greedy',
          hosts(second).map((host) => `${host}/app:1`),
        ),
    });
  },
};

const NAMESPACES = 32;

const manyNamespaces: Fault = {
  id: 'neighbour-many-namespaces',
  name: `${NAMESPACES} namespaces, each with a Pod every two seconds of two hosts that take requests and never answer`,
  promise: PROMISE,
  alsoIn: 'test/unit/detection/many-namespaces.test.ts, test/unit/detection/flights.test.ts',
  async run(world) {
    const port = await startRawServer(world, () => {});
    const hosts = (second: number, namespace: number): string[] =>
      numbers(2).map((host) => `127.2.${second}.${2 * namespace + host + 1}:${port}`);
    const plain = numbers(10).flatMap((second) => numbers(NAMESPACES).flatMap((namespace) => hosts(second, namespace)));
    const street = await openStreet(world, () => plain);
    return await besideAttack(street, {
      everySecond: async (second) => {
        const those = numbers(NAMESPACES).filter((namespace) => namespace % 2 === second % 2);
        await Promise.all(
          those.map((namespace) =>
            street.pod(
              `greedy-${namespace}`,
              hosts(second, namespace).map((host) => `${host}/app:1`),
            ),
          ),
        );
      },
    });
  },
};

/** A repository of the shared registry that misbehaves. */
const oneRepository = (
  id: string,
  name: string,
  answer: { status: number; headers?: Record<string, string> },
): Fault => ({
  id,
  name,
  promise: PROMISE,
  alsoIn: 'test/registry/neighbours.test.ts',
  async run(world) {
    const street = await openStreet(world, () => []);
    const { registry } = street;
    registry.failAt(({ path }) => (path.includes('/greedy/') ? { kind: 'answer', ...answer } : undefined));
    return await besideAttack(street, {
      everySecond: (second) =>
        street.pod(
          'greedy',
          numbers(8).map((tag) => `${registry.host}/greedy/app:${second}-${tag}`),
        ),
    });
  },
});

const redirect: Fault = {
  id: 'neighbour-redirect',
  name: 'a registry that redirects to a URL of another one, which answers 429 with Retry-After: 900',
  promise: PROMISE,
  alsoIn: 'test/registry/neighbours.test.ts',
  async run(world) {
    let location = '';
    const hostile = await startRegistry({ fault: () => ({ kind: 'answer', status: 307, headers: { location } }) });
    world.afterwards(() => hostile.close());
    const street = await openStreet(world, () => [hostile.host]);
    const { registry } = street;
    const limited = { kind: 'answer', status: 429, headers: { 'retry-after': '900' } } as const;
    registry.failAt(({ path }) => (path.startsWith('/limited') ? limited : undefined));
    location = `${registry.url}/limited`;
    return await besideAttack(street, {
      everySecond: (second) =>
        street.pod(
          'greedy',
          numbers(8).map((name) => `${hostile.host}/app-${second}-${name}:1`),
        ),
    });
  },
};

const RETRY_LATER = { status: 429, headers: { 'retry-after': '900' } };

export const neighbourFaults: readonly Fault[] = [
  deadNames,
  drippingHosts,
  manyNamespaces,
  oneRepository(
    'neighbour-repository-fails',
    'a repository that answers 500, of a registry that others use, 8 images a second',
    { status: 500 },
  ),
  oneRepository(
    'neighbour-repository-limits',
    'a repository that answers 429 with Retry-After: 900, of a registry that others use',
    RETRY_LATER,
  ),
  redirect,
];
