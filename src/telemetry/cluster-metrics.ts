import { Counter, Gauge, type Registry } from 'prom-client';

/** The state of a cache of API objects. */
interface InformerState {
  readonly synced: boolean;
  readonly items: number;
  /** Last contact with the API server, milliseconds since the epoch; undefined if there was none. */
  readonly contactAt: number | undefined;
}

/** Whether some node can lose DNS packets, and the number of nodes that make the cluster exposed. */
interface ExposureState {
  readonly exposed: boolean;
  readonly nodes: number;
}

/** The PodResolvers that this replica keeps. */
interface PodResolversState {
  readonly namespaces: number;
  readonly images: number;
  /** Images for which there was no room. */
  readonly leftOut: number;
}

/** The state of self-managed certificates. */
interface CertificateState {
  readonly trusted: boolean;
  /** Expiry of the CA, milliseconds since the epoch; undefined if there is no CA. */
  readonly caExpires?: number;
}

/** Metrics about the cluster. Label values come from closed sets only. */
export interface ClusterMetrics {
  /** Reads `state` at each scrape. */
  informer(resource: string, state: () => InformerState): void;
  /** Counts a failed call to the API server. `use` says what it was for. */
  apiFailed(use: string, code: string): void;
  /** Sets 1 for this state and 0 for the others. */
  nodeLocal(state: string): void;
  factsChanged(): void;
  /** Reads `state` at each scrape. Called only where exposure is followed. */
  exposure(state: () => ExposureState): void;
  /** Reads `state` at each scrape; undefined while another replica leads. Called only where the policy is on. */
  podResolvers(state: () => PodResolversState | undefined): void;
  /** Counts a write to the shared store (a verdict, its last use or its removal), or of a PodResolvers. */
  stored(kind: string, result: string): void;
  /** `result`: `written`, `dropped` or the code of a failure. */
  eventWritten(result: string): void;
  leading(leads: boolean): void;
  warmedUp(result: string): void;
  pullSecretFailed(code: string): void;
  /** Reads `state` at each scrape. */
  certificates(state: () => CertificateState): void;
  /** Counts a change of the shared CA by this replica: created, restored, or a step of a rotation. */
  caChanged(change: string): void;
  /** Counts a write of the CA bundle to our registration. `result`: `written`, or `contested` if something else keeps overwriting it. */
  registrationWritten(result: string): void;
}

const NODE_LOCAL_STATES = ['ready', 'unready', 'intercepting', 'absent', 'unknown'];

function createInformers(registers: [Registry]): ClusterMetrics['informer'] {
  const states = new Map<string, () => InformerState>();
  const gauge = (name: string, help: string, read: (state: InformerState) => number | undefined): Gauge =>
    new Gauge({
      name,
      help,
      labelNames: ['resource'],
      registers,
      collect() {
        for (const [resource, state] of states) {
          const value = read(state());
          if (value !== undefined) this.set({ resource }, value);
        }
      },
    });
  gauge('libc_dns_informer_synced', '1 once the first list is complete.', ({ synced }) => (synced ? 1 : 0));
  gauge('libc_dns_informer_objects', 'Objects remembered.', ({ items }) => items);
  gauge(
    'libc_dns_informer_last_contact_timestamp_seconds',
    'When the API server was last heard of, Unix time.',
    ({ contactAt }) => contactAt && contactAt / 1000,
  );
  return (resource, state) => void states.set(resource, state);
}

/** Returns a function that adds a gauge whose value is read at each scrape; undefined: it has none then. */
function readGauges(registers: [Registry]): (name: string, help: string, read: () => number | undefined) => void {
  return (name, help, read) =>
    void new Gauge({
      name,
      help,
      registers,
      collect() {
        const value = read();
        if (value !== undefined) this.set(value);
      },
    });
}

function createCertificates(registers: [Registry]): ClusterMetrics['certificates'] {
  const gauge = readGauges(registers);
  return (state) => {
    gauge(
      'libc_dns_certificate_trusted',
      '1 where our registration, if there is one, holds the CA of the certificate in use.',
      () => (state().trusted ? 1 : 0),
    );
    gauge('libc_dns_ca_expiry_timestamp_seconds', 'When the self-managed CA expires, Unix time.', () => {
      const { caExpires } = state();
      return caExpires && caExpires / 1000;
    });
  };
}

function createExposure(registers: [Registry]): ClusterMetrics['exposure'] {
  const gauge = readGauges(registers);
  return (state) => {
    gauge('libc_dns_exposed', '1 while some node can lose DNS packets, or that is not known.', () =>
      state().exposed ? 1 : 0,
    );
    gauge('libc_dns_exposed_nodes', 'Nodes that keep libc_dns_exposed at 1.', () => state().nodes);
  };
}

function createPodResolvers(registers: [Registry]): ClusterMetrics['podResolvers'] {
  const gauge = readGauges(registers);
  return (state) => {
    gauge('libc_dns_pod_resolvers_namespaces', 'Namespaces with a PodResolvers.', () => state()?.namespaces);
    gauge('libc_dns_pod_resolvers_images', 'Entries of images in all PodResolvers.', () => state()?.images);
    gauge('libc_dns_pod_resolvers_left_out', 'Images for which a PodResolvers has no room.', () => state()?.leftOut);
  };
}

export function createClusterMetrics(registry: Registry): ClusterMetrics {
  const registers: [Registry] = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
    new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name, help, labelNames, registers });
  const failures = counter('libc_dns_api_failures_total', 'Calls to the API server that failed.', ['use', 'code']);
  const state = gauge('libc_dns_node_local_state', '1 for what was found of the node-local cache.', ['state']);
  const changes = counter('libc_dns_cluster_facts_changes_total', 'Changes seen in the DNS settings of the cluster.');
  const writes = counter('libc_dns_store_writes_total', 'Writes of ImageLibcs and PodResolvers, by kind and result.', [
    'kind',
    'result',
  ]);
  const events = counter('libc_dns_event_writes_total', 'Events on workloads, by result.', ['result']);
  const leader = gauge('libc_dns_leader', '1 where this replica holds the lease.');
  const warmed = counter('libc_dns_warm_up_images_total', 'Images looked up ahead, by result.', ['result']);
  const secrets = counter('libc_dns_pull_secret_failures_total', 'Pull secrets that could not be used.', ['code']);
  const authorities = counter('libc_dns_ca_changes_total', 'Changes of the shared CA by this replica.', ['change']);
  const bundles = counter('libc_dns_registration_writes_total', 'CA bundles written to the registration.', ['result']);
  return {
    informer: createInformers(registers),
    apiFailed: (use, code) => failures.inc({ use, code }),
    nodeLocal: (now) => {
      for (const one of NODE_LOCAL_STATES) state.set({ state: one }, one === now ? 1 : 0);
    },
    factsChanged: () => changes.inc(),
    exposure: createExposure(registers),
    podResolvers: createPodResolvers(registers),
    stored: (kind, result) => writes.inc({ kind, result }),
    eventWritten: (result) => events.inc({ result }),
    leading: (leads) => leader.set(leads ? 1 : 0),
    warmedUp: (result) => warmed.inc({ result }),
    pullSecretFailed: (code) => secrets.inc({ code }),
    certificates: createCertificates(registers),
    caChanged: (change) => authorities.inc({ change }),
    registrationWritten: (result) => bundles.inc({ result }),
  };
}
