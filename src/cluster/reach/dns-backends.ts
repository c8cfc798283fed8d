import { z } from 'zod';

import { type DnsBackend, type DnsBackends, namedNamespace, perhapsPod } from '../../exposure/dns-target.ts';
import { labelsOf } from '../../exposure/policies/match.ts';
import type { EndpointPod, Protocol } from '../../exposure/network-policies.ts';
import type { KubeClient, KubeRequest } from '../../kubernetes/client.ts';
import { asKubeError, KubeError } from '../../kubernetes/errors.ts';
import { shaped } from '../../kubernetes/lists.ts';
import { resourcePath, RESOURCES } from '../../kubernetes/objects.ts';
import type { Reporter } from '../../telemetry/reporter.ts';

const DNS_PORT = 53;

const labels = z.record(z.string(), z.string()).nullish();

/** The parts of a core/v1 Service that say where DNS is answered. */
const serviceShape = z.object({
  spec: z.object({
    clusterIP: z.string().default(''),
    clusterIPs: z.array(z.string()).default([]),
    selector: labels,
    ports: z
      .array(
        z.object({
          name: z.string().default(''),
          port: z.int(),
          protocol: z.string().default('TCP'),
          targetPort: z.union([z.int(), z.string()]).optional(),
        }),
      )
      .default([]),
  }),
});

type Service = z.output<typeof serviceShape>['spec'];

/** discovery.k8s.io/v1 EndpointSlices. Their ports have the names of the Service's ports. */
const slicesShape = z.object({
  items: z.array(
    z.object({
      endpoints: z
        .array(
          z.object({
            addresses: z.array(z.string()).default([]),
            targetRef: z.object({ kind: z.string().default('') }).nullish(),
          }),
        )
        .nullish(),
      ports: z
        .array(z.object({ name: z.string().nullish(), port: z.int().nullish(), protocol: z.string().default('TCP') }))
        .nullish(),
    }),
  ),
});

type Slice = z.output<typeof slicesShape>['items'][number];

const MOST_SLICES = 100;

/** Addresses of one backend. More of them count as any address. */
const MOST_ADDRESSES = 16;

const isProtocol = (protocol: string): protocol is Protocol => protocol === 'TCP' || protocol === 'UDP';

const EVERY: Readonly<Record<4 | 6, string>> = { 4: '0.0.0.0/0', 6: '::/0' };

const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);

/** Returns the ports behind port 53 of the Service. */
function portsOf(service: Service, { ports }: Pick<Slice, 'ports'>): DnsBackend['port'] {
  const found: Partial<Record<Protocol, number>> = {};
  for (const { name, port, protocol } of service.ports) {
    if (port !== DNS_PORT || !isProtocol(protocol)) continue;
    const behind = ports?.find((one) => (one.name ?? '') === name && one.protocol === protocol)?.port;
    if (typeof behind === 'number') found[protocol] = behind;
  }
  return found;
}

interface Place {
  readonly namespace: string;
  readonly namespaceLabels: EndpointPod['namespaceLabels'];
  readonly service: Service;
}

/** Returns what the Service tells of the Pods behind it, which are not read: labels that it selects, and port names that it uses. */
function podBehind({ namespace, namespaceLabels, service }: Place, port: DnsBackend['port']): EndpointPod {
  const ports = service.ports.flatMap(({ port: own, protocol, targetPort: name }) => {
    const number = own === DNS_PORT && isProtocol(protocol) ? port[protocol] : undefined;
    return typeof name === 'string' && number !== undefined && isProtocol(protocol)
      ? [{ name, port: number, protocol }]
      : [];
  });
  const labelOf = labelsOf(service.selector ?? {}, { complete: false });
  return { namespace, namespaceLabels, labels: labelOf, ports };
}

/** Returns the addresses, or all addresses of their families if there are many. */
function bounded(addresses: ReadonlySet<string>): readonly string[] {
  const all = [...addresses];
  return all.length > MOST_ADDRESSES ? [...new Set(all.map((address) => EVERY[familyOf(address)]))] : all;
}

/** Groups endpoints that differ only in their addresses. Endpoints that are no Pods have no labels. */
function groupsOf(place: Place, slices: readonly Slice[]): DnsBackend[] {
  const groups = new Map<string, { backend: Omit<DnsBackend, 'addresses'>; addresses: Set<string> }>();
  for (const slice of slices) {
    const port = portsOf(place.service, slice);
    for (const { addresses, targetRef } of slice.endpoints ?? []) {
      const isPod = targetRef?.kind === 'Pod';
      const key = JSON.stringify([port, isPod]);
      const backend = { port, ...(isPod && { pod: podBehind(place, port) }) };
      const group = groups.get(key) ?? { backend, addresses: new Set() };
      groups.set(key, group);
      for (const address of addresses) group.addresses.add(address);
    }
  }
  return [...groups.values()].map(({ backend, addresses }) =>
    Object.assign({ addresses: bounded(addresses) }, backend),
  );
}

/** Returns what only the Service tells if its endpoints are unknown: any address, and the port if it is a number. */
function behindService(place: Place, addresses: readonly string[]): DnsBackend[] {
  const port: Partial<Record<Protocol, number>> = {};
  for (const { port: own, protocol, targetPort = own } of place.service.ports) {
    if (own === DNS_PORT && isProtocol(protocol) && typeof targetPort === 'number') port[protocol] = targetPort;
  }
  const families = [...new Set(addresses.map(familyOf))];
  const [elsewhere, pod] = perhapsPod(
    { addresses: families.map((family) => EVERY[family]), port },
    podBehind(place, port),
  );
  // Behind a Service without a selector there may be anything.
  return Object.keys(place.service.selector ?? {}).length > 0 ? [pod] : [elsewhere, pod];
}

export interface DnsBackendsReader {
  /** The last result; undefined before the first. */
  readonly current: DnsBackends | undefined;
  /** Reads once. Never rejects: if reading fails, the last result stays. */
  look(signal: AbortSignal): Promise<void>;
}

interface ReaderOptions {
  readonly client: Pick<KubeClient, 'request'>;
  /** `namespace/name` of the cluster DNS Service. */
  readonly service: string;
  readonly reporter: Reporter;
  /** Milliseconds for one call. */
  readonly timeoutMs: number;
}

const SLICES = { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' } as const;

const namespaceShape = z.object({ metadata: z.object({ labels }) });

/** The backends, and the problem if not all of them could be read. */
interface Found {
  readonly backends: DnsBackends;
  readonly problem: KubeError | undefined;
}

/** Reads the Service and its endpoints. Rejects with `KubeError` if the Service itself cannot be read. */
export async function readBackends(
  { client, service, timeoutMs }: Omit<ReaderOptions, 'reporter'>,
  signal: AbortSignal,
): Promise<Found> {
  const [namespace = '', name = ''] = service.split('/', 2);
  let problem: KubeError | undefined;
  const read = async <T>(path: string, shape: z.ZodType<T>, query: KubeRequest['query'] = {}): Promise<T> =>
    shaped(shape, await client.request({ path, query, timeoutMs, signal }), path);
  const orNot = async <T>(reading: Promise<T>): Promise<T | undefined> => {
    try {
      return await reading;
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      problem = error;
      return undefined;
    }
  };
  const { spec } = await read(resourcePath(RESOURCES.services, name, namespace), serviceShape);
  const slicesQuery = { labelSelector: `kubernetes.io/service-name=${name}`, limit: MOST_SLICES };
  const [slices, labelled] = await Promise.all([
    orNot(read(resourcePath(SLICES, undefined, namespace), slicesShape, slicesQuery)),
    orNot(read(resourcePath(RESOURCES.namespaces, namespace), namespaceShape)),
  ]);
  const namespaceLabels = labelled ? labelsOf(labelled.metadata.labels ?? {}) : namedNamespace(namespace);
  const place = { namespace, namespaceLabels, service: spec };
  const addresses = spec.clusterIPs.length > 0 ? spec.clusterIPs : [spec.clusterIP];
  const found = groupsOf(place, slices?.items ?? []);
  const backends = found.length > 0 ? found : behindService(place, addresses);
  return { backends: { service, addresses, backends }, problem };
}

/**
 * Reads what is behind the cluster DNS Service, because policies match packets after the Service's address is translated. Uses what
 * the Service tells if its endpoints cannot be read.
 */
export function createDnsBackends(options: ReaderOptions): DnsBackendsReader {
  let current: DnsBackends | undefined;
  const what = `what is behind the service ${options.service} cannot be read, or not all: policies that name it are not certain`;
  const trouble = options.reporter.trouble(what, 'facts');
  const report = (problem: KubeError | undefined): void =>
    problem === undefined ? trouble.recovered() : trouble.lost(problem);

  return {
    get current() {
      return current;
    },
    async look(signal) {
      try {
        const { backends, problem } = await readBackends(options, signal);
        current = backends;
        report(problem);
      } catch (error) {
        if (signal.aborted) return;
        const known = asKubeError(error, 'malformed');
        if (known.code === 'not-found') current = undefined;
        report(known);
      }
    },
  };
}
