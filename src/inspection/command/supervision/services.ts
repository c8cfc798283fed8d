import { baseName, type Invocation, joinPath } from '../invocation.ts';
import { afterDashes } from '../launchers/launchers.ts';

/** What is found in the image around a supervisor. */
export interface Surroundings {
  /** Returns the text of a file; undefined if it is not there or not known. */
  readonly text: (path: string) => string | undefined;
  /** Returns the files that match `DIRECTORY/*END`, and whether there may be more of them. */
  readonly files: (directory: string, end: string) => { readonly paths: readonly string[]; readonly complete: boolean };
}

/** The services that a supervisor starts. */
export interface Services {
  readonly commands: readonly (readonly string[])[];
  /** What it runs to its end before. */
  readonly before: readonly (readonly string[])[];
  /** Why there may be others; undefined if these are all. */
  readonly missing: string | undefined;
  /** The supervisor serves the network itself. */
  readonly isOne?: true;
}

/* Supervisors whose services are directories: `DIRECTORY/NAME/run`. */

const slashes = (path: string): number => path.split('/').length;

/** Returns the paths `DIRECTORY/*END`, and whether there may be more. */
function within(directory: string, end: string, { files }: Surroundings): ReturnType<Surroundings['files']> {
  const found = files(directory, end);
  const depth = slashes(joinPath(directory, `*${end}`));
  return { ...found, paths: found.paths.filter((path) => slashes(path) === depth) };
}

const missingMore = (name: string): string => `${name}: may start services that are out of reach`;

/** Services as daemontools has them. */
function serviceDirectories(directories: readonly string[], around: Surroundings, name: string): Services {
  const found = directories.map((directory) => within(directory, '/run', around));
  const commands = found.flatMap(({ paths }) => paths.map((path) => [path]));
  const isWhole = found.every((one) => one.complete);
  return { commands, before: [], missing: isWhole ? undefined : missingMore(name) };
}

/** Adds a command that a supervisor is given. Without any service, they are put together at run time. */
function withCommand(services: Services, command: readonly string[], name: string): Services {
  const commands = command.length === 0 ? services.commands : [command, ...services.commands];
  return { ...services, commands, missing: commands.length === 0 ? missingMore(name) : services.missing };
}

/** Runs `DIRECTORY/*` one after the other, before the services. */
function startFiles(directories: readonly string[], around: Surroundings): Services['before'] {
  return directories.flatMap((directory) => within(directory, '', around).paths.map((path) => [path]));
}

export function readRunsvdir({ argv, directory: from }: Invocation, around: Surroundings): Services {
  const directory = argv.slice(1).find((word) => !word.startsWith('-')) ?? '/etc/service';
  const name = baseName(argv[0] ?? '');
  return withCommand(serviceDirectories([joinPath(from, directory)], around, name), [], name);
}

export const readRunsvdirStart = (_: Invocation, around: Surroundings): Services =>
  withCommand(serviceDirectories(['/etc/service'], around, 'runsvdir'), [], 'runsvdir');

/** runit(8): /etc/runit/1, then /etc/runit/2, which starts the services. */
export const readRunit = (): Services => ({
  commands: [['/etc/runit/2']],
  before: [['/etc/runit/1']],
  missing: undefined,
});

// phusion/baseimage: my_init [options] [-- COMMAND]; before it runs /etc/my_init.d, beside it what /etc/service holds.
export function readMyInit({ argv }: Invocation, around: Surroundings): Services {
  const words = argv.slice(1);
  const first = words.findIndex((word) => !word.startsWith('-'));
  const command = afterDashes(words) ?? (first === -1 ? [] : words.slice(first));
  const none: Services = { commands: [], before: [], missing: undefined };
  const services = words.includes('--skip-runit') ? none : serviceDirectories(['/etc/service'], around, 'my_init');
  const before = words.includes('--skip-startup-files') ? [] : startFiles(['/etc/my_init.d'], around);
  return withCommand({ ...services, before }, command, 'my_init');
}

const definitions = '/etc/s6-overlay/s6-rc.d';
const legacy = '/etc/services.d';

/** Reports whether the image has services of s6-overlay. */
export const hasS6 = (around: Surroundings): boolean =>
  [definitions, legacy].some((directory) => around.files(directory, '/run').paths.length > 0);

/**
 * https://github.com/just-containers/s6-overlay: /init [COMMAND], beside the services. A `oneshot` of s6-rc runs its `up` before
 * them, and so does /etc/cont-init.d.
 */
export function readS6({ argv }: Invocation, around: Surroundings): Services {
  const services = serviceDirectories([definitions, legacy], around, 's6-overlay');
  const isOneshot = (path: string): boolean => around.text(path.replace(/run$/u, 'type'))?.trim() === 'oneshot';
  const oneshots = within(definitions, '/up', around).paths.map((path) => ['execlineb', '-P', path]);
  const before = [...oneshots, ...startFiles(['/etc/cont-init.d'], around)];
  const commands = services.commands.filter(([path = '']) => !isOneshot(path));
  return withCommand({ ...services, commands, before }, argv.slice(1), 's6-overlay');
}
