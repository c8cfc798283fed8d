import { CGO, GLIBC, GO, MUSL, type Case } from '../cases.ts';

/**
 * The images that are pulled most, rebuilt in small: their entry points as their public Dockerfiles have them, scripts written
 * anew in the same shapes, a small server in each program's place.
 */

export const RUN: string = '#!/bin/sh\nset -e\n';
export const BASH: string = '#!/bin/bash\nset -eo pipefail\n';
export const OWN_USER = (program: string, become: string, again = '"$0"'): string =>
  `if [ "$1" = '${program}' ] && [ "$(id -u)" = '0' ]; then\n  exec ${become} ${again} "$@"\nfi\n`;
export const OPTIONS_FIRST = (program: string): string =>
  `if [ "\${1#-}" != "$1" ]; then\n  set -- ${program} "$@"\nfi\n`;
export const EXEC: string = 'exec "$@"\n';
const entry = 'usr/local/bin/docker-entrypoint.sh';
const script = ['docker-entrypoint.sh'];

type Program = `@${'glibc' | 'musl' | 'go' | 'cgo' | 'musl-static'}`;

/** An image with an entry point script that execs its arguments. */
export function scripted(
  [name, on]: readonly [string, Case['on']],
  [path, program]: readonly [string, Program],
  text: string,
  cmd: readonly string[],
  more: Partial<Case> = {},
): Case {
  const truth = { '@glibc': GLIBC, '@musl': MUSL, '@go': GO, '@cgo': CGO, '@musl-static': MUSL }[program];
  const files = { [path]: program, [entry]: text, ...more.files };
  return { name, trap: `the shape of ${name}`, on, truth, entrypoint: script, cmd, ...more, files };
}
