import { X509Certificate } from 'node:crypto';

import { type Lifetimes, type SelfManaged, selfManagedCertificates } from '../../../src/certificates/self-managed.ts';
import type { CaStore, Stored } from '../../../src/certificates/shared-ca.ts';
import type { Registration, TrustBundle } from '../../../src/certificates/trust-bundle.ts';
import { type Recording, recordingReporter } from '../../support/recording-reporter.ts';

const HOUR = 3_600_000;
const LIFETIMES = { ca: 8760 * HOUR, leaf: 168 * HOUR, overlap: 120_000 };

type Content = Extract<Stored, { state: 'present' }>;

/** A cluster in memory: one Secret, one registration, and time that goes by when told to. */
export interface World {
  secret: Stored;
  registration: Registration;
  inContact: boolean;
  /** Thrown by the next writes to the Secret. */
  refuse: Error | undefined;
  /** Milliseconds since the epoch. */
  date: number;
  monotonic: number;
  /** What each replica logged and counted, by its name. */
  readonly recordings: Map<string, Recording>;
  /** Starts a replica; `ahead`: milliseconds that its clock is ahead of the others'. */
  replica(name: string, ahead?: number, lifetimes?: Partial<Lifetimes>): SelfManaged;
  /** Returns the changes of the CA, replica by replica: `a create: there was none`. */
  caChanges(): string[];
  /** Has every replica look again. */
  poke(): void;
  /** Lets time go by for clocks of both kinds, in steps, with time for every replica to act in each. */
  pass(ms: number, steps?: number): Promise<void>;
  stop(): Promise<void>;
}

const defined = (data: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(data).filter(([, text]) => text !== undefined)) as Record<string, string>;

/** Longer than any replica takes to sign and write. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

export function createWorld(): World {
  const listeners: (() => void)[] = [];
  const replicas: SelfManaged[] = [];
  let version = 0;

  function secretIs(content: Omit<Content, 'state' | 'version'>): 'written' {
    version += 1;
    world.secret = { ...content, state: 'present', version: String(version) };
    world.poke();
    return 'written';
  }

  const store: CaStore = {
    get seen() {
      return world.secret;
    },
    get inContact() {
      return world.inContact;
    },
    onChange: (listener) => void listeners.push(listener),
    create: async (data) => {
      if (world.refuse !== undefined) throw world.refuse;
      if (world.secret.state === 'present') return 'conflict';
      return secretIs({ data: defined(data), ours: true, asked: false });
    },
    replace: async (of, data, answered) => {
      if (world.refuse !== undefined) throw world.refuse;
      if (world.secret.state !== 'present' || world.secret.version !== of) return 'conflict';
      const merged = defined({ ...world.secret.data, ...data });
      return secretIs({ data: merged, ours: true, asked: world.secret.asked && !answered });
    },
    close: async () => {},
  };

  const bundle: TrustBundle = {
    get seen() {
      return world.registration;
    },
    onChange: () => {},
    replace: async (of, bundles) => {
      const before = world.registration;
      if (before.state !== 'present' || before.version !== of) return 'conflict';
      version += 1;
      const after = before.bundles.map((pems, index) => bundles[index] ?? pems);
      world.registration = { state: 'present', version: String(version), bundles: after };
      world.poke();
      return 'written';
    },
    close: async () => {},
  };

  const world: World = {
    secret: { state: 'absent' },
    registration: { state: 'absent' },
    inContact: true,
    refuse: undefined,
    date: Date.UTC(2026, 0, 1),
    monotonic: 0,
    recordings: new Map(),
    replica(name, ahead = 0, lifetimes = {}) {
      const recording = recordingReporter(() => world.monotonic);
      world.recordings.set(name, recording);
      const replica = selfManagedCertificates({
        store,
        bundle,
        names: [{ type: 'dns', value: 'webhook.system.svc' }],
        clock: { now: () => world.date + ahead, monotonic: () => world.monotonic },
        random: () => 0.5,
        lifetimes: { ...LIFETIMES, ...lifetimes },
        reporter: recording.reporter,
      });
      replicas.push(replica);
      return replica;
    },
    caChanges: () =>
      [...world.recordings].flatMap(([name, { lines }]) =>
        lines
          .filter(({ message }) => message === 'this replica has changed the shared CA')
          .map(({ fields: { change, why } }) => `${name} ${String(change)}: ${String(why)}`),
      ),
    poke: () => {
      for (const listener of listeners) listener();
    },
    async pass(ms, steps = 1) {
      for (let step = 0; step < steps; step += 1) {
        world.date += ms / steps;
        world.monotonic += ms / steps;
        world.poke();
        await settle();
      }
    },
    stop: async () => void (await Promise.all(replicas.map((replica) => replica.close()))),
  };
  return world;
}

/** SHA-256 of the CA that signed what is served. */
export function issuerOf(replica: SelfManaged, cas: readonly string[]): string | undefined {
  const leaf = new X509Certificate(replica.current().cert);
  return cas.find((pem) => leaf.verify(new X509Certificate(pem).publicKey));
}

export const validAt = (replica: SelfManaged, date: number): boolean => {
  const { validFromDate, validToDate } = new X509Certificate(replica.current().cert);
  return validFromDate.getTime() <= date && date < validToDate.getTime();
};
