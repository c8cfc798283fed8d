import { type Case, MUSL } from '../cases.ts';

/**
 * Start scripts that build tools and servers write, each in the shape of the original: how they find themselves and their
 * interpreter, read options and put a command line together. A static program stands in the interpreter's place.
 */

const JAVA = 'opt/java/openjdk/bin/java';
const path = 'PATH=/opt/java/openjdk/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const javaHome = ['JAVA_HOME=/opt/java/openjdk', path];

const started = (name: string, cmd: readonly string[], scripts: Case['files'], more: Partial<Case> = {}): Case => ({
  name: `started-by-${name}`,
  trap: `a start script in the shape of ${name}`,
  on: 'debian',
  truth: MUSL,
  env: javaHome,
  cmd,
  ...more,
  files: { [JAVA]: '@musl-static', ...more.files },
  layers: { 'COPY --from=build /dist /': scripts, ...more.layers },
});

const gradle = `#!/bin/sh
app_path=$0
while
  APP_HOME=\${app_path%"\${app_path##*/}"}
  [ -h "$app_path" ]
do
  ls=$( ls -ld "$app_path" )
  link=\${ls#*' -> '}
  case $link in
    /*) app_path=$link ;;
    *) app_path=$APP_HOME$link ;;
  esac
done
APP_HOME=$( cd "\${APP_HOME:-./}.." > /dev/null && pwd -P ) || exit
MAX_FD=maximum
die () { echo "$*"; exit 1; } >&2
cygwin=false
case "$( uname )" in
  CYGWIN* ) cygwin=true ;;
esac
if [ -n "$JAVA_HOME" ] ; then
  JAVACMD=$JAVA_HOME/bin/java
  if [ ! -x "$JAVACMD" ] ; then die "no java"; fi
else
  JAVACMD=java
fi
if ! "$cygwin" ; then
  case $MAX_FD in
    max*) MAX_FD=$( ulimit -H -n ) || echo "no limit" ;;
  esac
fi
set -- -classpath "$APP_HOME/lib/app.jar" org.example.Main "$@"
eval "set -- $(printf '%s\\n' "$DEFAULT_JVM_OPTS $JAVA_OPTS" | xargs -n1 | sed ' s~[^-[:alnum:]+,./:=@_]~\\\\&~g; ' | tr '\\n' ' ')" '"$@"'
exec "$JAVACMD" "$@"
`;

const sbt = `#!/usr/bin/env bash
realpath () {
(
  file="$1"
  cd "$(dirname "$file")"
  file=$(basename "$file")
  count=0
  while [ -L "$file" -a $count -lt 100 ]; do
    file=$(readlink "$file")
    cd "$(dirname "$file")"
    count=$(($count + 1))
  done
  echo "$(pwd -P)/$file"
)
}
java_command() {
  if [[ -n "$JAVA_HOME" ]] && [[ -x "$JAVA_HOME/bin/java" ]]; then echo "$JAVA_HOME/bin/java"; else echo java; fi
}
run_it() { [[ $verbose ]] && echo "# runs:" "$@"; exec "$@"; }
addJava () { java_args+=( "$1" ); }
addRest () { rest_args+=( "$1" ); }
read_args () {
  while [[ $# -gt 0 ]]; do
    case "$1" in
      -v) verbose=1 && shift ;;
      -D*) addJava "$1" && shift ;;
      -J*) addJava "\${1:2}" && shift ;;
      *) addRest "$1" && shift ;;
    esac
  done
}
run() {
  read_args "$@"
  set -- "\${rest_args[@]}"
  run_it "$java_cmd" \${java_opts[@]} "\${java_args[@]}" -cp "$classpath" "\${main[@]}" "\${rest_args[@]}"
}
declare -a rest_args
declare -a java_args
declare -r script_path="$(realpath "$0")"
declare -r home="$(realpath "$(dirname "$script_path")")"
declare -a main=(play.core.server.ProdServerStart)
declare -r classpath="$home/../lib/*"
declare java_cmd=$(java_command)
run "$@"
`;

const beam = {
  'opt/app/erts-14/bin/erlexec': '@musl-static',
  'opt/app/erts-14/bin/erl':
    '#!/bin/sh\nROOTDIR="$(cd "$(dirname "$0")/../.." && pwd -P)"\nBINDIR=$ROOTDIR/erts-14/bin\nEMU=beam\nexport ROOTDIR BINDIR EMU\nexec "$BINDIR/erlexec" ${1+"$@"}\n',
  'opt/app/releases/start_erl.data': '14 1.0.3\n',
} as const;

const mix = `#!/bin/sh
set -e
readlink_f () {
  cd "$(dirname "$1")" > /dev/null
  name="$(basename "$1")"
  if [ -h "$name" ]; then readlink_f "$(readlink "$name")"; else echo "$(pwd -P)/$name"; fi
}
SELF=$(readlink_f "$0")
RELEASE_ROOT="$(CDPATH='' cd "$(dirname "$SELF")/.." && pwd -P)"
RELEASE_VSN="\${RELEASE_VSN:-"$(cut -d' ' -f2 "$RELEASE_ROOT/releases/start_erl.data")"}"
VERSION_DIR="$RELEASE_ROOT/releases/$RELEASE_VSN"
. "$VERSION_DIR/env.sh"
COOKIE="\${RELEASE_COOKIE:-"$(cat "$RELEASE_ROOT/releases/COOKIE")"}"
start () {
  program="$1"
  shift
  exec "$VERSION_DIR/$program" --cookie "$COOKIE" --vm-args "$VERSION_DIR/vm.args" "$@"
}
case $1 in
  start) start "elixir" --no-halt ;;
  start_iex) start "iex" ;;
  *) echo "unknown command"; exit 1 ;;
esac
`;

const relx = `#!/bin/sh
set -e
SCRIPT=$0
DIR="$(cd "$(dirname "$SCRIPT")" && pwd -P)"
RELEASE_ROOT_DIR="$(cd "$DIR/.." && pwd -P)"
REL_VSN="\${REL_VSN:-1.0.3}"
ERTS_VSN="14"
erts_dir() {
  __dir="$RELEASE_ROOT_DIR/erts-$ERTS_VSN"
  if [ -d "$__dir" ]; then ERTS_DIR="$__dir"; else ERTS_DIR="$(erl -noshell -eval 'io:format(code:root_dir()).' -s erlang halt)"; fi
}
erts_dir
BINDIR="$ERTS_DIR/bin"
[ -n "$RELX_CONFIG" ] || RELX_CONFIG="$RELEASE_ROOT_DIR/releases/$REL_VSN/sys.config"
export BINDIR
case "$1" in
  foreground)
    shift
    set -- "$BINDIR/erlexec" -noinput +Bd -boot "$RELEASE_ROOT_DIR/releases/$REL_VSN/app" -config "$RELX_CONFIG" "$@"
    echo "Exec: $@"
    exec "$@"
    ;;
  *) exit 1 ;;
esac
`;

const wildfly = `#!/bin/sh
DEBUG_MODE="\${DEBUG:-false}"
while [ "$#" -gt 0 ]; do
  case "$1" in
    --debug) DEBUG_MODE=true ;;
    *) SERVER_OPTS="$SERVER_OPTS \\"$1\\"" ;;
  esac
  shift
done
DIRNAME=\`dirname "$0"\`
GREP="grep"
. "$DIRNAME/common.sh"
RESOLVED=\`cd "$DIRNAME/.." >/dev/null; pwd\`
if [ "x$JBOSS_HOME" = "x" ]; then JBOSS_HOME=$RESOLVED; fi
if [ "x$RUN_CONF" = "x" ]; then RUN_CONF="$DIRNAME/standalone.conf"; fi
if [ -r "$RUN_CONF" ]; then . "$RUN_CONF"; fi
if [ "x$JAVA" = "x" ]; then
  if [ "x$JAVA_HOME" != "x" ]; then JAVA="$JAVA_HOME/bin/java"; else JAVA="java"; fi
fi
if [ "$PRESERVE_JAVA_OPTS" != "true" ]; then
  SERVER_SET=\`echo $JAVA_OPTS | $GREP "\\-server"\`
  if [ "x$SERVER_SET" = "x" ]; then PREPEND="-server"; fi
  JAVA_OPTS="$PREPEND $JAVA_OPTS"
fi
while true; do
  if [ "x$LAUNCH_JBOSS_IN_BACKGROUND" = "x" ]; then
    eval \\"$JAVA\\" -D\\"[Standalone]\\" $JAVA_OPTS -jar \\""$JBOSS_HOME"/jboss-modules.jar\\" "$SERVER_OPTS"
    STATUS=$?
  else
    eval \\"$JAVA\\" -D\\"[Standalone]\\" $JAVA_OPTS -jar \\""$JBOSS_HOME"/jboss-modules.jar\\" "$SERVER_OPTS" "&"
    PID=$!
    trap "kill -TERM $PID" TERM
    wait $PID
    STATUS=$?
  fi
  if [ "$STATUS" -eq 10 ]; then echo "again"; else exit $STATUS; fi
done
`;

const solr = `#!/usr/bin/env bash
if [ -n "\${SOLR_JAVA_HOME:-}" ]; then
  JAVA="$SOLR_JAVA_HOME/bin/java"
elif [ -n "$JAVA_HOME" ]; then
  for java in "$JAVA_HOME"/bin/amd64 "$JAVA_HOME"/bin; do
    if [ -x "$java/java" ]; then JAVA="$java/java"; break; fi
  done
else
  JAVA=java
fi
while [ $# -gt 0 ]; do
  case "$1" in
    -f) FOREGROUND=true; shift ;;
    -m) MEMORY="$2"; shift 2 ;;
    *) REST+=("$1"); shift ;;
  esac
done
OPTIONS=("-server" "-Xmx\${MEMORY:-512m}")
[ -n "$GC_TUNE" ] && OPTIONS+=($GC_TUNE)
if [ "$FOREGROUND" == "true" ]; then
  exec "$JAVA" "\${OPTIONS[@]}" -jar start.jar "\${REST[@]}"
else
  nohup "$JAVA" "\${OPTIONS[@]}" -jar start.jar >/log 2>&1 &
fi
`;

const sparkClass = `#!/usr/bin/env bash
if [ -n "\${JAVA_HOME}" ]; then RUNNER="\${JAVA_HOME}/bin/java"; else RUNNER=java; fi
build() { "$RUNNER" -Xmx128m -cp jars Launcher "$@"; printf "%d\\0" $?; }
CMD=()
while IFS= read -d '' -r word; do CMD+=("$word"); done < <(build "$@")
LAST=$((\${#CMD[@]} - 1))
CODE=\${CMD[$LAST]}
if [ "$CODE" != 0 ]; then exit "$CODE"; fi
CMD=("\${CMD[@]:0:$LAST}")
exec "\${CMD[@]}"
`;

const spark = (inner: string): string => `#!/bin/bash
set -eo pipefail
for v in "\${!SPARK_JAVA_OPT_@}"; do SPARK_OPTS+=( "\${!v}" ); done
if [ -n "$EXTRA_CLASSPATH" ]; then CP="$CP:$EXTRA_CLASSPATH"; fi
if ! [ -z "\${PYSPARK_PYTHON+x}" ]; then export PYSPARK_PYTHON; fi
if ! [ -z "\${CONF_DIR+x}" ]; then CP="$CONF_DIR:$CP"; elif ! [ -z "\${SPARK_HOME+x}" ]; then CP="$SPARK_HOME/conf:$CP"; fi
become() { if [ $(id -u) -eq 0 ]; then echo gosu nobody; fi; }
case "$1" in
  driver)
    shift 1
    CMD=( "$SPARK_HOME/bin/spark-submit" --deploy-mode client "$@" )
    exec $(become) /usr/bin/tini -s -- "\${CMD[@]}"
    ;;
  executor)
    shift 1
    CMD=( ${inner} "\${SPARK_OPTS[@]}" -Xms"$MEMORY" -cp "$CP" Executor )
    exec $(become) /usr/bin/tini -s -- "\${CMD[@]}"
    ;;
  *) exec "$@" ;;
esac
`;

const sparkHelpers = { 'usr/bin/tini': '@tini', 'usr/sbin/gosu': '@gosu' } as const;

export const startScripts: readonly Case[] = [
  started('gradle', ['/app/bin/app'], { 'app/bin/app': gradle }),
  started('sbt', ['/opt/app/bin/app', '-Dx=y', 'run'], { 'opt/app/bin/app': sbt }),
  started('mix', ['/opt/app/bin/app', 'start'], {
    ...beam,
    'opt/app/bin/app': mix,
    'opt/app/releases/COOKIE': 'secret',
    'opt/app/releases/1.0.3/env.sh': '#!/bin/sh\nexport RELEASE_DISTRIBUTION=name\n',
    'opt/app/releases/1.0.3/elixir':
      '#!/bin/sh\nSCRIPT_PATH=$(dirname "$0")\nERL_EXEC="erl"\nwhile [ $# -gt 0 ]; do\n  case "$1" in\n    --werl) ERL_EXEC="werl" ;;\n    *) EX="$EX $1" ;;\n  esac\n  shift\ndone\nset -- "$SCRIPT_PATH"/../../erts-14/bin/"$ERL_EXEC" -noshell -elixir_root lib "$@"\nexec "$@"\n',
  }),
  started('relx', ['/opt/app/bin/app', 'foreground'], { ...beam, 'opt/app/bin/app': relx }),
  started('wildfly', ['/opt/jboss/bin/standalone.sh', '-b', '0.0.0.0'], {
    'opt/jboss/bin/standalone.sh': wildfly,
    'opt/jboss/bin/common.sh': 'setModular() { MODULAR=`"$JAVA" --version | grep 9`; }\n',
    'opt/jboss/bin/standalone.conf': 'if [ "x$JAVA_OPTS" = "x" ]; then JAVA_OPTS="-Xms64m"; fi\n',
  }),
  started(
    'wildfly-in-the-background',
    ['/opt/jboss/bin/standalone.sh'],
    {
      'opt/jboss/bin/standalone.sh': wildfly,
      'opt/jboss/bin/common.sh': 'setModular() { :; }\n',
    },
    { env: [...javaHome, 'LAUNCH_JBOSS_IN_BACKGROUND=true'] },
  ),
  started(
    'solr',
    ['solr-foreground'],
    {
      'opt/solr/bin/solr': solr,
      'opt/solr/scripts/solr-foreground': '#!/bin/bash\nset -e\n. run-initdb\nexec solr -f "$@"\n',
      'opt/solr/scripts/run-initdb': 'shopt -s nullglob\nfor f in /initdb.d/*; do . "$f"; done\n',
    },
    { env: [javaHome[0] ?? '', `PATH=/opt/solr/bin:/opt/solr/scripts:/usr/bin:/bin`] },
  ),
  started(
    'spark-executor',
    ['executor'],
    { 'opt/entrypoint.sh': spark('${JAVA_HOME}/bin/java') },
    {
      entrypoint: ['/opt/entrypoint.sh'],
      user: '185',
      env: [...javaHome, 'SPARK_HOME=/opt/spark'],
      files: { [JAVA]: '@musl-static', ...sparkHelpers },
    },
  ),
  started(
    'spark-driver',
    ['driver'],
    {
      'opt/entrypoint.sh': spark('${JAVA_HOME}/bin/java'),
      'opt/spark/bin/spark-submit':
        '#!/usr/bin/env bash\nexport PYTHONHASHSEED=0\nexec "${SPARK_HOME}"/bin/spark-class Submit "$@"\n',
      'opt/spark/bin/spark-class': sparkClass,
    },
    {
      entrypoint: ['/opt/entrypoint.sh'],
      user: '185',
      env: [...javaHome, 'SPARK_HOME=/opt/spark'],
      files: { [JAVA]: '@musl-static', ...sparkHelpers },
    },
  ),
  started(
    'flink',
    ['jobmanager'],
    {
      'docker-entrypoint.sh':
        '#!/usr/bin/env bash\nset_config() { sed -i "s/$1/$2/" /opt/flink/conf; }\nargs=("$@")\nif [ "$1" = "help" ]; then\n  printf "Usage\\n"\n  exit 0\nelif [ "$1" = "jobmanager" ]; then\n  args=("${args[@]:1}")\n  set_config rpc "$(hostname -f)"\n  exec "$FLINK_HOME/bin/jobmanager.sh" start-foreground "${args[@]}"\nfi\nexec "${args[@]}"\n',
      'opt/flink/bin/jobmanager.sh':
        '#!/usr/bin/env bash\nMODE=$1\nbin=`dirname "$0"`\nbin=`cd "$bin"; pwd`\n. "$bin"/config.sh\nif [[ $MODE == "start-foreground" ]]; then\n  exec "$bin"/console.sh session "${@:2}"\nelse\n  "$bin"/daemon.sh $MODE\nfi\n',
      'opt/flink/bin/config.sh':
        'if [[ -z "$JAVA_HOME" ]]; then JAVA_RUN=java; else JAVA_RUN="${JAVA_HOME}"/bin/java; fi\n',
      'opt/flink/bin/console.sh':
        '#!/usr/bin/env bash\nSERVICE=$1\nARGS=("${@:2}")\nbin=`dirname "$0"`\nbin=`cd "$bin"; pwd`\n. "$bin"/config.sh\ncase $SERVICE in\n  (session) CLASS=Session ;;\n  (*) exit 1 ;;\nesac\nexec "$JAVA_RUN" $JVM_ARGS -cp x ${CLASS} "${ARGS[@]}"\n',
    },
    { entrypoint: ['/docker-entrypoint.sh'], env: [...javaHome, 'FLINK_HOME=/opt/flink'] },
  ),
  started('kafka', ['/etc/kafka/docker/run'], {
    'etc/kafka/docker/run':
      '#!/usr/bin/env bash\n. /etc/kafka/docker/bash-config\nif [ -n "${SECRET:-}" ]; then export KEY=1; fi\n. /etc/kafka/docker/configure\nexec /etc/kafka/docker/launch\n',
    'etc/kafka/docker/bash-config': 'set -o nounset -o errexit\n',
    'etc/kafka/docker/configure': 'if [ -z "${CLUSTER_ID-}" ]; then export CLUSTER_ID=abc; fi\n',
    'etc/kafka/docker/launch':
      '#!/usr/bin/env bash\nexport HOST_NAME=${HOST_NAME:-$(hostname -i | cut -d" " -f1)}\nresult=$(/opt/kafka/bin/kafka-run-class.sh Setup 2>&1) || echo $result | grep -i formatted || { echo $result && (exit 1) }\nexec /opt/kafka/bin/kafka-server-start.sh /opt/kafka/server.properties\n',
    'opt/kafka/bin/kafka-server-start.sh':
      '#!/bin/bash\nif [ $# -lt 1 ]; then exit 1; fi\nbase_dir=$(dirname $0)\nARGS=${ARGS-"-name kafkaServer -loggc"}\nCOMMAND=$1\ncase $COMMAND in\n  -daemon) ARGS="-daemon "$ARGS; shift ;;\nesac\nexec $base_dir/kafka-run-class.sh $ARGS kafka.Kafka "$@"\n',
    'opt/kafka/bin/kafka-run-class.sh':
      '#!/bin/bash\nshould_include() { [ "$TEST_JARS" = true ] && return 0; [ $(echo "$1" | egrep "test") ] && return 1; return 0; }\nbase_dir=$(dirname $0)/..\nshopt -s nullglob\nfor file in "$base_dir"/libs/*; do\n  if should_include "$file"; then CLASSPATH="$CLASSPATH":"$file"; fi\ndone\nif [ -z "$JMX_OPTS" ]; then JMX_OPTS="-Djmx=false"; fi\nif [ -z "$JAVA_HOME" ]; then JAVA="java"; else JAVA="$JAVA_HOME/bin/java"; fi\nwhile [ $# -gt 0 ]; do\n  COMMAND=$1\n  case $COMMAND in\n    -name) NAME=$2; shift 2 ;;\n    -loggc) GC=true; shift ;;\n    -daemon) DAEMON=true; shift ;;\n    *) break ;;\n  esac\ndone\nif [ "x$DAEMON" = "xtrue" ]; then\n  nohup "$JAVA" $HEAP -cp "$CLASSPATH" "$@" > log 2>&1 < /dev/null &\nelse\n  exec "$JAVA" $HEAP -cp "$CLASSPATH" "$@"\nfi\n',
  }),
  started(
    'tomcat',
    ['catalina.sh', 'run'],
    {
      'usr/local/tomcat/bin/catalina.sh':
        '#!/bin/sh\nos400=false\nPRG="$0"\nwhile [ -h "$PRG" ]; do\n  ls=`ls -ld "$PRG"`\n  link=`expr "$ls" : ".*-> \\(.*\\)$"`\n  PRG="$link"\ndone\nPRGDIR=`dirname "$PRG"`\n[ -z "$CATALINA_HOME" ] && CATALINA_HOME=`cd "$PRGDIR/.." >/dev/null; pwd`\n[ -z "$CATALINA_BASE" ] && CATALINA_BASE="$CATALINA_HOME"\nif [ -r "$CATALINA_BASE/bin/setenv.sh" ]; then . "$CATALINA_BASE/bin/setenv.sh"; fi\nif [ -r "$CATALINA_HOME"/bin/setclasspath.sh ]; then\n  . "$CATALINA_HOME"/bin/setclasspath.sh\nelse\n  exit 1\nfi\nif [ -z "$LOGGING" ]; then LOGGING="-Dnop"; fi\nif [ "$1" = "jpda" ]; then shift; fi\nif [ "$1" = "run" ]; then\n  shift\n  eval exec "\\"$_RUNJAVA\\"" "\\"$LOGGING\\"" $JAVA_OPTS Bootstrap "$@" start\nelif [ "$1" = "start" ]; then\n  eval "\\"$_RUNJAVA\\"" Bootstrap start "&"\nfi\n',
      'usr/local/tomcat/bin/setclasspath.sh':
        'if [ -z "$JRE_HOME" ]; then JRE_HOME="$JAVA_HOME"; fi\n_RUNJAVA="$JRE_HOME"/bin/java\n',
    },
    { env: [javaHome[0] ?? '', 'PATH=/usr/local/tomcat/bin:/usr/bin:/bin'] },
  ),
  started(
    'run-java',
    ['/opt/run-java/run-java.sh'],
    {
      'opt/run-java/run-java.sh':
        '#!/bin/sh\nscript_dir() { dir=$(dirname "$0"); echo "$dir"; }\njava_options() { echo "${JAVA_OPTIONS:-} $(memory)"; }\nmemory() { if [ -n "${MAX:-}" ]; then echo "-Xmx$MAX"; fi; }\njoin() { local ret=""; while read -r line; do ret="${ret}:${line}"; done; echo "$ret"; }\nclasspath() { local cp="."; if [ -f "$APP_DIR/classpath" ]; then cp="$cp:$(cat "$APP_DIR/classpath" | join)"; fi; echo "$cp"; }\nargs() { if [ -n "${JAVA_MAIN_CLASS:-}" ]; then echo "$JAVA_MAIN_CLASS"; else echo "-jar $JAVA_APP_JAR"; fi; }\nrun() { cd "${APP_DIR:-/}"; exec java $(java_options) -cp "$(classpath)" $(args) "$@"; }\nif [ "${1:-}" = "options" ]; then java_options; exit 0; fi\nrun "$@"\n',
    },
    { env: [...javaHome, 'JAVA_APP_JAR=/app.jar'] },
  ),
  started(
    'cassandra',
    ['cassandra', '-f'],
    {
      'opt/cassandra/bin/cassandra':
        '#!/bin/sh\nif [ "x$INCLUDE" = "x" ]; then\n  for include in "`dirname "$0"`/cassandra.in.sh" "$HOME/.cassandra.in.sh" /usr/share/cassandra/cassandra.in.sh; do\n    if [ -r "$include" ]; then . "$include"; break; fi\n  done\nfi\nif [ -n "$JAVA_HOME" ]; then\n  if [ -x "$JAVA_HOME/bin/java" ]; then JAVA="$JAVA_HOME/bin/java"; fi\nelse\n  JAVA=java\nfi\nif [ -z "$JAVA" ]; then exit 1; fi\nlaunch() {\n  if [ "x$2" != "x" ]; then exec $NUMACTL "$JAVA" $OPTS -cp "$CP" "$1"; else nohup $NUMACTL "$JAVA" "$1" <&- & fi\n  return $?\n}\nwhile true; do\n  case "$1" in\n    -f) FOREGROUND=yes; shift ;;\n    "") break ;;\n    *) shift ;;\n  esac\ndone\nlaunch Daemon "$FOREGROUND"\n',
      'opt/cassandra/bin/cassandra.in.sh': 'CASSANDRA_HOME="`dirname "$0"`/.."\n',
    },
    { env: [javaHome[0] ?? '', 'PATH=/opt/cassandra/bin:/usr/bin:/bin'] },
  ),
  started('couchdb', ['/opt/couchdb/bin/couchdb'], {
    'opt/couchdb/bin/couchdb':
      '#!/bin/sh\nwhere () {\n  cd $(dirname "$1")\n  FILE=$(basename "$1")\n  if [ -h "$FILE" ]; then\n    FILE=$(readlink "$FILE")\n    where "$FILE"\n  else\n    pwd -P\n  fi\n}\nBIN_DIR=$(where "$0")\nROOTDIR=${BIN_DIR%/*}\nSTART_ERL=$(cat "$ROOTDIR/releases/start_erl.data")\nERTS_VSN=${START_ERL% *}\nAPP_VSN=${START_ERL#* }\nexport BINDIR="$ROOTDIR/erts-$ERTS_VSN/bin"\nARGS_FILE="${ARGS_FILE:-$ROOTDIR/etc/vm.args}"\nexec "$BINDIR/erlexec" -boot "$ROOTDIR/releases/$APP_VSN/couchdb" -args_file "$ARGS_FILE" "$@"\n',
    'opt/couchdb/releases/start_erl.data': '14 3.3\n',
    'opt/couchdb/erts-14/bin/erlexec': '@musl-static',
  }),
];
