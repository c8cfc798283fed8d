import { z } from 'zod';

import type { Clock } from '../util/clock.ts';
import type { KubeClient } from './client.ts';
import { isKubeError } from './errors.ts';
import { type KubeObject, resourcePath, RESOURCES } from './objects.ts';

export interface LeaseClaimOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly namespace: string;
  readonly name: string;
  /** Ours; no two replicas may have the same. */
  readonly identity: string;
  /** Milliseconds, whole seconds, for which a claim stands unless it is renewed. */
  readonly durationMs: number;
  /** `now`: milliseconds since 1970. `monotonic`: milliseconds that never go back. */
  readonly clock: Clock;
}

interface ClaimLimits {
  readonly signal: AbortSignal;
  /** Milliseconds for each call. */
  readonly timeoutMs: number;
}

interface Claim {
  /** Whether the Lease is ours now. */
  readonly held: boolean;
  /** Who holds it; empty: not known, for somebody else wrote at the same time. */
  readonly holder: string;
}

export interface LeaseClaim {
  /** Renews our claim, takes a Lease that is free or has run out, or sees who holds it. Rejects with `KubeError`. */
  attempt(limits: ClaimLimits): Promise<Claim>;
  /** Frees the Lease where it is ours, so that another need not wait for it to run out. Rejects with `KubeError`. */
  release(limits: ClaimLimits): Promise<void>;
}

/** What is read of coordination.k8s.io/v1 LeaseSpec. Anything else that stands there is taken for a Lease nobody holds. */
const leaseSpec = z
  .object({
    holderIdentity: z.string().nullish(),
    leaseDurationSeconds: z.number().nullish(),
    leaseTransitions: z.number().nullish(),
    acquireTime: z.string().nullish(),
  })
  .catch({});

/** Whatever a Lease says of itself, a holder that is gone is not waited for much longer than ours. */
const LONGEST_WAIT = 4;

/** meta/v1 MicroTime: six digits, no more and no fewer. */
const microTime = (milliseconds: number): string => new Date(milliseconds).toISOString().replace('Z', '000Z');

interface Seen {
  readonly lease: KubeObject;
  /** When we first saw this version: the holder's own clock may be wrong (client-go leaderelection.go, observedTime). */
  readonly at: number;
}

const specOf = (lease: KubeObject) => leaseSpec.parse(lease['spec']);

const holderOf = (lease: KubeObject): string => specOf(lease).holderIdentity ?? '';

function claimedSpec({ identity, durationMs, clock }: LeaseClaimOptions, before: KubeObject | undefined): object {
  const now = microTime(clock.now());
  const old = before === undefined ? undefined : specOf(before);
  const isOurs = old?.holderIdentity === identity;
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.round(durationMs / 1000),
    acquireTime: isOurs ? (old.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: (old?.leaseTransitions ?? 0) + (isOurs || old === undefined ? 0 : 1),
  };
}

interface Claiming extends LeaseClaimOptions {
  readonly path: string;
  seen: Seen | undefined;
}

function note(claiming: Claiming, lease: KubeObject): void {
  if (lease.metadata.resourceVersion === claiming.seen?.lease.metadata.resourceVersion) return;
  claiming.seen = { lease, at: claiming.clock.monotonic() };
}

async function replace(claiming: Claiming, lease: KubeObject, spec: object, limits: ClaimLimits): Promise<void> {
  const { client, path } = claiming;
  // Whatever else stands in it stays; metadata.resourceVersion is among it, and makes the write conditional.
  const body = { ...lease, spec: { ...(lease['spec'] as object | undefined), ...spec } };
  note(claiming, await client.request({ method: 'PUT', path, body, ...limits }));
}

async function create(claiming: Claiming, limits: ClaimLimits): Promise<void> {
  const { client, namespace, name } = claiming;
  const body = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace },
    spec: claimedSpec(claiming, undefined),
  };
  const path = resourcePath(RESOURCES.leases, undefined, namespace);
  note(claiming, await client.request({ method: 'POST', path, body, ...limits }));
}

async function read(claiming: Claiming, limits: ClaimLimits): Promise<KubeObject | undefined> {
  try {
    const lease = await claiming.client.request({ path: claiming.path, ...limits });
    note(claiming, lease);
    return lease;
  } catch (error) {
    if (!isKubeError(error, 'not-found')) throw error;
    claiming.seen = undefined;
    return undefined;
  }
}

function isFree({ identity, durationMs, clock, seen }: Claiming, lease: KubeObject): boolean {
  const { holderIdentity, leaseDurationSeconds } = specOf(lease);
  if (!holderIdentity || holderIdentity === identity) return true;
  const said = (leaseDurationSeconds ?? 0) * 1000;
  const waitMs = Math.min(Math.max(said, durationMs), LONGEST_WAIT * durationMs);
  return seen !== undefined && clock.monotonic() - seen.at >= waitMs;
}

async function take(claiming: Claiming, limits: ClaimLimits): Promise<Claim> {
  const lease = await read(claiming, limits);
  if (lease !== undefined && !isFree(claiming, lease)) return { held: false, holder: holderOf(lease) };
  if (lease === undefined) await create(claiming, limits);
  else await replace(claiming, lease, claimedSpec(claiming, lease), limits);
  return { held: true, holder: claiming.identity };
}

/** Renews without reading first; false where the Lease is no longer as we left it. */
async function renew(claiming: Claiming, limits: ClaimLimits): Promise<boolean> {
  const lease = claiming.seen?.lease;
  if (lease === undefined || holderOf(lease) !== claiming.identity) return false;
  try {
    await replace(claiming, lease, claimedSpec(claiming, lease), limits);
    return true;
  } catch (error) {
    if (isKubeError(error, 'conflict') || isKubeError(error, 'not-found')) return false;
    throw error;
  }
}

/** One replica's claim to a Lease. Each write names the version it replaces: of two that take it at once, one is refused. */
export function createLeaseClaim(options: LeaseClaimOptions): LeaseClaim {
  const path = resourcePath(RESOURCES.leases, options.name, options.namespace);
  const claiming: Claiming = { ...options, path, seen: undefined };
  return {
    async attempt(limits) {
      try {
        if (await renew(claiming, limits)) return { held: true, holder: options.identity };
        return await take(claiming, limits);
      } catch (error) {
        if (isKubeError(error, 'conflict')) return { held: false, holder: '' };
        throw error;
      }
    },
    async release(limits) {
      const lease = await read(claiming, limits);
      if (lease === undefined || holderOf(lease) !== options.identity) return;
      const renewTime = microTime(options.clock.now());
      await replace(claiming, lease, { holderIdentity: '', leaseDurationSeconds: 1, renewTime }, limits);
    },
  };
}
