import { type Case } from '../cases.ts';
import { application, BECOMING, FILE_ENV } from './shape.ts';

/** Applications with the entry scripts of their public images, written anew in the same shape. */

export const applications: readonly Case[] = [
  application(
    'odoo',
    [
      'usr/bin/python3',
      `#!/bin/bash
set -e
if [ -v PASSWORD_FILE ]; then PASSWORD="$(< $PASSWORD_FILE)"; fi
: \${HOST:=\${DB_PORT_5432_TCP_ADDR:='db'}}
: \${USER:=\${DB_ENV_USER:=\${POSTGRES_USER:='odoo'}}}
DB_ARGS=()
function check_config() {
  param="$1"
  value="$2"
  if grep -q -E "^\\s*\\b\${param}\\b\\s*=" "$ODOO_RC" ; then value=$(grep -E "^\\s*\\b\${param}\\b\\s*=" "$ODOO_RC" | cut -d " " -f3 | sed 's/["\\n\\r]//g'); fi;
  DB_ARGS+=("--\${param}")
  DB_ARGS+=("\${value}")
}
check_config "db_host" "$HOST"
check_config "db_user" "$USER"
case "$1" in
  -- | odoo)
    shift
    if [[ "$1" == "scaffold" ]] ; then
      exec odoo "$@"
    else
      wait-for-psql.py \${DB_ARGS[@]} --timeout=30
      exec odoo "$@" "\${DB_ARGS[@]}"
    fi
    ;;
  -*)
    wait-for-psql.py \${DB_ARGS[@]} --timeout=30
    exec odoo "$@" "\${DB_ARGS[@]}"
    ;;
  *) exec "$@" ;;
esac
exit 1
`,
    ],
    ['odoo'],
    {
      env: ['ODOO_RC=/etc/odoo.conf'],
      files: {
        'usr/bin/odoo': '#!/usr/bin/python3\nimport odoo\n',
        'usr/local/bin/wait-for-psql.py': '#!/usr/bin/env python3\nimport time\n',
      },
    },
  ),
  application(
    'redmine',
    [
      'usr/local/bin/ruby',
      `#!/usr/bin/env bash
set -Eeo pipefail
${FILE_ENV}
isLikelyRedmine=
case "$1" in
  rails | rake ) isLikelyRedmine=1 ;;
esac
if [ -n "$isLikelyRedmine" ]; then
  if [ ! -f './config/database.yml' ]; then
    file_env 'DB_MYSQL'
    file_env 'DB_POSTGRES'
    if [ "$DB_MYSQL" ]; then adapter='mysql2'; elif [ "$DB_POSTGRES" ]; then adapter='postgresql'; else adapter='sqlite3'; mkdir -p sqlite; fi
    echo "production:" > config/database.yml
  fi
  bundle check || bundle install
  if [ ! -s config/secrets.yml ]; then rake generate_secret_token; fi
  if [ "$1" != 'rake' -a -z "$NO_DB_MIGRATE" ]; then rake db:migrate; fi
  if [ "$(id -u)" = '0' ]; then set -- gosu nobody "$@"; fi
  if [ "$1" = 'passenger' ]; then set -- tini -- "$@"; fi
fi
exec "$@"
`,
    ],
    ['rails', 'server', '-b', '0.0.0.0'],
    {
      files: {
        ...BECOMING,
        'usr/local/bin/rails': '#!/usr/bin/env ruby\nrequire "x"\n',
        'usr/local/bin/rake': '#!/usr/bin/env ruby\nrequire "x"\n',
        'usr/local/bin/bundle': '#!/usr/bin/env ruby\nrequire "x"\n',
      },
    },
  ),
  application(
    'redash',
    [
      'usr/local/bin/python3',
      `#!/bin/bash
set -e
scheduler() { echo "Starting"; exec python /app/manage.py rq scheduler; }
worker() { exec supervisord -c worker.conf; }
server() {
  MAX_REQUESTS=\${MAX_REQUESTS:-1000}
  TIMEOUT=\${GUNICORN_TIMEOUT:-60}
  exec /usr/local/bin/gunicorn -b 0.0.0.0:5000 --name redash -w\${WORKERS:-4} redash.wsgi:app --max-requests $MAX_REQUESTS
}
help() { echo "Usage"; }
case "$1" in
  worker) shift; worker ;;
  server) shift; server ;;
  scheduler) shift; scheduler ;;
  shell) exec /app/manage.py shell ;;
  help) shift; help ;;
  *) exec "$@" ;;
esac
`,
    ],
    ['server'],
    { files: { 'usr/local/bin/gunicorn': '#!/usr/local/bin/python3\nimport sys\n' } },
  ),
  application(
    'uvicorn-gunicorn',
    [
      'usr/local/bin/python3',
      `#! /usr/bin/env sh
set -e
if [ -f /app/app/main.py ]; then DEFAULT_MODULE_NAME=app.main; elif [ -f /app/main.py ]; then DEFAULT_MODULE_NAME=main; fi
MODULE_NAME=\${MODULE_NAME:-$DEFAULT_MODULE_NAME}
export APP_MODULE=\${APP_MODULE:-"$MODULE_NAME:app"}
if [ -f /app/gunicorn_conf.py ]; then DEFAULT_CONF=/app/gunicorn_conf.py; else DEFAULT_CONF=/gunicorn_conf.py; fi
PRE_START_PATH=\${PRE_START_PATH:-/app/prestart.sh}
if [ -f $PRE_START_PATH ] ; then . "$PRE_START_PATH"; else echo "none"; fi
exec gunicorn -k "\${WORKER_CLASS:-uvicorn.workers.UvicornWorker}" -c "$DEFAULT_CONF" "$APP_MODULE"
`,
    ],
    [],
    { files: { 'usr/local/bin/gunicorn': '#!/usr/local/bin/python3\nimport sys\n', 'app/main.py': 'x = 1\n' } },
  ),
  application(
    'vaultwarden',
    [
      'vaultwarden',
      `#!/bin/sh
if [ -n "\${UMASK}" ]; then umask "\${UMASK}"; fi
if [ -r /etc/vaultwarden.sh ]; then . /etc/vaultwarden.sh; fi
if [ -d /etc/vaultwarden.d ]; then
  for f in /etc/vaultwarden.d/*.sh; do if [ -r "\${f}" ]; then . "\${f}"; fi; done
fi
exec /vaultwarden "\${@}"
`,
    ],
    [],
  ),
  application(
    'temporal',
    [
      'usr/local/bin/temporal-server',
      `#!/bin/bash
set -eu -o pipefail
: "\${BIND_ON_IP:=$(getent hosts $(hostname) | awk '{print $1;}')}"
export BIND_ON_IP
if [[ -z "\${ADDRESS:-}" ]]; then
  if [[ "\${BIND_ON_IP}" =~ ":" ]]; then export ADDRESS="[\${BIND_ON_IP}]:7233"; else export ADDRESS="\${BIND_ON_IP}:7233"; fi
fi
dockerize -template /etc/template.yaml:/etc/docker.yaml
for arg; do [[ \${arg} == autosetup ]] && /etc/auto-setup.sh && break ; done
for arg; do [[ \${arg} == bash ]] && bash && exit 0 ; done
exec /etc/start.sh
`,
    ],
    [],
    {
      files: {
        'usr/local/bin/dockerize': '@musl-static',
        'etc/start.sh':
          '#!/bin/bash\nset -eu -o pipefail\n: "${SERVICES:=}"\nflags=()\nIFS=":" read -ra list <<< "$SERVICES"\nfor one in "${list[@]}"; do flags+=("--service=$one"); done\nexec temporal-server start "${flags[@]}"\n',
      },
    },
  ),
  application(
    'neo4j',
    [
      'opt/java/bin/java',
      `#!/bin/bash -eu
cmd="$1"
function running_as_root { test "$(id -u)" = "0"; }
if running_as_root; then userid="nobody"; exec_cmd="gosu nobody"; else userid="$(id -u)"; exec_cmd="exec"; fi
function check_mounted { if ! [ -w "$1" ]; then echo "not writable"; exit 1; fi; }
if [[ -d /conf ]]; then check_mounted /conf; fi
for name in $(env | grep '^NEO4J_' | cut -d= -f1); do echo "$name" >> /var/neo4j.conf; done
[ -f "\${EXTENSION_SCRIPT:-}" ] && . \${EXTENSION_SCRIPT}
if [ "\${cmd}" == "neo4j" ]; then
  function get_cmd { if running_as_root; then echo neo4j console; else echo neo4j console; fi; }
  \${exec_cmd} neo4j console
else
  \${exec_cmd} "$@"
fi
`,
    ],
    ['neo4j'],
    {
      env: ['JAVA_HOME=/opt/java'],
      files: {
        ...BECOMING,
        'usr/local/bin/neo4j': '#!/usr/bin/env bash\nexec "$JAVA_HOME/bin/java" -cp lib Main "$@"\n',
      },
    },
  ),
  application(
    'jenkins',
    [
      'opt/java/bin/java',
      `#! /bin/bash -e
: "\${WAR:="/usr/share/jenkins.war"}"
: "\${HOME_DIR:="/var/jenkins"}"
touch "\${COPY_LOG}" || { echo "cannot write"; exit 1; }
find "\${REF:-/usr/share/ref}" \\( -type f -o -type l \\) -exec bash -c '. /usr/local/bin/support; for arg; do copy_file "$arg"; done' _ {} +
if [[ $# -lt 1 ]] || [[ "$1" == "--"* ]]; then
  java_opts_array=()
  while IFS= read -r -d '' item; do java_opts_array+=( "$item" ); done < <([[ $JAVA_OPTS ]] && xargs printf '%s\\0' <<<"$JAVA_OPTS")
  if [[ "$DEBUG" ]]; then java_opts_array+=( '-Xdebug' ); fi
  exec java -Duser.home="$HOME_DIR" "\${java_opts_array[@]}" -jar \${WAR} "$@"
fi
exec "$@"
`,
    ],
    [],
    { env: ['PATH=/opt/java/bin:/usr/bin:/bin', 'COPY_LOG=/tmp/log'] },
  ),
  application(
    's2i-python',
    [
      'usr/bin/python3',
      `#!/bin/bash
source /opt/root/etc/generate_container_user
function is_gunicorn_installed() { hash gunicorn &>/dev/null; }
function is_django_installed() { python -c "import django" &>/dev/null; }
function maybe_init() { if [[ -n "$ENABLE_INIT" ]]; then exec init-wrapper $@; else exec $@; fi; }
APP_HOME=$(readlink -f "\${APP_HOME:-.}")
cd "$APP_HOME"
if [ -f "$APP_SCRIPT" ]; then maybe_init "$APP_SCRIPT"; elif [ -f "$APP_FILE" ]; then maybe_init python "$APP_FILE"; fi
if [ -z "$APP_MODULE" ]; then APP_MODULE=wsgi; fi
if is_gunicorn_installed; then
  if [ -z "$APP_CONFIG" ]; then ARGS="--bind=0.0.0.0:8080"; fi
  exec gunicorn "$APP_MODULE" $ARGS
fi
echo "no application"
exit 1
`,
    ],
    [],
    {
      env: ['APP_FILE=app.py'],
      workingDir: '/srv',
      files: {
        'usr/bin/python': '->python3',
        'usr/bin/gunicorn': '#!/usr/bin/python3\nimport sys\n',
        'opt/root/etc/generate_container_user': 'export HOME=/srv\n',
        'srv/app.py': 'x = 1\n',
      },
    },
  ),
  application(
    'bitnami',
    [
      'opt/bitnami/redis/bin/redis-server',
      `#!/bin/bash
set -o errexit
set -o nounset
set -o pipefail
. /opt/bitnami/scripts/redis-env.sh
. /opt/bitnami/scripts/libbitnami.sh
print_welcome_page
if [[ "$*" = *"/opt/bitnami/scripts/redis/run.sh"* ]]; then
  info "** Starting setup **"
  /opt/bitnami/scripts/redis/setup.sh
fi
echo ""
exec "$@"
`,
    ],
    ['/opt/bitnami/scripts/redis/run.sh'],
    {
      files: {
        'opt/bitnami/scripts/redis-env.sh':
          '#!/bin/bash\n. /opt/bitnami/scripts/liblog.sh\nexport BITNAMI_ROOT_DIR="/opt/bitnami"\nvars=(\n  REDIS_PASSWORD\n  REDIS_PORT\n)\nfor env_var in "${vars[@]}"; do\n  file_env_var="${env_var}_FILE"\n  if [[ -n "${!file_env_var:-}" ]]; then\n    if [[ -r "${!file_env_var:-}" ]]; then\n      export "${env_var}=$(< "${!file_env_var}")"\n      unset "${file_env_var}"\n    fi\n  fi\ndone\nunset vars\nexport REDIS_BASE_DIR="${BITNAMI_ROOT_DIR}/redis"\nexport PATH="${REDIS_BASE_DIR}/bin:${BITNAMI_ROOT_DIR}/common/bin:${PATH}"\nexport REDIS_DAEMON_USER="redis"\n',
        'opt/bitnami/scripts/liblog.sh': '#!/bin/bash\ninfo() { echo "INFO $*"; }\nwarn() { echo "WARN $*"; }\n',
        'opt/bitnami/scripts/libbitnami.sh':
          '#!/bin/bash\n. /opt/bitnami/scripts/liblog.sh\nprint_welcome_page() {\n  if [[ -z "${DISABLE_WELCOME_MESSAGE:-}" ]]; then\n    if [[ -n "$BITNAMI_APP_NAME" ]]; then print_image_welcome_page; fi\n  fi\n}\nprint_image_welcome_page() { info "Welcome"; }\n',
        'opt/bitnami/scripts/libos.sh':
          '#!/bin/bash\nam_i_root() { if [[ "$(id -u)" = "0" ]]; then true; else false; fi; }\nrun_as_user() {\n  run_chroot "$@"\n}\nrun_chroot() {\n  local userspec="${1:?missing}"\n  shift\n  exec chroot --userspec="$userspec" / bash -c "exec $*"\n}\nexec_as_user() { local replace=true; local user="$1"; shift; exec gosu "$user" "$@"; }\n',
        'opt/bitnami/scripts/redis/setup.sh': '#!/bin/bash\nset -e\nmkdir -p /bitnami\n',
        'opt/bitnami/scripts/redis/run.sh':
          '#!/bin/bash\nset -o errexit\nset -o nounset\nset -o pipefail\n. /opt/bitnami/scripts/redis-env.sh\n. /opt/bitnami/scripts/libos.sh\nargs=("--daemonize" "no" "$@")\nif [[ -n "${REDIS_EXTRA_FLAGS:-}" ]]; then\n  read -r -a extra_flags <<< "$REDIS_EXTRA_FLAGS"\n  args+=("${extra_flags[@]}")\nfi\nif [ "${REDIS_ALLOW_EMPTY:-yes}" = yes ]; then args+=("--protected-mode" "no"); fi\nif am_i_root; then\n  exec_as_user "$REDIS_DAEMON_USER" redis-server "${args[@]}"\nelse\n  exec redis-server "${args[@]}"\nfi\n',
        ...BECOMING,
      },
      env: ['BITNAMI_APP_NAME=redis'],
      user: '1001',
    },
  ),
  application(
    'lambda',
    [
      'var/runtime/bootstrap',
      `#!/bin/sh
if [ $# -ne 1 ]; then echo "needs a handler" >&2; exit 142; fi
export _HANDLER="$1"
RUNTIME_ENTRYPOINT=/var/runtime/bootstrap
if [ -z "\${AWS_LAMBDA_RUNTIME_API}" ]; then exec /usr/local/bin/aws-lambda-rie $RUNTIME_ENTRYPOINT; else exec $RUNTIME_ENTRYPOINT; fi
`,
    ],
    ['app.handler'],
    { env: ['AWS_LAMBDA_RUNTIME_API=x'] },
  ),
  application('watchdog', ['usr/local/bin/python3', '#!/bin/sh\nexec python3 index.py\n'], [], {
    entrypoint: ['fwatchdog'],
    env: ['fprocess=/entrypoint.sh', 'mode=http'],
    files: { 'usr/bin/fwatchdog': '@go' },
    truth: { resolver: 'unknown', libc: 'unknown' },
  }),
  application(
    'jupyter',
    [
      'opt/conda/bin/python3',
      `#!/bin/bash
set -e
_log () { if [[ "$*" == "ERROR:"* ]] || [[ "\${QUIET}" == "" ]]; then echo "$@"; fi; }
run-hooks () {
  if [[ ! -d "$1" ]] ; then return; fi
  for f in "$1"/*; do
    case "$f" in
      *.sh) source "$f" ;;
      *) if [[ -x "$f" ]] ; then "$f"; fi ;;
    esac
  done
}
if [ $# -eq 0 ] ; then cmd=( "bash" ); else cmd=( "$@" ); fi
run-hooks /usr/local/bin/start-notebook.d
if [ "$(id -u)" == 0 ] ; then
  unset_vars=( "SUDO_UID" )
  exec sudo --preserve-env --set-home --user "\${NB_USER}" PATH="\${PATH}" "\${cmd[@]}"
else
  if [[ "\${NB_USER}" == "$(id -un)" ]]; then _log "same"; fi
  run-hooks /usr/local/bin/before-notebook.d
  _log "Executing the command:" "\${cmd[@]}"
  exec "\${cmd[@]}"
fi
`,
    ],
    ['start-notebook.py'],
    {
      user: '1000',
      env: ['NB_USER=jovyan', 'PATH=/opt/conda/bin:/usr/local/bin:/usr/bin:/bin'],
      files: { 'usr/local/bin/start-notebook.py': '#!/usr/bin/env python3\nimport os\n' },
    },
  ),
  application(
    'unit',
    [
      'usr/sbin/unitd',
      `#!/bin/sh
set -e
WAITLOOPS=5
curl_put() {
  RET=$(curl -s -w '%{http_code}' -X PUT --data-binary @$1 --unix-socket /var/run/control.unit.sock http://localhost/$2)
  RET_STATUS=$(echo $RET | tail -c 4)
  if [ $RET_STATUS -ne "200" ]; then return 1; fi
  return 0
}
if [ "$1" = "unitd" ] || [ "$1" = "unitd-debug" ]; then
  if /usr/bin/find "/var/lib/unit/" -mindepth 1 -print -quit 2>/dev/null | /bin/grep -q .; then
    echo "not empty"
  else
    /usr/sbin/$1 --control unix:/var/run/control.unit.sock
    while [ ! -S /var/run/control.unit.sock ]; do sleep 0.1; done
    for f in $(/usr/bin/find /docker-entrypoint.d/ -type f -name "*.json"); do curl_put $f "config"; done
    kill -TERM $(/bin/cat /var/run/unit.pid)
    for i in $(/usr/bin/seq $WAITLOOPS); do
      if [ -S /var/run/control.unit.sock ]; then /bin/sleep 1; else break; fi
    done
  fi
fi
exec "$@"
`,
    ],
    ['unitd', '--no-daemon'],
  ),
  application(
    'pihole',
    [
      'usr/bin/pihole-FTL',
      `#!/bin/bash
trap stop TERM INT
PID=""
start() {
  . /usr/bin/functions.sh
  if [[ -f /etc/old.conf && ! -f /etc/new.toml ]]; then migrate; fi
  set_uid
  echo "starting"
  setpriv --reuid=nobody /usr/bin/pihole-FTL no-daemon >/dev/null &
  PID=$!
  while ! grep -q started /var/log/FTL.log; do sleep 0.5; done
  if [ "\${TAIL:-1}" -eq 1 ]; then tail --follow=name /var/log/FTL.log & fi
  wait $PID
}
stop() { killall pihole-FTL; wait $PID; exit 0; }
start
`,
    ],
    [],
    {
      files: {
        'usr/bin/functions.sh':
          'set_uid() { if [[ -n "${UID_}" ]]; then usermod -u "$UID_" nobody; fi; }\nmigrate() { mkdir -p /old; }\n',
      },
    },
  ),
  application(
    'sonarqube',
    [
      'opt/java/openjdk/bin/java',
      '#!/usr/bin/env bash\nset -euo pipefail\ndeclare -a sq_opts=()\nset_prop() { if [ "$2" ]; then sq_opts+=("-D$1=$2"); fi; }\nif [ "${1:0:1}" = "-" ]; then set -- java -jar lib/sonarqube.jar "$@"; fi\nif [[ "$1" = "/opt/sonarqube/docker/sonar.sh" ]]; then\n  chown -R "$(id -u):$(id -g)" /opt/sonarqube 2>/dev/null || :\n  chmod -R 700 /opt/sonarqube 2>/dev/null || :\n  if [[ "$(id -u)" = "0" ]]; then\n    exec setpriv --reuid=nobody "$0" "$@"\n  fi\n  set_prop "sonar.jdbc.url" "${SONAR_JDBC_URL:-}"\n  if [ ${#sq_opts[@]} -ne 0 ]; then set -- "$@" "${sq_opts[@]}"; fi\nfi\nexec "$@"\n',
    ],
    ['/opt/sonarqube/docker/sonar.sh'],
    {
      env: ['JAVA_HOME=/opt/java/openjdk'],
      files: {
        'opt/sonarqube/docker/sonar.sh':
          '#!/usr/bin/env bash\nset -euo pipefail\nJAVA_VERSION=$("${JAVA_HOME}"/bin/java -version 2>&1 | head -1)\nexec "${JAVA_HOME}"/bin/java -jar lib/sonar-application.jar -Dsonar.log.console=true "$@"\n',
      },
    },
  ),
];
