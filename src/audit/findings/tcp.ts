import type { DecidedGroup, FindingContext } from '../decided.ts';
import { optionChange, type Said } from './places.ts';

const USE_VC = 'use-vc';

/** Minutes: glibc has no connect timeout (docs/evidence.md). */
const COST = 'Over TCP glibc waits until the kernel gives the connection up, more than two minutes for each look-up.';

function obedient({ containers }: DecidedGroup): boolean {
  return containers.some(({ resolver }) => resolver !== 'musl');
}

/** `use-vc` where no TCP leads to the DNS, as it is, or as it would be. */
export function tcpFindings(group: DecidedGroup, { cluster, tcpBlockedBy }: FindingContext): Said[] {
  const { before, after } = group.resolvConf;
  if (!obedient(group)) return [];
  if (before.options.includes(USE_VC)) {
    if (cluster.dnsOverTcp && tcpBlockedBy === undefined) return [];
    const why = tcpBlockedBy === undefined ? 'the cluster DNS does not answer over TCP' : blocked(tcpBlockedBy);
    const cure = tcpBlockedBy === undefined ? '' : ` Or allow TCP 53 in NetworkPolicy ${tcpBlockedBy}.`;
    return [
      {
        code: 'UseVcWithoutTcp',
        severity: 'error',
        what: `The Pods have use-vc, and ${why}.`,
        why: COST,
        change: `${optionChange(group, USE_VC, 'Remove use-vc')}${cure}`,
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
