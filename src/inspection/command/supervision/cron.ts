import { baseName, type Invocation, joinPath } from '../invocation.ts';
import type { Services, Surroundings } from './services.ts';

/* Programs that start jobs at times which crontabs give. */

interface Cron {
  /** Directories of crontabs. `system`: their lines name a user before the command. */
  readonly directories: readonly { readonly path: string; readonly system: boolean }[];
  /** The directory option (`crond -c DIRECTORY`). */
  readonly option?: string;
}

// busybox's, dcron's and cronie's crond; Debian's cron(8).
const crond: Cron = {
  directories: [
    { path: '/etc/crontabs', system: false },
    { path: '/var/spool/cron', system: false },
    { path: '/etc/cron.d', system: true },
  ],
  option: '-c',
};

/**
 * Returns the jobs of a cron. It looks up no names itself, so it counts only if no job is known: crontabs are often written while the
 * container starts.
 */
export function readCron({ argv, directory }: Invocation, around: Surroundings): Services {
  const name = baseName(argv[0] ?? '');
  const at = name === 'crond' ? argv.indexOf(crond.option ?? '') : -1;
  const given = at === -1 ? undefined : argv[at + 1];
  const places = given === undefined ? crond.directories : [{ path: joinPath(directory, given), system: false }];
  const listed = places.map(({ path, system }) => ({ found: around.files(path, ''), system }));
  const files = listed.flatMap(({ found: { paths }, system }) =>
    paths.map((file) => ({ text: around.text(file) ?? '', system })),
  );
  const table = { text: around.text('/etc/crontab') ?? '', system: true };
  const commands = [...files, table].flatMap(({ text, system }) => jobsIn(text, system ? 1 : 0));
  const isOpen = commands.length === 0 && listed.some(({ found }) => !found.complete);
  const missing = isOpen ? `${name}: may start jobs that are out of reach` : undefined;
  return { commands: commands.slice(0, mostJobs), before: [], missing };
}

/** https://github.com/aptible/supercronic: `supercronic [options] CRONTAB`. It resolves no names but to report errors. */
export function readSupercronic({ argv, directory }: Invocation, around: Surroundings): Services | undefined {
  const path = argv.slice(1).findLast((word) => !word.startsWith('-'));
  if (path === undefined) return undefined;
  const text = around.text(joinPath(directory, path));
  const missing = text === undefined ? `${baseName(argv[0] ?? '')}: ${path} is out of reach` : undefined;
  return { commands: jobsIn(text ?? '', 0).slice(0, mostJobs), before: [], missing };
}

const mostJobs = 32;
const field = String.raw`(?:[\d*,/~?#LW-]{1,40}|[A-Za-z]{3}(?:[,-][A-Za-z]{3}){0,6})`;

/** Returns the commands of a crontab's lines (crontab(5)). `words`: words between the times and the command. */
function jobsIn(text: string, words: number): readonly (readonly string[])[] {
  // supercronic takes seconds before and years behind.
  const times = String.raw`(?:@\w{1,20}|(?:${field}[ \t]+){4}${field}(?:[ \t]+[\d*,/?-]{1,40}(?=[ \t])){0,2})`;
  const line = new RegExp(
    String.raw`^[ \t]*${times}[ \t]+${String.raw`\S+[ \t]+`.repeat(words)}(?<command>\S.*)$`,
    'u',
  );
  return text
    .slice(0, 64 * 1024)
    .split('\n')
    .flatMap((one) => line.exec(one.slice(0, 2048))?.groups?.['command'] ?? [])
    .map((command) => ['/bin/sh', '-c', command.replaceAll('\\%', '%')]);
}
