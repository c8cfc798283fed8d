import { z } from 'zod';

import type { Clock } from '../util/clock.ts';
import type { KubeClient } from './client.ts';
import { isKubeError } from './errors.ts';
import { type KubeObject, resourcePath, RESOURCES } from './objects.ts';

export interface LeaseClaimOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly namespace: string;
  readonly name: string;
  /** The identity of this replica; it has to be unique. */
  readonly identity: string;
  /** Milliseconds for which a claim holds unless it is renewed. Whole seconds. */
  readonly durationMs: number;
  readonly clock: Clock;
}

interface ClaimLimits {
  readonly signal: AbortSignal;
  /** Milliseconds for each call. */
  readonly timeoutMs: number;
}

interface Claim {
  /** Whether this replica holds the Lease now. */
  readonly held: boolean;
  /** The holder's identity; empty: not known, for another replica wrote at the same time. */
  readonly holder: string;
}

export interface LeaseClaim {
  /** Renews our claim, takes a Lease that is free or has expired, or finds out who holds it. Rejects with `KubeError`. */
  attempt(limits: ClaimLimits): Promise<Claim>;
  /** Frees the Lease if this replica holds it, so that others need not wait for its end. Rejects with `KubeError`. */
  release(limits: ClaimLimits): Promise<void>;
}

/** The fields of a coordination.k8s.io/v1 LeaseSpec that are read. An invalid spec counts as a Lease without a holder. */
const leaseSpec = z
  .object({
    holderIdentity: z.string().nullish(),
    leaseDurationSeconds: z.number().nullish(),
    leaseTransitions: z.number().nullish(),
    acquireTime: z.string().nullish(),
  })
  .catch({});

/** In durations of ours: the longest wait for a holder that is gone, whatever duration its Lease names. */
const LONGEST_WAIT = 4;

/** Formats a meta/v1 MicroTime: exactly six digits of the second. */
const microTime = (milliseconds: number): string => new Date(milliseconds).toISOString().replace('Z', '000Z');

/** Creates one replica's claim to a Lease. Each write names the version it replaces: of two concurrent writes one is refused. */
export function createLeaseClaim(options: LeaseClaimOptions): LeaseClaim {
  const path = resourcePath(RESOURCES.leases, options.name, options.namespace);
  const state: ClaimState = { ...options, path, seen: undefined };
  return {
    async attempt(limits) {
      try {
        if (await renew(state, limits)) return { held: true, holder: options.identity };
        return await take(state, limits);
      } catch (error) {
        if (isKubeError(error, 'conflict')) return { held: false, holder: '' };
        throw error;
      }
    },
    async release(limits) {
      const lease = await read(state, limits);
      if (lease === undefined || holderOf(lease) !== options.identity) return;
      const renewTime = microTime(options.clock.now());
      await replace(state, lease, { holderIdentity: '', leaseDurationSeconds: 1, renewTime }, limits);
    },
  };
}

interface Seen {
  readonly lease: KubeObject;
  /** When we first saw this version, monotonic: the holder's clock may be wrong (client-go leaderelection.go, observedTime). */
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

interface ClaimState extends LeaseClaimOptions {
  readonly path: string;
  seen: Seen | undefined;
}

function note(state: ClaimState, lease: KubeObject): void {
  if (lease.metadata.resourceVersion === state.seen?.lease.metadata.resourceVersion) return;
  state.seen = { lease, at: state.clock.monotonic() };
}

async function replace(state: ClaimState, lease: KubeObject, spec: object, limits: ClaimLimits): Promise<void> {
  const { client, path } = state;
  // Keeps all other fields. metadata.resourceVersion is one of them, and makes the write conditional.
  const body = { ...lease, spec: { ...(lease['spec'] as object | undefined), ...spec } };
  note(state, await client.request({ method: 'PUT', path, body, ...limits }));
}

async function create(state: ClaimState, limits: ClaimLimits): Promise<void> {
  const { client, namespace, name } = state;
  const body = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name, namespace },
    spec: claimedSpec(state, undefined),
  };
  const path = resourcePath(RESOURCES.leases, undefined, namespace);
  note(state, await client.request({ method: 'POST', path, body, ...limits }));
}

async function read(state: ClaimState, limits: ClaimLimits): Promise<KubeObject | undefined> {
  try {
    const lease = await state.client.request({ path: state.path, ...limits });
    note(state, lease);
    return lease;
  } catch (error) {
    if (!isKubeError(error, 'not-found')) throw error;
    state.seen = undefined;
    return undefined;
  }
}

function isFree({ identity, durationMs, clock, seen }: ClaimState, lease: KubeObject): boolean {
  const { holderIdentity, leaseDurationSeconds } = specOf(lease);
  if (!holderIdentity || holderIdentity === identity) return true;
  const holdersMs = (leaseDurationSeconds ?? 0) * 1000;
  const waitMs = Math.min(Math.max(holdersMs, durationMs), LONGEST_WAIT * durationMs);
  return seen !== undefined && clock.monotonic() - seen.at >= waitMs;
}

async function take(state: ClaimState, limits: ClaimLimits): Promise<Claim> {
  const lease = await read(state, limits);
  if (lease !== undefined && !isFree(state, lease)) return { held: false, holder: holderOf(lease) };
  if (lease === undefined) await create(state, limits);
  else await replace(state, lease, claimedSpec(state, lease), limits);
  return { held: true, holder: state.identity };
}

/** Renews without reading first. Resolves to false if the Lease has changed since our last write. */
async function renew(state: ClaimState, limits: ClaimLimits): Promise<boolean> {
  const lease = state.seen?.lease;
  if (lease === undefined || holderOf(lease) !== state.identity) return false;
  try {
    await replace(state, lease, claimedSpec(state, lease), limits);
    return true;
  } catch (error) {
    if (isKubeError(error, 'conflict') || isKubeError(error, 'not-found')) return false;
    throw error;
  }
}
