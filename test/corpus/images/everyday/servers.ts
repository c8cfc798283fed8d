import { type Case, GO } from '../cases.ts';
import { BASH, EXEC, OPTIONS_FIRST, OWN_USER, RUN, scripted } from './shape.ts';

/** Databases and web servers. */

const POSTGRES = `${BASH}_is_sourced() { [ "\${#FUNCNAME[@]}" -ge 2 ] && [ "\${FUNCNAME[1]}" = 'source' ]; }
_main() {
  if [ "\${1:0:1}" = '-' ]; then set -- postgres "$@"; fi
  if [ "$1" = 'postgres' ] && [ "$(id -u)" = '0' ]; then
    exec gosu nobody "$BASH_SOURCE" "$@"
  fi
  exec "$@"
}
if ! _is_sourced; then _main "$@"; fi
`;

export const databases: readonly Case[] = [
  scripted(['postgres', 'debian'], ['usr/lib/postgresql/17/bin/postgres', '@glibc'], POSTGRES, ['postgres'], {
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin'],
    files: { 'usr/local/bin/gosu': '@gosu' },
  }),
  scripted(
    ['postgres-alpine', 'alpine'],
    ['usr/local/bin/postgres', '@musl'],
    `${RUN}${OPTIONS_FIRST('postgres')}${EXEC}`,
    ['postgres'],
  ),
  scripted(
    ['redis', 'debian'],
    ['usr/local/bin/redis-server', '@glibc'],
    `${RUN}${OPTIONS_FIRST('redis-server')}${OWN_USER('redis-server', 'gosu nobody')}um="$(umask)"\nif [ "$um" = '0022' ]; then umask 0077; fi\n${EXEC}`,
    ['redis-server'],
    { files: { 'usr/local/bin/gosu': '@gosu' } },
  ),
  scripted(
    ['redis-alpine', 'alpine'],
    ['usr/local/bin/redis-server', '@musl'],
    `${RUN}${OPTIONS_FIRST('redis-server')}${EXEC}`,
    ['redis-server'],
  ),
  scripted(
    ['mysql', 'debian'],
    ['usr/sbin/mysqld', '@glibc'],
    `${BASH}_main() {\n${OPTIONS_FIRST('mysqld')}${OWN_USER('mysqld', 'gosu nobody', '"$BASH_SOURCE"')}${EXEC}}\n_main "$@"\n`,
    ['mysqld'],
    { files: { 'usr/local/bin/gosu': '@gosu' } },
  ),
  scripted(
    ['mariadb', 'debian'],
    ['usr/sbin/mariadbd', '@glibc'],
    `${BASH}if [ "\${1:0:1}" = '-' ]; then set -- mariadbd "$@"; fi\n${EXEC}`,
    ['mariadbd'],
  ),
  scripted(
    ['mongo', 'debian'],
    ['usr/bin/mongod', '@glibc'],
    `${BASH}if [ "\${1:0:1}" = '-' ]; then set -- mongod "$@"; fi\nif [ "$1" = mongod ]; then\n  numa='numactl --interleave=all'\n  if $numa true > /dev/null 2>&1; then set -- $numa "$@"; fi\nfi\n${EXEC}`,
    ['mongod'],
  ),
  scripted(
    ['memcached', 'debian'],
    ['usr/local/bin/memcached', '@glibc'],
    `${RUN}${OPTIONS_FIRST('memcached')}${EXEC}`,
    ['memcached'],
  ),
  scripted(
    ['influxdb', 'debian'],
    ['usr/bin/influxd', '@cgo'],
    `${BASH}if [ "\${1:0:1}" = '-' ]; then set -- influxd "$@"; fi\n${EXEC}`,
    ['influxd'],
  ),
  scripted(
    ['cassandra', 'debian'],
    ['opt/java/openjdk/bin/java', '@glibc'],
    `${BASH}if [ "$#" -eq 0 ]; then set -- cassandra -f; fi\n${EXEC}`,
    ['cassandra', '-f'],
    {
      env: ['JAVA_HOME=/opt/java/openjdk'],
      files: { 'usr/local/bin/cassandra': '#!/bin/sh\nJAVA="$JAVA_HOME/bin/java"\nexec "$JAVA" -Xmx1g Daemon\n' },
    },
  ),
  scripted(['nats', 'alpine'], ['usr/local/bin/nats-server', '@go'], `${RUN}${OPTIONS_FIRST('nats-server')}${EXEC}`, [
    'nats-server',
  ]),
  scripted(['mosquitto', 'alpine'], ['usr/sbin/mosquitto', '@musl'], `#!/bin/ash\nset -e\n${EXEC}`, [
    '/usr/sbin/mosquitto',
    '-c',
    '/mosquitto/config/mosquitto.conf',
  ]),
];

const NGINX = `${RUN}if [ "$1" = 'nginx' ]; then
  find /docker-entrypoint.d/ -follow -type f -print 2>/dev/null | sort | while read -r f; do
    case "$f" in
      *.sh) [ -x "$f" ] && "$f" ;;
    esac
  done
fi
${EXEC}`;
const PHP = `${RUN}if [ "\${1#-}" != "$1" ]; then set -- php-fpm "$@"; fi\n${EXEC}`;

export const web: readonly Case[] = [
  scripted(['nginx', 'debian'], ['usr/sbin/nginx', '@glibc'], NGINX, ['nginx', '-g', 'daemon off;']),
  scripted(['nginx-alpine', 'alpine'], ['usr/sbin/nginx', '@musl'], NGINX, ['nginx', '-g', 'daemon off;']),
  scripted(['httpd', 'debian'], ['usr/local/apache2/bin/httpd', '@glibc'], `${RUN}exec httpd -DFOREGROUND "$@"\n`, [], {
    env: ['PATH=/usr/local/apache2/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
  }),
  scripted(
    ['haproxy', 'debian'],
    ['usr/local/sbin/haproxy', '@glibc'],
    `${RUN}${OPTIONS_FIRST('haproxy')}if [ "$1" = 'haproxy' ]; then\n  shift\n  set -- haproxy -W -db "$@"\nfi\n${EXEC}`,
    ['haproxy', '-f', '/haproxy.cfg'],
  ),
  scripted(['php-fpm', 'debian'], ['usr/local/sbin/php-fpm', '@glibc'], PHP, ['php-fpm']),
  scripted(['php-fpm-alpine', 'alpine'], ['usr/local/sbin/php-fpm', '@musl'], PHP, ['php-fpm']),
  scripted(
    ['wordpress', 'debian'],
    ['usr/sbin/apache2', '@glibc'],
    `#!/usr/bin/env bash\nset -Eeuo pipefail\nif [[ "$1" == apache2* ]] || [ "$1" = 'php-fpm' ]; then uid="$(id -u)"; fi\n${EXEC}`,
    ['apache2-foreground'],
    {
      files: {
        'usr/local/bin/apache2-foreground': `${RUN}: "\${APACHE_CONFDIR:=/etc/apache2}"\nexec apache2 -DFOREGROUND "$@"\n`,
      },
    },
  ),
  scripted(
    ['nextcloud', 'debian'],
    ['usr/sbin/apache2', '@glibc'],
    `#!/bin/sh\nset -eu\nif expr "$1" : apache 1>/dev/null; then user=www-data; fi\n${EXEC}`,
    ['apache2-foreground'],
    {
      files: { 'usr/local/bin/apache2-foreground': `${RUN}exec apache2 -DFOREGROUND "$@"\n` },
    },
  ),
  {
    name: 'caddy',
    trap: 'the shape of caddy',
    on: 'alpine',
    truth: GO,
    cmd: ['caddy', 'run', '--config', '/etc/caddy/Caddyfile'],
    files: { 'usr/bin/caddy': '@go' },
    budget: 'program',
  },
  scripted(
    ['traefik', 'alpine'],
    ['usr/local/bin/traefik', '@go'],
    `${RUN}if [ "\${1#-}" != "$1" ]; then set -- traefik "$@"; fi\nif traefik "$1" --help >/dev/null 2>&1; then set -- traefik "$@"; fi\n${EXEC}`,
    ['traefik'],
  ),
  scripted(
    ['envoy', 'debian'],
    ['usr/local/bin/envoy', '@glibc'],
    `#!/usr/bin/env sh\nset -e\nloglevel="\${loglevel:-}"\nif [ "\${1#-}" != "$1" ]; then set -- envoy "$@"; fi\n${EXEC}`,
    ['envoy', '-c', '/etc/envoy.yaml'],
  ),
  scripted(
    ['kong', 'debian'],
    ['usr/local/openresty/nginx/sbin/nginx', '@glibc'],
    `#!/usr/bin/env bash\nset -Eeo pipefail\nif [[ "$1" == "kong" ]]; then\n  exec /usr/local/openresty/nginx/sbin/nginx -p /usr/local/kong -c nginx.conf\nfi\n${EXEC}`,
    ['kong', 'docker-start'],
  ),
];
