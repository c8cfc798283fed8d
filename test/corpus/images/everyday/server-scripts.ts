/** Scripts in the shapes of those of s2i-python, webdevops, couchdb, zabbix, emqx and docker-mailserver. Written anew. */

export const S2I_RUN: string = `#!/bin/bash
source /opt/app-root/etc/generate_container_user
set -e
function has_gunicorn() { hash gunicorn &>/dev/null; }
function has_django() { python -c "import django" &>/dev/null; }
function must_migrate() { has_django && [[ -z "$DISABLE_MIGRATE" ]]; }
function workers() {
  limits=$(cgroup-limits)
  local $limits
  if [ -z "\${NUMBER_OF_CORES:-}" ]; then
    echo 1
    return
  fi
  local most=$((NUMBER_OF_CORES*2))
  echo $((most > 12 ? 12 : most))
}
APP_HOME=$(readlink -f \${APP_HOME:-.})
if [[ "$APP_HOME" != "." ]]; then
  PYTHONPATH=$(pwd):$PYTHONPATH
  cd "$APP_HOME"
fi
asked="\${APP_SCRIPT-}"
APP_SCRIPT="\${APP_SCRIPT-app.sh}"
if [[ -f "$APP_SCRIPT" ]]; then
  if [[ "$APP_SCRIPT" != /* ]]; then APP_SCRIPT="./$APP_SCRIPT"; fi
  exec "$APP_SCRIPT"
else
  test -n "$asked" && (>&2 echo "no file '$asked'") && exit 1
fi
asked="\${APP_FILE-}"
APP_FILE="\${APP_FILE-app.py}"
if [[ -f "$APP_FILE" ]]; then
  exec python "$APP_FILE"
else
  test -n "$asked" && (>&2 echo "no file '$asked'") && exit 1
fi
manage=./manage.py
if must_migrate; then
  if [[ -f "$manage" ]]; then python "$manage" migrate --noinput; else echo "no manage.py"; fi
fi
if has_gunicorn; then
  setup=$(find $HOME -maxdepth 2 -type f -name 'setup.py' -print -quit)
  if [[ -z "$APP_MODULE" && -f "./wsgi.py" ]]; then
    APP_MODULE=wsgi
  elif [[ -z "$APP_MODULE" && -f $setup ]]; then
    APP_MODULE="$(python $setup --name)"
  fi
  if [[ "$APP_MODULE" ]]; then
    export WEB_CONCURRENCY=\${WEB_CONCURRENCY:-$(workers)}
    exec gunicorn "$APP_MODULE" --bind=0.0.0.0:8080 --config "$APP_CONFIG"
  fi
fi
if has_django; then
  if [[ -f "$manage" ]]; then exec python "$manage" runserver 0.0.0.0:8080; fi
fi
>&2 echo "nothing says what to run"
exit 1
`;

export const S2I_USER: string = `if [ $(id -u) -ge 10000 ]; then
  cat /etc/passwd | sed -e "s/^default:/builder:/" > /tmp/passwd
  echo "default:x:$(id -u):$(id -g)::/opt/app-root/src:/sbin/nologin" >> /tmp/passwd
  export NSS_WRAPPER_PASSWD=/tmp/passwd
fi
`;

export const WEBDEVOPS: string = `#!/usr/bin/env bash
if [[ -z "$CONTAINER_UID" ]]; then export CONTAINER_UID="application"; fi
set -o pipefail
set -o errtrace
set -o nounset
set -o errexit
if [[ "$UID" -ne 0 ]]; then
  export CONTAINER_UID="$UID"
  exec gosu root "$0" "$@"
fi
. /opt/docker/bin/config.sh
linkOutput
TASK="$(echo $1 | sed 's/[^-_a-zA-Z0-9]*//g')"
if [ "$TASK" == "supervisord" ] || [ "$TASK" == "noop" ]; then
  provision
  trap 'teardown' SIGTERM
  runTask "$@" &
  wait $!
  teardown
else
  provision > /dev/null
  runTask "$@"
fi
`;

export const WEBDEVOPS_CONFIG: string = `shopt -s nullglob
function linkOutput() {
  if [[ -n "\${LOG_STDOUT+x}" ]]; then echo "to $LOG_STDOUT"; else LOG_STDOUT="/proc/$$/fd/1"; fi
  ln -f -s "$LOG_STDOUT" /docker.stdout
}
function includeDir() {
  if [[ -d "$1" ]]; then
    for FILE in "$1"/*.sh; do
      . "$FILE"
    done
  fi
}
function runTask() {
  SCRIPT="/opt/docker/bin/entrypoint.d/\${TASK}.sh"
  if [ -f "$SCRIPT" ]; then . "$SCRIPT"; fi
  if [ -f "/opt/docker/bin/entrypoint.d/default.sh" ]; then . /opt/docker/bin/entrypoint.d/default.sh; fi
  exit 1
}
function provision() {
  includeDir "/opt/docker/provision/entrypoint.d"
  includeDir "/entrypoint.d"
}
function teardown() { includeDir "/opt/docker/provision/teardown.d"; }
`;

export const COUCHDB_ENTRY: string = `#!/bin/bash
set -e
if [ "\${1#-}" != "$1" ] || [ "\${1#+}" != "$1" ]; then
  set -- /opt/couchdb/bin/couchdb "$@"
fi
if [ "$1" = 'couchdb' ]; then
  shift
  set -- /opt/couchdb/bin/couchdb "$@"
fi
if [ "$1" = '/opt/couchdb/bin/couchdb' ]; then
  touch /opt/couchdb/etc/local.d/docker.ini
  if [ "$(id -u)" = '0' ]; then
    find /opt/couchdb \\! \\( -user couchdb -group couchdb \\) -exec chown -f couchdb:couchdb '{}' +
    find /opt/couchdb/data -type d ! -perm 0755 -exec chmod -f 0755 '{}' +
  fi
  if [ ! -z "$NODENAME" ] && ! grep "couchdb@" /opt/couchdb/etc/vm.args; then
    echo "-name couchdb@$NODENAME" >> /opt/couchdb/etc/vm.args
  fi
  if [ "$COUCHDB_USER" ] && [ "$COUCHDB_PASSWORD" ]; then
    if ! grep -Pzoqr "\\[admins\\]\\n$COUCHDB_USER =" /opt/couchdb/etc/local.d/*.ini /opt/couchdb/etc/local.ini; then
      printf "\\n[admins]\\n%s = %s\\n" "$COUCHDB_USER" "$COUCHDB_PASSWORD" >> /opt/couchdb/etc/local.d/docker.ini
    fi
  fi
  if [ "$COUCHDB_ERLANG_COOKIE" ]; then
    file='/opt/couchdb/.erlang.cookie'
    if [ -e "$file" ]; then
      if [ "$(cat "$file" 2>/dev/null)" != "$COUCHDB_ERLANG_COOKIE" ]; then echo >&2 "another cookie"; fi
    else
      echo "$COUCHDB_ERLANG_COOKIE" > "$file"
    fi
    chmod 600 "$file"
  fi
  if ! grep -Pzoqr '\\[admins\\]\\n[^;]\\w+' /opt/couchdb/etc/default.d/*.ini /opt/couchdb/etc/local.ini; then
    cat >&2 <<-'EOWARN'
	nobody is an admin
	EOWARN
    exit 1
  fi
  if [ "$(id -u)" = '0' ]; then
    exec setpriv --reuid=couchdb --regid=couchdb --clear-groups "$@"
  fi
fi
exec "$@"
`;

export const COUCHDB: string = `#!/bin/sh
canonical() (
  FILE=$(dirname "$1")/$(basename "$1")
  while [ -h "$FILE" ]; do
    cd "$(dirname "$FILE")" || exit 1
    FILE=$(readlink "$(basename "$FILE")")
  done
  cd "$(dirname "$FILE")" || exit 1
  pwd -P
)
BIN=$(canonical "$0")
ERTS_BIN_DIR=$BIN/../
cd "$BIN/../" || exit 1
export ROOTDIR=\${ERTS_BIN_DIR%/*}
START_ERL=$(cat "$ROOTDIR/releases/start_erl.data")
ERTS_VSN=\${START_ERL% *}
APP_VSN=\${START_ERL#* }
export BINDIR="$ROOTDIR/erts-$ERTS_VSN/bin"
export EMU=beam
export PROGNAME=$(echo "$0" | sed 's/.*\\///')
export ARGS_FILE="\${COUCHDB_ARGS_FILE:-$ROOTDIR/etc/vm.args}"
exec "$BINDIR/erlexec" -boot "$ROOTDIR/releases/$APP_VSN/couchdb" -args_file "$ARGS_FILE" "$@"
`;

export const ZABBIX: string = `#!/bin/bash
set -o pipefail
set +e
if [ "\${DEBUG_MODE,,}" == "true" ]; then set -o xtrace; fi
: \${DB_CHARACTER_SET:="utf8mb4"}
ETC_DIR="/etc/zabbix"
escaped() {
  local value=$1
  value="\${value//\\\\/\\\\\\\\}"
  value="\${value//[$'\\n']/}"
  value="\${value//\\//\\\\/}"
  echo "$value"
}
update_var() {
  local file=$1
  local name=$2
  local value=$3
  local masked=("DBPassword" "TLSPSKIdentity")
  if [ ! -f "$file" ]; then
    echo "no '$file'"
    return
  fi
  if [[ " \${masked[@]} " =~ " $name " ]] && [ ! -z "$value" ]; then
    echo -n "'$file': $name ****"
  else
    echo -n "'$file': $name '$value'"
  fi
  if [ -z "$value" ]; then
    sed -i -e "/^$name=/d" "$file"
    return
  fi
  value=$(escaped "$value")
  if [ "$(grep -E "^$name=" $file)" ]; then
    sed -i -e "/^$name=/s/=.*/=$value/" "$file"
  else
    sed -i -e "/^[#;] $name=/s/.*/&\\n$name=$value/" "$file"
  fi
}
check_variables() {
  : \${DB_SERVER_HOST:="mysql-server"}
  : \${DB_SERVER_PORT:="3306"}
  USE_ROOT=false
  if [ ! -n "\${MYSQL_USER}" ] && [ "\${MYSQL_RANDOM_ROOT_PASSWORD,,}" == "true" ]; then
    echo "no user for a random password"
    exit 1
  fi
  if [ -n "\${MYSQL_ROOT_PASSWORD}" ]; then USE_ROOT=true; fi
  DB_USER=\${MYSQL_USER:-"zabbix"}
  DB_PASS=\${MYSQL_PASSWORD:-"zabbix"}
}
wait_for_db() {
  while [ ! "$(mysqladmin ping -h $DB_SERVER_HOST -P $DB_SERVER_PORT -u $DB_USER --silent --connect_timeout=10)" ]; do
    echo "mysql does not answer"
    sleep 5
  done
}
query() {
  local text=$1
  local result=""
  export MYSQL_PWD="\${DB_PASS}"
  result=$(mysql --silent --skip-column-names -h $DB_SERVER_HOST -u $DB_USER -e "$text")
  unset MYSQL_PWD
  echo $result
}
create_schema() {
  EXISTS=$(query "SELECT 1 FROM information_schema.tables LIMIT 1")
  if [ -z "\${EXISTS}" ]; then
    zcat "/usr/share/doc/zabbix-server-mysql/create.sql.gz" | mysql --silent -h $DB_SERVER_HOST -u $DB_USER 1>/dev/null || exit 1
  fi
}
prepare() {
  check_variables
  wait_for_db
  create_schema
  update_var "$ETC_DIR/zabbix_server.conf" "DBHost" "\${DB_SERVER_HOST}"
  update_var "$ETC_DIR/zabbix_server.conf" "DBPassword" "\${DB_PASS}"
  if [ "$(id -u)" != '0' ]; then
    update_var "$ETC_DIR/zabbix_server.conf" "User" "$(whoami)"
  else
    update_var "$ETC_DIR/zabbix_server.conf" "AllowRoot" "1"
  fi
}
if [ "\${1#-}" != "$1" ]; then set -- /usr/sbin/zabbix_server "$@"; fi
if [ "$1" == '/usr/sbin/zabbix_server' ]; then prepare; fi
exec "$@"
`;

export const EMQX_ENTRY: string = `#!/bin/bash
if [[ -n "$DEBUG" ]]; then set -ex; else set -e; fi
shopt -s nullglob
LOCAL_IP=$(hostname -i | grep -oE '((25[0-5]|[1-9]?[0-9])\\.){3}[0-9]+' | head -n 1)
export EMQX_NAME="\${EMQX_NAME:-emqx}"
if [[ -z "$EMQX_HOST" ]]; then
  if [[ "$EMQX_K8S_ADDRESS_TYPE" == "dns" ]] && [[ -n "$EMQX_K8S_NAMESPACE" ]]; then
    EMQX_HOST="\${LOCAL_IP//./-}.$EMQX_K8S_NAMESPACE.\${EMQX_K8S_SUFFIX:-pod.cluster.local}"
  elif [[ "$EMQX_K8S_ADDRESS_TYPE" == 'hostname' ]]; then
    EMQX_HOST=$(grep -h "^$LOCAL_IP" /etc/hosts | grep -o "$(hostname).*.$EMQX_K8S_NAMESPACE")
  else
    EMQX_HOST="$LOCAL_IP"
  fi
  export EMQX_HOST
fi
if [[ -z "$EMQX_NODE_NAME" ]]; then export EMQX_NODE_NAME="$EMQX_NAME@$EMQX_HOST"; fi
fill() {
  local file=$1
  local key=$2
  local value=$3
  local name
  name=$(echo "$key" | sed 's/[^a-zA-Z0-9_]/\\\\&/g')
  if grep -qE "^[#[:space:]]*$name\\s*=" "$file"; then
    echo "$(sed -r "s/^[#[:space:]]*($name)\\s*=\\s*(.*)/\\1 = $value/" "$file")" > "$file"
  elif echo "$key" | grep -qE '\\.\\d+|\\d+\\.'; then
    echo "$key = $value" >> "$file"
  fi
}
for VAR in $(compgen -e); do
  if echo "$VAR" | grep -q '^EMQX_'; then
    KEY=$(echo "$VAR" | sed -e 's/^EMQX_//' -e 's/__/./g' | tr '[:upper:]' '[:lower:]' | tr -d '[:cntrl:]')
    VALUE=$(echo "\${!VAR}" | tr -d '[:cntrl:]')
    fill /opt/emqx/etc/emqx.conf "$KEY" "$VALUE"
    for FILE in /opt/emqx/etc/plugins/*; do fill "$FILE" "$KEY" "$VALUE"; done
  fi
done
exec "$@"
`;

export const EMQX: string = `#!/usr/bin/env bash
set -euo pipefail
BASE="$(cd "$(dirname "$(readlink "$0" || echo "$0")")"/..; pwd -P)"
source "$BASE/bin/common_defs.sh"
mkdir -p "$LOG_DIR"
usage() {
  case "$1" in
    start) echo "in the background" ;;
    *) echo "start or foreground" ;;
  esac
}
COMMAND="\${1:-}"
if [ "\${2:-}" = 'help' ]; then
  usage "$COMMAND"
  exit 0
fi
if ! check_erlang_start >/dev/null 2>&1; then
  BUILT_ON="$(head -1 "\${REL_DIR}/BUILT_ON")"
  export LD_LIBRARY_PATH="$DYNLIBS_DIR:\${LD_LIBRARY_PATH:-}"
  if ! check_erlang_start; then
    echo >&2 "cannot start; built on $BUILT_ON"
    exit 1
  fi
fi
check_user "$@"
ES=$?
if [ "$ES" -ne 0 ]; then exit $ES; fi
cd "$ROOTDIR"
case "\${COMMAND}" in
  start)
    mkdir -p "$ROOTDIR/pipe"
    "$BINDIR/run_erl" -daemon "$ROOTDIR/pipe" "$LOG_DIR" "$0 console"
    ;;
  foreground)
    [ -f "$REL_DIR/$REL_NAME.boot" ] && BOOTFILE="$REL_NAME" || BOOTFILE=start
    OPTIONS="-noshell -noinput +Bd"
    EMU=beam
    PROGNAME="\${0#*/}"
    export EMU
    export PROGNAME
    ARGS="$*"
    if [ "$IS_ELIXIR" = yes ]; then
      set -- "$REL_DIR/elixir" --boot "$REL_DIR/start" --no-halt
    else
      set -- "$BINDIR/erlexec" $OPTIONS -boot "$REL_DIR/$BOOTFILE" -boot_var ERTS_LIB_DIR "$ROOTDIR/lib"
    fi
    logger -t "\${REL_NAME}[$$]" "EXEC: $* -- \${1+$ARGS}"
    exec "$@" -- \${1+$ARGS}
    ;;
  *)
    usage "$COMMAND"
    exit 1
    ;;
esac
exit 0
`;

export const EMQX_DEFS: string = `#!/usr/bin/env bash
set -euo pipefail
ROOTDIR="$(cd "$(dirname "$(readlink "$0" || echo "$0")")"/..; pwd -P)"
REL_NAME="emqx"
ERTS_VSN="12.3.2"
REL_VSN="$(cut -d' ' -f2 < "$ROOTDIR/releases/start_erl.data")"
RUNNER_USER="\${RUNNER_USER:-}"
IS_ELIXIR="\${IS_ELIXIR:-no}"
LOG_DIR="\${LOG_DIR:-$ROOTDIR/log}"
REL_DIR="$ROOTDIR/releases/$REL_VSN"
BINDIR="$ROOTDIR/erts-$ERTS_VSN/bin"
DYNLIBS_DIR="$ROOTDIR/dynlibs"
check_erlang_start() {
  "$BINDIR/erl" -noshell -boot "$REL_DIR/start_clean" -s crypto start -s init stop
}
check_user() {
  if [ "$RUNNER_USER" ] && [ "x$(whoami)" != "x$RUNNER_USER" ]; then
    CMD="DEBUG=\\"\${DEBUG:-0}\\" \\"$0\\" "
    for ARG in "$@"; do CMD="\${CMD} \\"$ARG\\""; done
    exec su - "$RUNNER_USER" -c "$CMD"
  fi
}
`;

export const MAIL_CONF: string = `[supervisord]
user = root
nodaemon = true
pidfile = /var/run/supervisord.pid                 ; as it is
[include]
files = /etc/supervisor/conf.d/*.conf
`;

export const MAIL_SERVICES: string = `[program:mailserver]
startsecs=0
autorestart=false
autostart=true
command=/usr/local/bin/start-mailserver.sh

[program:postfix]
autostart=false
command=/usr/local/bin/postfix-wrapper.sh

[program:dovecot]
autostart=false
command=/usr/sbin/dovecot -F -c /etc/dovecot/dovecot.conf

[program:rsyslog]
autostart=false
command=/usr/sbin/rsyslogd -n
`;

export const MAIL_START: string = `#!/bin/bash
DOVECOT_TLS="\${DOVECOT_TLS:=no}"
ENABLE_LDAP="\${ENABLE_LDAP:=0}"
SMTP_ONLY="\${SMTP_ONLY:=0}"
IS_SET="$( if [[ -n \${SPAM_TO_INBOX+'set'} ]]; then echo true ; else echo false ; fi )"
HOSTNAME="$(hostname -f)"
declare -a SETUP
declare -a DAEMONS
function notify { case "\${1}" in err) echo >&2 "\${2}" ;; *) echo "\${2}" ;; esac; }
function register_setup { SETUP+=("\${1}"); notify inf "\${1}() registered"; }
function register_daemon { DAEMONS+=("\${1}"); notify inf "\${1}() registered"; }
function register {
  register_setup setup_supervisor
  register_setup setup_permissions
  [[ \${ENABLE_LDAP} -eq 1 ]] && register_setup setup_ldap
  register_daemon start_rsyslog
  [[ \${SMTP_ONLY} -ne 1 ]] && register_daemon start_dovecot
  register_daemon start_postfix
}
function setup_supervisor {
  sed -i -E "s+loglevel.*+loglevel = \${SUPERVISOR_LOGLEVEL:-warn}+g" /etc/supervisor/supervisord.conf
  supervisorctl update
}
function setup_permissions { chown -R 5000:5000 /var/mail; }
function setup_ldap { sed -i "s/x/y/" /etc/dovecot/ldap.conf; }
function started { supervisorctl start "\${1}" || { notify err "\${1} failed"; exit 1; }; }
function start_rsyslog { started rsyslog; }
function start_dovecot { started dovecot; }
function start_postfix { started postfix; }
register
for FUNC in "\${SETUP[@]}"; do \${FUNC}; done
for FUNC in "\${DAEMONS[@]}"; do \${FUNC} &>/dev/null; done
tail -Fn 0 /var/log/mail/mail.log
`;

export const MAIL_POSTFIX: string = `#!/bin/bash
trap "postfix stop" SIGINT
trap "postfix stop" SIGTERM
trap "postfix reload" SIGHUP
exec postfix start-fg
`;
