import { readFileSync } from 'node:fs';

import type { CorpusImage, Kind } from '../corpus-image.ts';
import { type Case, casesOf, GLIBC, GO, MUSL } from './cases.ts';

/** Shapes of start scripts, services and layers that people run, most of which were misread once. A static program stands for Java. */

const gradle = readFileSync(
  new URL('../../fixtures/entrypoints/gradle-application/rootfs/opt/app/bin/app', import.meta.url),
  'utf8',
);
const java = { 'opt/jdk/bin/java': '@musl-static' } as const;
const javaHome = ['JAVA_HOME=/opt/jdk'];

const started = (name: string, trap: string, files: Case['files'], more: Partial<Case> = {}): Case => ({
  name,
  trap,
  on: 'debian',
  truth: GO,
  files,
  cmd: ['/start'],
  ...more,
});

const SELF_BY_LISTING = `#!/bin/sh
PRG="$0"
while [ -h "$PRG" ]; do
  listing=$(ls -ld "$PRG")
  link=$(expr "$listing" : '.*-> \\(.*\\)$')
  if expr "$link" : '/.*' > /dev/null; then PRG="$link"; else PRG=$(dirname "$PRG")/"$link"; fi
done
exec "$(dirname "$PRG")/server" run
`;

const scripts: readonly Case[] = [
  started(
    'gradle-application-by-link',
    "Gradle's start script, called by a link, evaluates its options",
    { ...java, 'opt/app/bin/app': gradle, 'usr/local/bin/app': '->/opt/app/bin/app' },
    { truth: MUSL, env: javaHome, cmd: ['app'] },
  ),
  started(
    'gradle-application',
    "Gradle's start script looks for Java in two places",
    { ...java, 'opt/app/bin/app': gradle },
    { truth: MUSL, env: javaHome, entrypoint: ['/opt/app/bin/app'], cmd: ['--port', '80'] },
  ),
  started('folder-or-exit', 'a substitution whose output goes with its exit status', {
    'opt/app/bin/server': '@go',
    start: `#!/bin/sh
APP=$(cd "\${APP:-/opt/app}" && pwd) || exit 1
[ -x "$APP/jre/server" ] && BIN=$APP/jre/server || BIN=$APP/bin/server
if [ ! -x "$BIN" ]; then echo "no server in $APP"; exit 1; fi
exec "$BIN" "$@"
`,
  }),
  started('self-by-ls-and-expr', 'a script finds its own place by ls -ld and expr', {
    'opt/app/server': '@go',
    'opt/app/start': SELF_BY_LISTING,
    start: '->/opt/app/start',
  }),
  started('printf-into-a-variable', 'printf -v, getopts and read -a make the command', {
    'opt/bin/proxyd': '@go',
    start: `#!/usr/bin/env bash
while getopts "c:v" opt; do
  case $opt in
    c) conf=$OPTARG ;;
    v) verbose=1 ;;
  esac
done
shift $((OPTIND-1))
printf -v bin "%s/%s" "\${BIN_DIR:-/opt/bin}" "proxyd"
args=()
[[ $conf ]] && args+=(--config "$conf")
read -ra extra <<< "\${EXTRA_ARGS:-}"
exec "$bin" "\${args[@]}" "\${extra[@]}" "$@"
`,
  }),
  started('helper-from-a-template', 'a helper is copied from a template, and finds its own place', {
    'home/runner/bin/listener': '@go',
    'home/runner/helper.template': `#!/bin/bash
SELF="\${BASH_SOURCE[0]}"
while [ -h "$SELF" ]; do SELF="$(readlink "$SELF")"; done
HERE="$( cd -P "$( dirname "$SELF" )" && pwd )"
"$HERE"/bin/listener run $*
exit $?
`,
    start: `#!/bin/bash
HERE=/home/runner
run() {
  while :; do
    cp -f "$HERE"/helper.template "$HERE"/helper.sh
    "$HERE"/helper.sh $*
    if [[ $? -eq 2 ]]; then echo again; else exit 0; fi
  done
}
run $*
`,
  }),
  started('array-by-reference', 'a function fills an array whose name it is given', {
    'opt/srv/bin/relayd': '@go',
    start: `#!/bin/bash
set -euo pipefail
build() {
  local -n out=$1; shift
  out+=("/opt/srv/bin/relayd")
  for pair in "$@"; do out+=("--\${pair%%=*}" "\${pair#*=}"); done
}
declare -a cmd=()
build cmd port=80 host=::
exec "\${cmd[@]}"
`,
  }),
  started(
    'role-by-own-name',
    'a script that several names lead to calls a function by its name',
    {
      'opt/worker': '@go',
      'opt/web': '@glibc',
      start: `#!/bin/bash
set -e
case "$(basename "$0")" in
  start) role=web ;;
  worker) role=worker ;;
esac
run_web() { exec /opt/web; }
run_worker() { exec /opt/worker; }
"run_$role"
`,
      worker: '->start',
    },
    { cmd: ['/worker'] },
  ),
  started(
    'program-by-architecture',
    'uname -m picks the program beside the script',
    {
      'app/bin/svc-x86_64': '@go',
      'app/bin/svc-aarch64': '@glibc',
      'app/start': `#!/bin/sh
case "$(uname -m)" in
  x86_64|amd64) arch=x86_64 ;;
  aarch64|arm64) arch=aarch64 ;;
  *) exit 1 ;;
esac
exec "$(dirname "$(readlink -f "$0")")/bin/svc-$arch" "$@"
`,
    },
    { cmd: ['/app/start'] },
  ),
  started('program-in-a-file-of-variables', 'a file of variables names the program', {
    'opt/app/bin/appd': '@go',
    'etc/default/app': 'APP_BIN=/opt/app/bin/appd\nAPP_PORT=8080\n',
    start: '#!/bin/bash\nset -a\n. /etc/default/app\nset +a\nexec "$APP_BIN" serve\n',
  }),
  started(
    'server-restarted-by-a-loop',
    'a loop evaluates the server in the foreground or the background',
    {
      'opt/jdk/bin/java': '@go',
      start: `#!/bin/sh
JAVA="$JAVA_HOME/bin/java"
while true; do
   if [ "x$IN_BACKGROUND" = "x" ]; then
      eval \\"$JAVA\\" -server $JAVA_OPTS -jar /opt/app.jar
      STATUS=$?
   else
      eval \\"$JAVA\\" -server $JAVA_OPTS -jar /opt/app.jar "&"
      PID=$!
      trap "kill -HUP $PID" HUP
      wait $PID 2>/dev/null
      STATUS=$?
   fi
   if [ "$STATUS" -eq 10 ]; then echo again; else exit $STATUS; fi
done
`,
    },
    { env: [...javaHome, 'IN_BACKGROUND=true'] },
  ),
  started(
    'numactl-if-there',
    'a wrapper that may be there stands in a variable before the program',
    {
      'usr/bin/numactl': '@glibc',
      'opt/jdk/bin/java': '@go',
      start: `#!/bin/sh
if which numactl >/dev/null 2>/dev/null && numactl --interleave=all ls / >/dev/null 2>/dev/null
then NUMACTL="numactl --interleave=all"
else NUMACTL=""
fi
launch() {
  if [ "x$1" = "xyes" ]; then exec $NUMACTL "$JAVA_HOME/bin/java" $JVM_OPTS Main
  else exec $NUMACTL "$JAVA_HOME/bin/java" $JVM_OPTS Main <&- &
  fi
}
launch yes
`,
    },
    { env: javaHome },
  ),
  started('agent-behind-a-log', 'an agent starts behind nohup, and its log is what stays', {
    'opt/agent/bin/launcher': '@go',
    'opt/agent/agent.sh': '#!/bin/sh\nnohup /opt/agent/bin/launcher > /tmp/out.log 2>&1 &\necho $! > /tmp/agent.pid\n',
    start: `#!/bin/bash
/opt/agent/agent.sh start
while [ ! -f /tmp/agent.log ]; do sleep 1; done
trap '/opt/agent/agent.sh stop' EXIT INT TERM
tail -qF /tmp/agent.log &
wait
`,
  }),
  started('server-as-its-own-su', 'a program of many names changes the user for itself', {
    'usr/bin/db': '@go',
    'usr/bin/db-server': '->db',
    start: `#!/bin/bash
set -eo pipefail
UID_OF="\${DB_UID:-"$(id -u nobody)"}"
DIR="$(db extract --key=path || true)"
if [[ $# -lt 1 ]] || [[ "$1" == "--"* ]]; then
  if [[ "\${RESTART:-0}" -eq "1" ]]; then
    while true; do /usr/bin/db su "$UID_OF" /usr/bin/db-server "$@" ||:; done
  else
    exec /usr/bin/db su "$UID_OF" /usr/bin/db-server "$@"
  fi
fi
exec "$@"
`,
  }),
];

const cases: Readonly<Partial<Record<Kind, readonly Case[]>>> = {
  'entry script': scripts,
  interpreter: [
    started(
      'perl-ends-in-exec',
      'a Perl script ends in exec of a program with its own arguments',
      {
        'opt/mon/collector': '@go',
        start: '#!/usr/bin/perl\nexec("/opt/mon/collector", "-c", @ARGV);\n',
      },
      { cmd: ['/start', '-v'] },
    ),
  ],
  supervisor: [
    started(
      'runit-services-by-link',
      "runit's services are links to the folders of others",
      {
        'usr/bin/runsvdir': '@glibc',
        'etc/sv/web/run': '#!/bin/sh\nexec 2>&1\nexec chpst -u nobody /opt/web/server\n',
        'etc/service/web': '->/etc/sv/web',
        'opt/web/server': '@go',
      },
      { cmd: ['runsvdir', '-P', '/etc/service'] },
    ),
    started(
      'runit-links-in-a-layer-above',
      'the links to the services were made by a later line',
      {
        'usr/bin/runsvdir': '@glibc',
        'opt/web/server': '@go',
      },
      {
        layers: {
          'COPY sv /etc/sv': { 'etc/sv/web/run': '#!/bin/sh\nexec /opt/web/server\n' },
          'RUN /bin/sh -c ln -s /etc/sv/web /etc/service/web': { 'etc/service/web': '->/etc/sv/web' },
        },
        cmd: ['runsvdir', '-P', '/etc/service'],
      },
    ),
    started(
      's6-services-in-execline',
      's6-svscan with services in execline, as apko writes them',
      {
        'usr/bin/s6-svscan': '@musl-static',
        'sv/web/run': '#!/bin/execlineb\n/opt/web/server -c /etc/web.conf -g "daemon off;"\n',
        'sv/.s6-svscan/finish': '#!/bin/sh\n',
        'opt/web/server': '@go',
      },
      { cmd: ['s6-svscan', '/sv'] },
    ),
  ],
  linking: [
    started(
      'frankenphp',
      'PHP inside of a Go program resolves through the libc',
      { 'usr/local/bin/frankenphp': '@cgo' },
      {
        truth: GLIBC,
        cmd: ['frankenphp', 'run'],
      },
    ),
    started(
      'datadog-agent',
      'Python inside of a Go program resolves through the libc',
      {
        'opt/datadog-agent/bin/agent/agent': '@cgo',
      },
      { truth: GLIBC, cmd: ['/opt/datadog-agent/bin/agent/agent', 'run'] },
    ),
  ],
  layers: [
    started(
      'committed-container',
      'docker commit: any program may be another in the newest layer',
      {
        'srv/app': '@glibc',
        start: '#!/bin/sh\nexec /srv/app\n',
      },
      { layers: { bash: { 'srv/app': '@go', 'root/.bash_history': 'cp /tmp/app /srv/app\n' } } },
    ),
    started(
      'committed-earlier-in-path',
      'docker commit: a program that PATH finds before the other',
      {
        'usr/bin/agentd': '@glibc',
      },
      { layers: { '/bin/bash': { 'usr/local/bin/agentd': '@go' } }, cmd: ['agentd'] },
    ),
  ],
};

export const startPrograms: readonly CorpusImage[] = Object.entries(cases).flatMap(([kind, some]) =>
  casesOf(kind as Kind, some),
);
