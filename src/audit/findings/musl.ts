import type { ContainerVerdict } from '../../policy/model.ts';
import { MUSL_LINE } from '../../policy/redirect.ts';
import { mayResolveWith, resolverName } from '../../policy/verdict.ts';
import { readByMusl } from '../../resolv-conf/resolvers.ts';
import type { DecidedGroup, FindingContext } from '../decided.ts';
import { fieldChange, type FindingDraft, optionChange, optionValue } from './places.ts';

const muslContainers = ({ containers }: DecidedGroup): readonly ContainerVerdict[] =>
  containers.filter((one) => mayResolveWith(one, 'musl'));

const IGNORED_BY_MUSL = /^(single-request|single-request-reopen|use-vc|rotate)$/;

/** musl applies `timeout` to the whole look-up (docs/evidence.md); less than its default of 5 s loses answers. */
function shortTimeout(group: DecidedGroup): FindingDraft[] {
  const value = optionValue(group.resolvConf.before.options, 'timeout');
  if (value === undefined || !/^[1-4](\D|$)/.test(value)) return [];
  const seconds = Number(value[0]);
  return muslContainers(group).map(({ name }) => ({
    code: 'MuslShortTimeout',
    severity: seconds === 1 ? 'error' : 'warning',
    container: name,
    what: `${name} resolves with musl, and the Pod has timeout:${seconds}.`,
    why: `musl counts timeout for the whole look-up, not for each try: an answer that takes longer than ${seconds} s is lost, and the look-up fails.`,
    change: optionChange(group, 'timeout', 'Remove timeout, or set it to 5 with attempts:10'),
  }));
}

function zero(group: DecidedGroup, name: 'attempts' | 'timeout'): FindingDraft[] {
  const value = optionValue(group.resolvConf.before.options, name);
  if (value === undefined || !/^0+(\D|$)/.test(value)) return [];
  const hurt = group.containers.filter((one) => mayResolveWith(one, 'musl') || mayResolveWith(one, 'unknown'));
  const effect =
    name === 'attempts'
      ? 'musl divides by attempts: the program ends with SIGFPE at its first look-up.'
      : 'musl gives a look-up no time at all: every one fails at once.';
  return hurt.map((one) => ({
    code: name === 'attempts' ? 'AttemptsZero' : 'TimeoutZero',
    severity: one.resolver === 'musl' ? 'error' : 'warning',
    container: one.name,
    what: `${one.name} ${one.resolver === 'musl' ? 'resolves with musl' : 'may resolve with musl'}, and the Pod has ${name}:0.`,
    why: effect,
    change: optionChange(group, name, `Remove ${name}`),
  }));
}

/** musl never applies the search list to a name with at least `ndots` dots (resolvconf.c, lookup_name.c). */
function loweredNdots(group: DecidedGroup, { cluster }: FindingContext): FindingDraft[] {
  const { before } = group.resolvConf;
  const { ndots, searches } = readByMusl(before);
  if (ndots > 2 || !searches.some((search) => search.startsWith('svc.') || search === cluster.domain)) return [];
  const lost = ndots <= 1 ? '<service>.<namespace>' : '<service>.<namespace>.svc';
  const setting = before.options.some((option) => option.startsWith('ndots:'))
    ? `the Pod has ndots:${ndots}`
    : 'dnsPolicy None without ndots means ndots:1';
  return muslContainers(group).map(({ name }) => ({
    code: 'MuslNdotsLowered',
    severity: ndots <= 1 ? 'error' : 'warning',
    container: name,
    what: `${name} resolves with musl, and ${setting}.`,
    why: `musl never searches for a name with that many dots: ${lost} is not found, where glibc would find it.`,
    change: optionChange(group, 'ndots', 'Set ndots to 5, and end names outside the cluster with a dot'),
  }));
}

/** musl skips lines that do not fit into its buffer of 256 bytes (resolvconf.c). */
function longSearch(group: DecidedGroup): FindingDraft[] {
  const { before } = group.resolvConf;
  if (before.searches.length === 0 || readByMusl(before).searches.length > 0) return [];
  const bytes = `search ${before.searches.join(' ')}`.length;
  return muslContainers(group).map(({ name }) => ({
    code: 'MuslSearchTooLong',
    severity: 'error',
    container: name,
    what: `${name} resolves with musl, and the search line of the Pod has ${bytes} bytes.`,
    why: 'musl ignores a line of more than 254 bytes whole: no short name of a Service is found.',
    change: fieldChange(group, 'searches', 'Remove search domains until the search line has at most 254 bytes'),
  }));
}

/** The webhook adds nothing that would make the line too long (`OptionsTooLong`): the Pod stays exposed. */
function longOptions(group: DecidedGroup): FindingDraft[] {
  const bytes = `options ${group.resolvConf.before.options.join(' ')}`.length;
  const isTooLong = bytes > MUSL_LINE;
  const mayHoldMusl = group.containers.some((one) => mayResolveWith(one, 'musl') || mayResolveWith(one, 'unknown'));
  if (!mayHoldMusl || (!isTooLong && group.decision.reason !== 'OptionsTooLong')) return [];
  const outgrown = 'has room for no more options';
  const ignored =
    'musl ignores a line of more than 254 bytes whole: ndots, timeout and attempts are its defaults again, and short names of Services may not be found.';
  return [
    {
      code: 'MuslOptionsTooLong',
      severity: isTooLong ? 'error' : 'warning',
      what: `The options line of the Pod has ${bytes} bytes${isTooLong ? '' : `, and ${outgrown}`}, and musl is or may be in it.`,
      why: isTooLong ? ignored : "With the webhook's options musl would ignore the line, so the webhook adds nothing.",
      change: fieldChange(group, 'options', 'Remove options until the options line is well below 254 bytes'),
    },
  ];
}

/**
 * Reports only options that the webhook did not write. Its own options are for the Pod's other containers, or were given while
 * the resolver was unknown.
 */
function ignoredOptions(group: DecidedGroup, { applied }: FindingContext): FindingDraft[] {
  const ignored = group.pod.dnsConfig.options.map(({ name }) => name).filter((name) => IGNORED_BY_MUSL.test(name));
  const isAlone = group.containers.every((one) => resolverName(one) === 'musl');
  if (applied !== undefined || ignored.length === 0 || !isAlone) return [];
  const [first = ''] = ignored;
  const names = ignored.join(', ');
  return [
    {
      code: 'OptionsIgnoredByMusl',
      severity: 'info',
      what: `All containers resolve with musl, which ignores ${names}.`,
      why: 'They gain nothing: A and AAAA still leave at once, and a lost one costs 2.5 s.',
      change: optionChange(group, first, `Replace ${names} with timeout:5 and attempts:10, or let the webhook decide`),
    },
  ];
}

/** Returns the DNS settings of a Pod that break or slow down musl. */
export function muslFindings(group: DecidedGroup, context: FindingContext): FindingDraft[] {
  return [
    ...shortTimeout(group),
    ...zero(group, 'attempts'),
    ...zero(group, 'timeout'),
    ...loweredNdots(group, context),
    ...longSearch(group),
    ...longOptions(group),
    ...ignoredOptions(group, context),
  ];
}
