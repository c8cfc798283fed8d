import type { ContainerVerdict, ResolvConf } from './model.ts';
import { MUSL_LEAST_TIMEOUT } from './options.ts';
import { MUSL_LINE } from './redirect.ts';
import { mayResolveWith, resolversOf } from './verdict.ts';

/**
 * Warns about DNS settings that break musl and that we keep because the user wrote them (musl 1.2.6, resolvconf.c and
 * res_msend.c). `file` returns the resolv.conf that the kubelet writes for the unpatched Pod.
 */
export function muslWarnings(containers: readonly ContainerVerdict[], file: () => ResolvConf): string[] {
  const names = containers.filter((one) => mayResolveWith(one, 'musl')).map(({ name }) => name);
  if (names.length === 0) return [];
  const { options, searches } = file();
  const where = `musl (${names.join(', ')})`;
  const warnings: string[] = [];
  if (numberOf(options, 'attempts') === 0) {
    warnings.push(
      `attempts:0 ends every program of ${where} that resolves a name (SIGFPE): remove it, or set 1 or more`,
    );
  }
  if (numberOf(options, 'timeout') === 0) {
    warnings.push(`timeout:0 fails every look-up of ${where} at once: remove it, or set 5 or more`);
  }
  const skipped = (line: string, words: readonly string[], effect: string): void => {
    const bytes = `${line} ${words.join(' ')}`.length;
    if (bytes > MUSL_LINE) {
      warnings.push(`the ${line} line has ${bytes} bytes, and ${where} skips one of more than ${MUSL_LINE}: ${effect}`);
    }
  };
  skipped('search', searches, 'no short name is found');
  skipped('options', options, 'ndots, timeout and attempts have no effect');
  return warnings;
}

/**
 * Warns about a `use-vc` that stays in the Pod although the policy `by` keeps it from its nameservers over TCP. Of all
 * resolvers only musl ignores `use-vc`. Empty if no policy can be named.
 */
export function tcpWarnings(containers: readonly ContainerVerdict[], by: string | undefined): string[] {
  const names = containers
    .filter((one) => resolversOf(one).some((resolver) => resolver !== 'musl'))
    .map(({ name }) => name);
  if (by === undefined || names.length === 0) return [];
  return [
    `use-vc sends the look-ups of ${names.join(', ')} over TCP, and ${by} may block them: allow TCP 53, or remove use-vc`,
  ];
}

/**
 * Says when musl sends a lost packet again, in a sentence to append; empty if `attempts:0` or `timeout:0` breaks it. It sends
 * a query `attempts` times within `timeout` seconds, with 60 and 10 as the most (musl 1.2.6, resolvconf.c and res_msend.c).
 */
export function resendingOf(options: readonly string[]): string {
  const timeout = Math.min(numberOf(options, 'timeout') ?? 5, 60);
  const attempts = Math.min(numberOf(options, 'attempts') ?? 2, 10);
  if (timeout === 0 || attempts === 0) return '';
  const again = attempts === 1 ? 'never again' : `again after ${Number((timeout / attempts).toFixed(2))} s`;
  const failing = timeout < MUSL_LEAST_TIMEOUT ? `, and fails after ${timeout} s` : '';
  return ` musl sends a lost packet ${again}${failing}.`;
}

/** Returns the number in the last option of this name, as musl reads it (strtoul); undefined if there is none. */
function numberOf(options: readonly string[], name: string): number | undefined {
  const digits = options.findLast((option) => option.startsWith(`${name}:`))?.slice(name.length + 1);
  return digits === undefined || !/^\d/.test(digits) ? undefined : Number.parseInt(digits, 10);
}
