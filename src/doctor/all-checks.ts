import { dnsChecks } from './dns/checks.ts';
import type { Sight } from './evidence.ts';
import { faultChecks } from './fault/checks.ts';
import type { Check } from './run.ts';
import { surroundingsChecks } from './surroundings/checks.ts';
import { webhookChecks } from './webhook/checks.ts';

/** All checks, in the order of the output. */
export function allChecks(sight: Sight): readonly Check[] {
  return [...faultChecks(sight), ...dnsChecks(sight), ...webhookChecks(sight), ...surroundingsChecks(sight)];
}

const named = (names: readonly string[], { id, group }: Check): boolean => names.includes(id) || names.includes(group);

/** Chooses by id or group: those of `only` (all where it is empty), without those of `skip`. */
export function chooseChecks(
  checks: readonly Check[],
  only: readonly string[],
  skip: readonly string[],
): readonly Check[] {
  return checks.filter((check) => (only.length === 0 || named(only, check)) && !named(skip, check));
}
