import { type Case, GO } from '../cases.ts';
import { application, BECOMING, FILE_ENV } from './shape.ts';

/** Databases and PHP applications, whose entry scripts set data up before they start. */

const database = (user: string, setup: string): string => `#!/usr/bin/env bash
set -Eeo pipefail
${FILE_ENV}
create_directories() {
  local user; user="$(id -u)"
  mkdir -p "$DATA"
  chmod 00700 "$DATA" || :
  if [ "$user" = '0' ]; then find "$DATA" \\! -user nobody -exec chown nobody '{}' +; fi
}
setup_env() {
  file_env 'DB_PASSWORD'
  file_env 'DB_USER' admin
  declare -g ALREADY_EXISTS
  : "\${ALREADY_EXISTS:=}"
  if [ -s "$DATA/VERSION" ]; then ALREADY_EXISTS='true'; fi
}
want_help() {
  local arg
  for arg; do
    case "$arg" in -'?'|--help|-V) return 0 ;; esac
  done
  return 1
}
_main() {
  if [ "\${1:0:1}" = '-' ]; then set -- ${user} "$@"; fi
  if [ "$1" = '${user}' ] && ! want_help "$@"; then
    setup_env
    create_directories
    if [ "$(id -u)" = '0' ]; then exec gosu nobody "$BASH_SOURCE" "$@"; fi
    if [ -z "$ALREADY_EXISTS" ]; then
      if [ -z "$DB_PASSWORD" ]; then
        cat >&2 <<'EOE'
no password is given
EOE
        exit 1
      fi
      ${setup}
      cat <<'EOM'
ready for start up
EOM
    else
      cat <<'EOM'
skipping initialization
EOM
    fi
  fi
  exec "$@"
}
_main "$@"
`;

const php = `#!/bin/sh
set -eu
version_greater() { [ "$(printf '%s\\n' "$@" | sort -t '.' -n -k1,1 | head -n 1)" != "$1" ]; }
run_as() { if [ "$(id -u)" = 0 ]; then su -p www-data -s /bin/sh -c "$1"; else sh -c "$1"; fi; }
run_path() {
  local hooks="/hooks.d/$1"
  if ! [ -d "$hooks" ] || [ -z "$(ls -A "$hooks")" ]; then return 0; fi
  find "$hooks" -maxdepth 1 -iname '*.sh' -print | sort | (
    while read -r script; do
      if ! [ -x "$script" ]; then continue; fi
      echo "running $script"
      run_as "$script" || echo failed
    done
  )
}
if expr "$1" : "apache" 1>/dev/null; then
  if [ -n "\${REMOTE_IP+x}" ]; then a2disconf remoteip; fi
fi
if expr "$1" : "apache" 1>/dev/null || [ "$1" = "php-fpm" ] || [ "\${UPDATE:-0}" -eq 1 ]; then
  uid="$(id -u)"
  installed="0.0.0"
  if [ -f /var/www/version.php ]; then installed="$(php -r 'echo 1;')"; fi
  if version_greater "1.2.3" "$installed"; then
    run_path pre-installation
    if [ "$installed" = "0.0.0" ]; then
      max=10
      try=0
      until [ "$try" -gt "$max" ] || run_as "php occ install"; do
        try=$((try+1))
        sleep 10s
      done
      run_path post-installation
    fi
  fi
  run_path before-starting
fi
exec "$@"
`;

const apacheForeground = `#!/bin/bash
set -e
: "\${APACHE_CONFDIR:=/etc/apache2}"
: "\${APACHE_ENVVARS:=$APACHE_CONFDIR/envvars}"
if test -f "$APACHE_ENVVARS"; then . "$APACHE_ENVVARS"; fi
: "\${APACHE_RUN_DIR:=/var/run/apache2}"
for e in "\${!APACHE_@}"; do
  if [[ "$e" == *_DIR ]] && [[ "\${!e}" == /* ]]; then
    dir="\${!e}"
    while [ "$dir" != "$(dirname "$dir")" ]; do
      dir="$(dirname "$dir")"
      if [ -d "$dir" ]; then break; fi
    done
    mkdir -p "\${!e}"
  fi
done
exec apache2 -DFOREGROUND "$@"
`;

export const dataApplications: readonly Case[] = [
  application(
    'postgres',
    ['usr/lib/postgresql/17/bin/postgres', database('postgres', 'initdb --auth x; psql -c y')],
    ['postgres'],
    {
      env: ['PATH=/usr/local/bin:/usr/bin:/bin:/usr/lib/postgresql/17/bin', 'DATA=/var/lib/data'],
      files: BECOMING,
      pod: { env: { DB_PASSWORD: 'x' } },
    },
  ),
  application('postgres-without-password', ['usr/local/bin/postgres', database('postgres', 'initdb')], ['postgres'], {
    env: ['DATA=/var/lib/data'],
    files: BECOMING,
  }),
  application(
    'mongo',
    [
      'usr/bin/mongod',
      `#!/bin/bash
set -Eeuo pipefail
if [ "\${1:0:1}" = '-' ]; then set -- mongod "$@"; fi
originalArgOne="$1"
if [[ "$originalArgOne" == mongo* ]] && [ "$(id -u)" = '0' ]; then
  if [ "$originalArgOne" = 'mongod' ]; then find -L /data/db \\! -user nobody -exec chown nobody '{}' +; fi
  exec gosu nobody "$BASH_SOURCE" "$@"
fi
${FILE_ENV}
have_arg() { local check="$1"; shift; local arg; for arg; do case "$arg" in "$check"|"$check"=*) return 0 ;; esac; done; return 1; }
declare -a hacked
ensure_arg() { local one="$1"; shift; hacked=( "$@" ); if ! have_arg "$one" "$@"; then hacked+=( "$one" ); fi; }
if [ "$originalArgOne" = 'mongod' ]; then
  file_env 'ROOT_USERNAME'
  file_env 'ROOT_PASSWORD'
  if [ "$ROOT_USERNAME" ] && [ "$ROOT_PASSWORD" ]; then
    ensure_arg --auth "$@"
    set -- "\${hacked[@]}"
  fi
  if ! have_arg --bind_ip "$@"; then
    ensure_arg --bind_ip_all "$@"
    set -- "\${hacked[@]}"
  fi
fi
exec "$@"
`,
    ],
    ['mongod'],
    { files: BECOMING },
  ),
  application('nextcloud', ['usr/sbin/apache2', php], ['apache2-foreground'], {
    files: { 'usr/local/bin/apache2-foreground': apacheForeground, 'usr/local/bin/php': '@musl-static' },
  }),
  application('nextcloud-fpm', ['usr/local/sbin/php-fpm', php], ['php-fpm'], {
    on: 'alpine',
    truth: GO,
    files: { 'usr/local/sbin/php-fpm': '@go', 'usr/local/bin/php': '@go' },
  }),
  application('nextcloud-cron', ['bin/unused', '#!/bin/sh\nset -eu\nexec busybox crond -f -L /dev/stdout\n'], [], {
    on: 'alpine',
  }),
];
