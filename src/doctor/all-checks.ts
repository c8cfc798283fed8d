import { dnsChecks } from './dns/checks.ts';
import type { Evidence } from './evidence.ts';
import { faultChecks } from './fault/checks.ts';
import type { Check } from './run.ts';
import { surroundingsChecks } from './surroundings/checks.ts';
import { webhookChecks } from './webhook/checks.ts';

/** Returns all checks, in the order of the output. */
export function allChecks(evidence: Evidence): readonly Check[] {
  return [
    ...faultChecks(evidence),
    ...dnsChecks(evidence),
    ...webhookChecks(evidence),
    ...surroundingsChecks(evidence),
  ];
}

const named = (names: readonly string[], { id, group }: Check): boolean => names.includes(id) || names.includes(group);

/** Keeps the checks whose id or group is in `only` (all if it is empty) and not in `skip`. */
export function chooseChecks(
  checks: readonly Check[],
  only: readonly string[],
  skip: readonly string[],
): readonly Check[] {
  return checks.filter((check) => (only.length === 0 || named(only, check)) && !named(skip, check));
}
