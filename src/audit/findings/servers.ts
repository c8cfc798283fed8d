import { resolverName } from '../../policy/verdict.ts';
import type { DecidedGroup, FindingContext } from '../decided.ts';
import { isLinkLocal } from '../../util/ip.ts';
import { fieldChange, fieldOf, type FindingDraft, restart } from './places.ts';

/** Reports whether the cluster DNS or a ready node-local cache is known to answer at this link-local address. */
function isAnswering(address: string, { cluster }: FindingContext): boolean {
  if (cluster.dns.includes(address)) return true;
  const known = cluster.nodeLocalAddresses ?? [];
  const runs = cluster.nodeLocal === 'ready' || cluster.nodeLocal === 'intercepting';
  return runs && (known.length === 0 || known.includes(address));
}

/** Finds a first nameserver that is a node-local cache which does not run. Returns nothing if its state is unknown. */
function deadFirst(group: DecidedGroup, context: FindingContext): FindingDraft[] {
  const { servers } = group.resolvConf.before;
  const [first] = servers;
  const { nodeLocal } = context.cluster;
  if (first === undefined || !isLinkLocal(first) || nodeLocal === 'unknown' || isAnswering(first, context)) return [];
  if (group.decision.reason === 'NodeLocalFromKubelet') return [];
  const state = nodeLocal === 'absent' ? 'no node-local DNS cache runs' : 'the node-local DNS cache is not ready';
  const alone = servers.length === 1;
  // musl asks all servers at once, so a dead one costs it nothing.
  if (!alone && group.containers.every((one) => resolverName(one) === 'musl')) return [];
  return [
    {
      code: 'DeadNameserverFirst',
      severity: alone || nodeLocal === 'absent' ? 'error' : 'warning',
      what: `The first nameserver of the Pods is ${first}, and ${state}.`,
      why: alone
        ? 'No server answers: every look-up fails.'
        : 'glibc and Go ask in order: every look-up waits for the timeout of the first, 5 s, before it asks the next.',
      change: fieldChange(group, 'nameservers', `Start the cache again, or remove ${first}`),
    },
  ];
}

/**
 * Finds Pods that were redirected to a cache which is not ready, where that costs them no time: musl asks all servers at once, and the
 * others ask the cluster DNS first. What it costs them is the remedy.
 */
function redirectedToDead(group: DecidedGroup, context: FindingContext): FindingDraft[] {
  const { servers } = group.resolvConf.before;
  const { nodeLocal } = context.cluster;
  const dead = servers.find((server) => isLinkLocal(server) && !isAnswering(server, context));
  if (context.applied?.remedy.includes('redirect') !== true) return [];
  if (dead === undefined || nodeLocal === 'unknown' || deadFirst(group, context).length > 0) return [];
  const state = nodeLocal === 'absent' ? 'no node-local DNS cache runs' : 'the node-local DNS cache is not ready';
  return [
    {
      code: 'RedirectedToDeadCache',
      severity: 'warning',
      what: `The Pods were redirected to ${dead}, and ${state}.`,
      why: 'Names resolve by the cluster DNS, but over the translated path again: a lost packet costs what it did before the redirect.',
      change: `Run the cache again, or recreate the Pods: ${restart(group.group.owner)}`,
    },
  ];
}

/** Under ClusterFirst the kubelet appends dnsConfig.nameservers to its own (pkg/kubelet/network/dns). */
function appended(group: DecidedGroup): FindingDraft[] {
  const { pod } = group;
  const local = pod.dnsConfig.nameservers.find(isLinkLocal);
  if (local === undefined || pod.dnsPolicy === 'None' || pod.dnsPolicy === 'Default') return [];
  const [first] = group.resolvConf.before.servers;
  if (first === undefined || first === local) return [];
  return [
    {
      code: 'NodeLocalAppended',
      severity: 'warning',
      what: `The Pods name ${local} under dnsPolicy ${pod.dnsPolicy}, which puts it behind ${first}.`,
      why: 'glibc and Go ask in order, so it is asked only when the cluster DNS is silent; musl asks all, so the cluster DNS still gets every question.',
      change: fieldChange(
        group,
        'nameservers',
        `Redirect with dnsPolicy None, which then needs nameservers, searches and ndots too, or remove ${local}`,
      ),
    },
  ];
}

/** While the cache restarts after a crash or a roll-out (5 to 10 s), no other nameserver can answer. */
function cacheAlone({ pod, group, resolvConf }: DecidedGroup): FindingDraft[] {
  const { servers } = resolvConf.before;
  const [first] = servers;
  if (pod.dnsPolicy !== 'None' || first === undefined || !servers.every(isLinkLocal)) return [];
  return [
    {
      code: 'NodeLocalAlone',
      severity: 'warning',
      what: `The Pods ask only ${servers.join(' and ')}.`,
      why: 'While the node-local DNS cache is rolled out (5 to 10 s) or after it has crashed, every look-up on that node fails.',
      change: `Add the address of the cluster DNS as the last of ${fieldOf(group.owner, 'dnsConfig.nameservers')}, or let nodeLocal.fallback be true where the webhook wrote it.`,
    },
  ];
}

/** Under dnsPolicy None the kubelet adds nothing: a Pod that names servers must list the cluster's searches too. */
function missingSearches(group: DecidedGroup, { cluster }: FindingContext): FindingDraft[] {
  const { pod, resolvConf } = group;
  const { servers, searches } = resolvConf.before;
  const asksCluster = servers.some((server) => cluster.dns.includes(server) || isLinkLocal(server));
  if (pod.dnsPolicy !== 'None' || !asksCluster || cluster.domain === '') return [];
  const wanted = [`${group.group.owner.namespace}.svc.${cluster.domain}`, `svc.${cluster.domain}`, cluster.domain];
  const missing = wanted.filter((search) => !searches.includes(search));
  if (missing.length === 0) return [];
  return [
    {
      code: 'SearchesMissing',
      severity: missing[0] === wanted[0] ? 'error' : 'warning',
      what: `The Pods have dnsPolicy None and ask the cluster DNS, without the search ${missing.join(', ')}.`,
      why: 'Short names of Services (api, api.infra) are not found, since under None the kubelet adds no searches.',
      change: `Write ${wanted.join(', ')} in ${fieldOf(group.group.owner, 'dnsConfig.searches')}.`,
    },
  ];
}

/** The kubelet writes at most three nameservers (core/v1 MaxDNSNameservers). */
function tooMany(group: DecidedGroup): FindingDraft[] {
  const { pod, resolvConf } = group;
  const { servers } = resolvConf.before;
  const cut = pod.dnsConfig.nameservers.filter((address) => !servers.includes(address));
  if (cut.length === 0 || servers.length < 3) return [];
  return [
    {
      code: 'TooManyNameservers',
      severity: 'warning',
      what: `The Pods name more nameservers than a resolv.conf holds: ${cut.join(', ')} is left out.`,
      why: 'The kubelet writes the first three and drops the rest with an event that few see.',
      change: fieldChange(group, 'nameservers', `Take out ${cut.join(', ')}, or one of the others`),
    },
  ];
}

/** Returns the problems with the nameservers and searches of a Pod. */
export function serverFindings(group: DecidedGroup, context: FindingContext): FindingDraft[] {
  return [
    ...deadFirst(group, context),
    ...redirectedToDead(group, context),
    ...appended(group),
    ...cacheAlone(group),
    ...missingSearches(group, context),
    ...tooMany(group),
  ];
}
