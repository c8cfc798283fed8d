import { readBackends } from '../../cluster/reach/dns-backends.ts';
import {
  BOUNDS,
  createPolicyIndex,
  kindName,
  type KnownPolicies,
  type PolicyIndex,
  unreadKind,
} from '../../cluster/reach/policy-index.ts';
import type { DnsBackends } from '../../exposure/dns-target.ts';
import { NETWORK_POLICIES, POLICY_KINDS, type PolicyKind } from '../../exposure/policies/kinds.ts';
import type { KubeClient } from '../../kubernetes/client.ts';
import { KubeError } from '../../kubernetes/errors.ts';
import { eachObject } from '../../kubernetes/lists.ts';
import type { Gap } from '../report/report.ts';
import { orGap } from './gaps.ts';
import type { Scanned } from './scanned.ts';

interface ReachOptions {
  readonly client: Pick<KubeClient, 'request'>;
  /** One entry without a namespace means all namespaces at once. */
  readonly scopes: readonly { readonly namespace?: string }[];
  /** `namespace/name` of the cluster DNS Service. */
  readonly service: string;
  /** Policies may also come from elsewhere: what is behind the DNS Service is read in any case. */
  readonly morePolicies: boolean;
  readonly signal: AbortSignal;
}

/** Milliseconds for one object of the API. */
const READ_MS = 10_000;

/**
 * Reads the network policies as the webhook does, and what is behind the DNS Service: policies match packets once the Service's address is
 * translated.
 */
export async function readReach(
  options: ReachOptions,
  gaps: Gap[],
): Promise<Pick<Scanned, 'networkPolicies' | 'behindDns'>> {
  const { client, signal, service, morePolicies } = options;
  const { any, ...networkPolicies } = await readPolicies(options, gaps);
  let behindDns: DnsBackends | undefined;
  const grant = 'get services, list endpointslices there: policies that name the cluster DNS are held against them';
  const read = async (): Promise<void> => {
    const { backends, problem } = await readBackends({ client, service, timeoutMs: READ_MS }, signal);
    behindDns = backends;
    if (problem !== undefined) throw problem;
  };
  if (any || morePolicies) await orGap(gaps, `what is behind ${service}`, grant, read);
  return { networkPolicies, behindDns };
}

/**
 * Reads each kind of policy that is installed. If one cannot be read, all policies are unknown. All kinds but Kubernetes' own that cannot
 * be read are one gap together.
 */
async function readPolicies(options: ReachOptions, gaps: Gap[]): Promise<KnownPolicies & { readonly any: boolean }> {
  const crowded: string[] = [];
  const index = createPolicyIndex(BOUNDS, (namespace) => crowded.push(namespace || 'the whole cluster'));
  const foreign: Gap[] = [];
  let unknown: 'unread' | 'forbidden' | undefined;
  let cilium = false;
  for (const kind of POLICY_KINDS) {
    const name = kindName(kind);
    const grant = `list ${name}: without it no Pod counts as one that may use DNS over TCP`;
    await orGap(kind === NETWORK_POLICIES ? gaps : foreign, name, grant, async () => {
      try {
        await readKind(kind, index, options);
        cilium ||= kind.group === 'cilium.io';
      } catch (error) {
        const why = error instanceof KubeError ? unreadKind(kind, error) : 'unread';
        if (why === 'absent') return;
        unknown ??= why;
        throw error;
      }
    });
  }
  gaps.push(...foreign.slice(0, 1), ...tooMany(crowded));
  return {
    of: (namespace) => unknown ?? index.of(namespace),
    cilium,
    any: unknown === undefined && index.size > 0,
  };
}

async function readKind(kind: PolicyKind, index: PolicyIndex, { client, scopes, signal }: ReachOptions): Promise<void> {
  for (const scope of kind.namespaced ? scopes : [{}]) {
    const kept = new Map<string, NonNullable<ReturnType<PolicyIndex['keep']>>>();
    await eachObject({ client, resource: kind, signal, ...scope }, () => {
      for (const one of kept.values()) index.release(one);
      kept.clear();
      return (object) => {
        const { namespace, name } = object.metadata;
        const key = namespace === undefined ? name : `${namespace}/${name}`;
        const one = index.keep(kind, object);
        if (one === undefined) return;
        if (kept.size < BOUNDS.entries) kept.set(key, one);
        else index.crowd(kind, key);
      };
    });
    for (const [key, one] of kept) index.set(kind, key, one);
  }
}

const tooMany = (namespaces: readonly string[]): Gap[] =>
  namespaces.length === 0
    ? []
    : [
        {
          what: 'network policies',
          message: `more than are read, in ${namespaces.slice(0, 5).join(', ')}${namespaces.length > 5 ? ' and others' : ''}`,
          grant: 'nothing: the webhook reads no more of them, and gives Pods there no use-vc',
        },
      ];
