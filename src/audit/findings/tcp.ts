import type { DecidedGroup, FindingContext } from '../decided.ts';
import { type FindingDraft, optionChange } from './places.ts';

const USE_VC = 'use-vc';

/** glibc has no connect timeout (docs/evidence.md). */
const COST = 'Over TCP glibc waits until the kernel gives the connection up, more than two minutes for each look-up.';

/** Of all resolvers only musl ignores `use-vc`. */
function obeysUseVc({ containers }: DecidedGroup): boolean {
  return containers.some(({ resolver }) => resolver !== 'musl');
}

/** Finds `use-vc` that the Pods have, or would be given, although the cluster DNS cannot be reached over TCP. */
export function tcpFindings(group: DecidedGroup, { cluster, tcpBlockedBy }: FindingContext): FindingDraft[] {
  const { before, after } = group.resolvConf;
  if (!obeysUseVc(group)) return [];
  if (before.options.includes(USE_VC)) {
    if (cluster.dnsOverTcp && tcpBlockedBy === undefined) return [];
    const cause = tcpBlockedBy === undefined ? 'the cluster DNS does not answer over TCP' : blocked(tcpBlockedBy);
    const remedy = tcpBlockedBy === undefined ? '' : ` Or allow TCP 53 in NetworkPolicy ${tcpBlockedBy}.`;
    return [
      {
        code: 'UseVcWithoutTcp',
        severity: 'error',
        what: `The Pods have use-vc, and ${cause}.`,
        why: COST,
        change: `${optionChange(group, USE_VC, 'Remove use-vc')}${remedy}`,
      },
    ];
  }
  if (tcpBlockedBy === undefined || !after.options.includes(USE_VC)) return [];
  return [
    {
      code: 'TcpBlockedByPolicy',
      severity: 'warning',
      what: `The webhook would give the Pods use-vc, and ${blocked(tcpBlockedBy)}.`,
      why: COST,
      change: `Allow TCP 53 beside UDP 53 in NetworkPolicy ${tcpBlockedBy} before the namespace enforces.`,
    },
  ];
}

const blocked = (policy: string): string => `NetworkPolicy ${policy} allows DNS over UDP alone`;
