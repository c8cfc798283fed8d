import { resolverName } from '../../policy/verdict.ts';
import type { DecidedGroup, FindingContext } from '../decided.ts';
import { type FindingDraft, optionChange, restart } from './places.ts';

const USE_VC = 'use-vc';

/** glibc has no connect timeout (docs/evidence.md). */
const COST = 'glibc waits until the kernel gives up the TCP connection, more than two minutes for each look-up.';

/** Of all resolvers only musl ignores `use-vc`. */
function obeysUseVc({ containers }: DecidedGroup): boolean {
  return containers.some((one) => resolverName(one) !== 'musl');
}

/** Finds `use-vc` that the Pods have, or would be given, although the cluster DNS cannot be reached over TCP. */
export function tcpFindings(group: DecidedGroup, context: FindingContext): FindingDraft[] {
  const obstacle = obeysUseVc(group) ? obstacleOf(group, context) : undefined;
  if (obstacle === undefined) return [];
  const { what, certain, policy } = obstacle;
  const { before, after } = group.resolvConf;
  if (before.options.includes(USE_VC)) {
    return [
      {
        code: 'UseVcWithoutTcp',
        severity: certain ? 'error' : 'warning',
        what: `The Pods have use-vc, and ${what}.`,
        why: COST,
        change: cureOf(group, obstacle, context),
      },
    ];
  }
  if (policy === undefined) return [];
  const allow = `Allow TCP 53 as well as UDP 53 in ${policy}`;
  if (after.options.includes(USE_VC)) {
    return [
      {
        code: 'TcpBlockedByPolicy',
        severity: 'warning',
        what: `The webhook would give the Pods use-vc, and ${what}.`,
        why: COST,
        change: `${allow} before the namespace enforces, or set networkPolicies: true.`,
      },
    ];
  }
  if (group.decision.reason !== 'TcpNotAllowed') return [];
  return [
    {
      code: 'TcpBlockedByPolicy',
      severity: 'info',
      what: `The webhook leaves use-vc out: ${what}.`,
      why: COST,
      change: `Nothing: DNS works without it. For use-vc: ${allow}.`,
    },
  ];
}

/** What keeps Pods from DNS over TCP. */
interface Obstacle {
  /** A clause. */
  readonly what: string;
  readonly certain: boolean;
  /** Undefined if it is the cluster DNS itself. */
  readonly policy: string | undefined;
}

function obstacleOf({ reach }: DecidedGroup, { cluster }: FindingContext): Obstacle | undefined {
  const { dnsTcp, dnsUdp } = reach;
  const by = reach.by?.dnsTcp;
  // Pods without any DNS have another fault.
  if (dnsTcp !== 'allowed' && dnsUdp !== 'denied' && by !== undefined) {
    const certain = dnsTcp === 'denied';
    const what = certain ? `${by} allows DNS over UDP alone` : `${by} may keep them from DNS over TCP`;
    return { what, certain, policy: by };
  }
  if (cluster.dnsOverTcp) return undefined;
  return { what: 'the cluster DNS does not answer over TCP', certain: true, policy: undefined };
}

function cureOf(group: DecidedGroup, obstacle: Obstacle, context: FindingContext): string {
  const { policy } = obstacle;
  const allow = policy === undefined ? [] : [`Allow TCP 53 in ${policy}.`];
  if (!isOurs(group, context)) return [optionChange(group, USE_VC, 'Remove use-vc'), ...allow].join(' Or: ');
  const anew = isGivenAgain(obstacle, context)
    ? 'Remove use-vc from glibc.options and recreate the Pods'
    : 'Recreate the Pods: the webhook no longer gives them use-vc';
  return [...allow, `${anew}: ${restart(group.group.owner)}`].join(' Or: ');
}

/** Reports whether the webhook gave the option: the workload's template does not have it. */
function isOurs({ group: { template } }: DecidedGroup, { applied }: FindingContext): boolean {
  const isWritten = template?.dnsConfig.options.some(({ name }) => name === USE_VC) === true;
  return applied?.remedy.includes('options') === true && !isWritten;
}

/** Reports whether the webhook would give the option to the next Pod all the same. */
function isGivenAgain({ policy }: Obstacle, { config, respected }: FindingContext): boolean {
  return policy === undefined ? !config.glibc.tcpPreflight : !respected;
}
