import type { ContainerVerdict, ResolvConf } from './model.ts';
import { MUSL_LINE } from './redirect.ts';

/** The number in an option of resolv.conf, which musl reads with strtoul: the last of several. */
function numberOf(options: readonly string[], name: string): number | undefined {
  const digits = options.findLast((option) => option.startsWith(`${name}:`))?.slice(name.length + 1);
  return digits === undefined || !/^\d/.test(digits) ? undefined : Number.parseInt(digits, 10);
}

/**
 * Warns about DNS settings that break musl and that stay, because what the user wrote wins: a sentence for each. `file` is the
 * resolv.conf as the kubelet writes it for the Pod as it is. musl 1.2.6, resolvconf.c and res_msend.c.
 */
export function muslWarnings(containers: readonly ContainerVerdict[], file: () => ResolvConf): string[] {
  const names = containers.filter(({ resolver }) => resolver === 'musl').map(({ name }) => name);
  if (names.length === 0) return [];
  const { options, searches } = file();
  const where = `musl (${names.join(', ')})`;
  const warnings: string[] = [];
  if (numberOf(options, 'attempts') === 0) {
    warnings.push(
      `attempts:0 ends every program of ${where} that resolves a name (SIGFPE): remove it, or set 1 or more`,
    );
  }
  const bytes = `search ${searches.join(' ')}`.length;
  if (bytes > MUSL_LINE) {
    warnings.push(
      `the search line has ${bytes} bytes, and ${where} skips one of more than ${MUSL_LINE}: no short name is found`,
    );
  }
  return warnings;
}
