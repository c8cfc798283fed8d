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
const entrypoint = ['docker-entrypoint.sh'];

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
  return { name, trap: `the shape of ${name}`, on, truth, entrypoint, cmd, ...more, files };
}

/** An application with an entry script. A static program stands for its own. */
export const application = (
  name: string,
  [program, script]: readonly [path: string, text: string],
  cmd: readonly string[],
  more: Partial<Case> = {},
): Case => ({
  name: `application-${name}`,
  trap: `an application in the shape of ${name}`,
  on: 'debian',
  truth: MUSL,
  entrypoint: ['/entrypoint.sh'],
  cmd,
  ...more,
  files: { [program]: '@musl-static', 'entrypoint.sh': script, ...more.files },
});

/** Reads a variable, or the file that another names. */
export const FILE_ENV: string = `file_env() {
  local var="$1"
  local fileVar="\${var}_FILE"
  local def="\${2:-}"
  if [ "\${!var:-}" ] && [ "\${!fileVar:-}" ]; then
    printf >&2 'both %s and %s are set\\n' "$var" "$fileVar"
    exit 1
  fi
  local val="$def"
  if [ "\${!var:-}" ]; then val="\${!var}"; elif [ "\${!fileVar:-}" ]; then val="$(< "\${!fileVar}")"; fi
  export "$var"="$val"
  unset "$fileVar"
}
`;

export const BECOMING: Case['files'] = { 'usr/local/bin/gosu': '@gosu' };
