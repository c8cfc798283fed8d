import { mayResolveWith, resolversOf } from '../../policy/verdict.ts';
import { type AppliedDecision, type DecidedGroup, type FindingContext, lostPatch } from '../decided.ts';
import { type FindingDraft, restart } from './places.ts';

function undone({ group: { owner } }: DecidedGroup, { remedy }: AppliedDecision): FindingDraft {
  return {
    code: 'PatchUndone',
    severity: 'error',
    what: `The webhook gave the Pods ${remedy.join(' and ')}, which they no longer have.`,
    why: 'Another webhook that was called later replaced dnsConfig instead of adding to it.',
    change: `Find it (kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies), keep it from namespace ${owner.namespace}, then: ${restart(owner)}`,
  };
}

function nowKnown({ containers, group: { owner } }: DecidedGroup): FindingDraft {
  const resolvers = [...new Set(containers.flatMap(resolversOf))].join(', ');
  return {
    code: 'UnknownNowDecided',
    severity: 'warning',
    what: `The Pods were admitted while a resolver was not known; it is known now: ${resolvers}.`,
    why: 'They run with the options that glibc obeys and musl ignores, and a Pod keeps its DNS settings for life.',
    change: restart(owner),
  };
}

function stale({ decision, group: { owner } }: DecidedGroup, { reason }: AppliedDecision): FindingDraft {
  return {
    code: 'StaleDecision',
    severity: 'info',
    what: `The Pods were admitted with ${reason}; today they would get more: ${decision.reason}.`,
    why: 'The image, the cluster or the configuration has changed since, and a Pod keeps its DNS settings for life.',
    change: restart(owner),
  };
}

function aboutApplied(group: DecidedGroup, applied: AppliedDecision, config: FindingContext['config']): FindingDraft[] {
  if (lostPatch(group.pod, applied, config) !== undefined) return [undone(group, applied)];
  if (group.decision.change === undefined) return [];
  const stillUnknown = group.containers.some((one) => mayResolveWith(one, 'unknown'));
  const nowDecided = applied.reason === 'UnknownOptions' && !stillUnknown;
  return [nowDecided ? nowKnown(group) : stale(group, applied)];
}

/** Returns patches that were overwritten or are out of date, and invalid labels and annotations of ours. */
export function ownFindings(group: DecidedGroup, { applied, config }: FindingContext): FindingDraft[] {
  const invalid = group.warnings.map((warning): FindingDraft => ({
    code: 'InvalidAnnotation',
    severity: 'info',
    what: `${warning}.`,
    why: 'An invalid value is ignored, as if it were absent.',
    change: 'Write a valid value, or remove it.',
  }));
  return applied === undefined ? invalid : [...aboutApplied(group, applied, config), ...invalid];
}
