import type { CorpusImage, Kind } from '../corpus-image.ts';
import { type Case, casesOf, GO } from './cases.ts';
import { PRINTED_WRAPPER, PROFILE, SBT, TEMPLATED } from './everyday/handing-scripts.ts';

/** Ways in which shells, wrappers and interpreters hand over to a Go program, which no file says plainly. */

const handedOver = (name: string, trap: string, files: Case['files'], more: Partial<Case>): Case => ({
  name,
  trap,
  on: 'debian',
  truth: GO,
  files,
  ...more,
});

const cases: Readonly<Partial<Record<Kind, readonly Case[]>>> = {
  'shell text': [
    handedOver(
      'login-shell-resets-path',
      'a login shell takes PATH from /etc/profile, not from the image',
      {
        'opt/app/bin/server': '@glibc',
        'usr/bin/server': '@go',
        'etc/profile': PROFILE,
      },
      { cmd: ['bash', '-lc', 'server'], env: ['PATH=/opt/app/bin:/usr/bin:/bin'] },
    ),
    handedOver(
      'login-shell-reads-profile-d',
      'a login shell finds the program by what /etc/profile.d adds',
      {
        'opt/app/bin/server': '@go',
        'etc/profile': PROFILE,
        'etc/profile.d/app.sh': 'export PATH=/opt/app/bin:$PATH\n',
      },
      { cmd: ['bash', '--login', '-c', 'exec server'] },
    ),
    handedOver(
      'bash-env',
      'bash reads BASH_ENV before a script',
      {
        'opt/app/bin/server': '@go',
        'usr/bin/server': '@glibc',
        'etc/bash_env': 'export PATH=/opt/app/bin:$PATH\n',
        'entry.sh': `#!/bin/bash
exec server
`,
      },
      { env: ['BASH_ENV=/etc/bash_env'], cmd: ['/entry.sh'] },
    ),
    handedOver(
      'shell-fed-by-a-here-document',
      'a shell reads its commands from a here-document',
      {
        'app/server': '@go',
        'usr/local/bin/gosu': '@gosu',
        'entry.sh': `#!/bin/sh
set -e
exec gosu nobody sh <<'END'
cd /app
exec ./server
END
`,
      },
      { cmd: ['/entry.sh'] },
    ),
    handedOver(
      'shell-fed-by-a-file',
      'a shell reads its commands from a file',
      {
        'app/server': '@go',
        'app/run.sh': 'exec /app/server\n',
      },
      { cmd: ['sh', '-c', 'bash < /app/run.sh'] },
    ),
    handedOver(
      'xargs-starts-it',
      'xargs starts the program',
      {
        'app/server': '@go',
      },
      { cmd: ['sh', '-c', 'echo "$ARGS" | xargs /app/server'] },
    ),
  ],
  wrapper: [
    handedOver(
      'su-with-a-login',
      'su - takes PATH from the login shell',
      {
        'opt/app/bin/server': '@glibc',
        'usr/bin/server': '@go',
        'etc/profile': PROFILE,
        'entry.sh': `#!/bin/bash
exec su - root -c "server"
`,
      },
      { env: ['PATH=/opt/app/bin:/usr/bin:/bin'], cmd: ['/entry.sh'] },
    ),
    handedOver(
      'sudo-secure-path',
      'sudo takes PATH from /etc/sudoers, whatever is asked',
      {
        'opt/app/bin/server': '@glibc',
        'usr/bin/server': '@go',
        'usr/bin/sudo': '@glibc',
        'etc/sudoers': `Defaults env_reset
Defaults secure_path="/usr/sbin:/usr/bin:/sbin:/bin"
`,
      },
      { env: ['PATH=/opt/app/bin:/usr/bin:/bin'], cmd: ['sudo', '-E', 'server'] },
    ),
    handedOver(
      'sudo-with-joined-options',
      "sudo's options in one word, its user in the next",
      {
        'app/server': '@go',
        'usr/bin/sudo': '@glibc',
      },
      { cmd: ['sudo', '-Eu', 'nobody', '--', '/app/server'] },
    ),
  ],
  'stand-in': [
    handedOver(
      'called-like-a-tool',
      'a Go program with the name of a tool, and a word behind it',
      {
        'usr/local/bin/sg': '@go',
      },
      { cmd: ['/usr/local/bin/sg', 'start', 'server'] },
    ),
  ],
  'entry script': [
    handedOver(
      'path-by-a-pattern',
      "a pattern names the program's folder, which has a version",
      {
        'opt/app-1.4.2/bin/server': '@go',
        'entry.sh': `#!/bin/sh
exec /opt/app-*/bin/server "$@"
`,
      },
      { entrypoint: ['/entry.sh'] },
    ),
    handedOver(
      'path-by-ls',
      "ls and head name the program's folder",
      {
        'opt/app-1.4.2/bin/server': '@go',
        'entry.sh': `#!/bin/sh
APP=$(ls -d /opt/app-* | head -n 1)
exec "$APP/bin/server" "$@"
`,
      },
      { entrypoint: ['/entry.sh'] },
    ),
    handedOver(
      'path-by-find',
      'find names the program',
      {
        'opt/x/y/server': '@go',
        'entry.sh': `#!/bin/sh
exec "$(find /opt -name server -type f | head -1)"
`,
      },
      { entrypoint: ['/entry.sh'] },
    ),
    handedOver(
      'path-in-a-configuration-file',
      'grep and cut take the program from a file of the image',
      {
        'app/server': '@go',
        'etc/app.conf': `# where
bin=/app/server
`,
        'entry.sh': `#!/bin/sh
BIN=$(grep ^bin= /etc/app.conf | cut -d= -f2)
exec "$BIN"
`,
      },
      { entrypoint: ['/entry.sh'] },
    ),
    handedOver(
      'copied-then-run',
      'the script copies the program and runs the copy',
      {
        'app/server': '@go',
        'entry.sh': `#!/bin/sh
cp /app/server /tmp/server
chmod +x /tmp/server
exec /tmp/server
`,
      },
      { entrypoint: ['/entry.sh'] },
    ),
    handedOver(
      'linked-then-run',
      "the script links the program's folder anew",
      {
        'opt/v2/server': '@go',
        'opt/v1/server': '@glibc',
        'entry.sh': `#!/bin/sh
ln -sfn /opt/v2 /opt/current
exec /opt/current/server
`,
      },
      { entrypoint: ['/entry.sh'] },
    ),
    handedOver(
      'script-from-a-template',
      'the script makes another one of a template',
      {
        'app/server': '@go',
        'app/run.sh': TEMPLATED,
        'app/helper.sh.template': `#!/bin/bash
/app/server $*
`,
      },
      { cmd: ['/app/run.sh'] },
    ),
    handedOver(
      'array-with-keys',
      'an array says which program a role has',
      {
        'app/web': '@go',
        'app/worker': '@glibc',
        'entry.sh': `#!/bin/bash
declare -A ROLES=([web]=/app/web [worker]=/app/worker)
exec "\${ROLES[$1]}" "\${@:2}"
`,
      },
      { entrypoint: ['/entry.sh'], cmd: ['web'] },
    ),
    handedOver(
      'words-that-read-splits',
      "read splits a text into the command's words",
      {
        'app/server': '@go',
        'entry.sh': `#!/bin/bash
IFS=" " read -r -a CMD <<< "\${APP_CMD:-/app/server -x}"
exec "\${CMD[@]}"
`,
      },
      { entrypoint: ['/entry.sh'] },
    ),
    handedOver(
      'words-that-a-function-prints',
      'a function prints the wrapper and its user',
      {
        'opt/app/bin/app': '@go',
        'usr/local/bin/gosu': '@gosu',
        'opt/app/bin/jobmanager.sh': `#!/usr/bin/env bash
bin=\`dirname "$0"\`
bin=\`cd "$bin"; pwd\`
exec "$bin"/app "$@"
`,
        'entry.sh': PRINTED_WRAPPER,
      },
      { entrypoint: ['/entry.sh'], cmd: ['jobmanager'], env: ['APP_HOME=/opt/app'] },
    ),
    handedOver(
      'script-in-the-shape-of-sbt',
      "a start script in the shape of sbt's",
      {
        'opt/java/bin/java': '@go',
        'opt/docker/lib/shop.jar': 'PK',
        'opt/docker/bin/shop': SBT,
      },
      { entrypoint: ['/opt/docker/bin/shop'], env: ['JAVA_HOME=/opt/java'] },
    ),
    handedOver(
      'service-in-the-background',
      'an init script starts the program, tail keeps the container',
      {
        'app/server': '@go',
        'etc/init.d/app': `#!/bin/sh
DAEMON=/app/server
case "$1" in
  start) start-stop-daemon --start --background --make-pidfile --pidfile /run/app.pid --exec $DAEMON ;;
  stop) start-stop-daemon --stop --pidfile /run/app.pid ;;
esac
`,
        'entry.sh': `#!/bin/bash
/etc/init.d/app start
tail -f /dev/null
`,
      },
      { cmd: ['/entry.sh'] },
    ),
  ],
  interpreter: [
    handedOver(
      'python-execs-its-arguments',
      'a script of python ends in exec of its arguments',
      {
        'usr/bin/python3': '@glibc',
        'app/server': '@go',
        'entry.py': `#!/usr/bin/env python3
import os, sys
os.environ["MODE"] = "fast"
os.execvp(sys.argv[1], sys.argv[1:])
`,
      },
      { entrypoint: ['/entry.py'], cmd: ['/app/server'] },
    ),
    handedOver(
      'ruby-execs-a-program',
      'a script of ruby ends in exec of a program',
      {
        'usr/local/bin/ruby': '@glibc',
        'app/server': '@go',
        'entry.rb': `#!/usr/bin/env ruby
system("mkdir -p /tmp/x")
exec("/app/server", *ARGV)
`,
      },
      { entrypoint: ['/entry.rb'] },
    ),
  ],
  supervisor: [
    handedOver(
      'crontab-of-the-image',
      "cron runs what the image's crontab names",
      {
        'usr/sbin/cron': '@glibc',
        'app/job': '@go',
        'etc/cron.d/app': `PATH=/usr/bin:/bin
* * * * * root /app/job
`,
        'entry.sh': `#!/bin/sh
printenv > /etc/environment
exec cron -f
`,
      },
      { cmd: ['/entry.sh'] },
    ),
  ],
  launcher: [
    handedOver(
      'launched-by-buildpacks-as-a-text',
      'a Buildpacks process that is a text for bash',
      {
        'cnb/lifecycle/launcher': '@musl-static',
        'cnb/process/web': '->/cnb/lifecycle/launcher',
        'workspace/server': '@go',
        'layers/config/metadata.toml': `[[processes]]
type = "web"
command = "cd /workspace && ./server --port $PORT"
direct = false
`,
      },
      { entrypoint: ['/cnb/process/web'] },
    ),
    handedOver(
      'launched-by-buildpacks-with-an-environment',
      "a text whose program is named by a variable of a layer, in the layer's own folder",
      {
        'cnb/lifecycle/launcher': '@musl-static',
        'cnb/process/web': '->/cnb/lifecycle/launcher',
        'layers/example_jre/jre/bin/java': '@go',
        'usr/bin/java': '@glibc',
        'layers/example_jre/jre/env.launch/JAVA_HOME.default': '/layers/example_jre/jre',
        'layers/example_jre/jre/exec.d/memory': '@musl-static',
        'layers/config/metadata.toml': `[[processes]]
type = "web"
command = ["java"]
args = ["-jar", "app.jar"]
direct = true

[[buildpacks]]
id = "example/jre"
`,
      },
      {
        env: ['PATH=/cnb/process:/cnb/lifecycle:/usr/bin:/bin'],
        entrypoint: ['/cnb/process/web'],
        history: [
          'COPY launcher /cnb/lifecycle/',
          'COPY process /cnb/',
          "Layer: 'jre', Created by buildpack: example/jre@1.0",
        ],
      },
    ),
    handedOver(
      'launched-by-buildpacks-with-profiles',
      "files of profile.d and the application's .profile say what a text runs",
      {
        'cnb/lifecycle/launcher': '@musl-static',
        'cnb/process/web': '->/cnb/lifecycle/launcher',
        'workspace/server': '@go',
        'workspace/other': '@glibc',
        'workspace/.profile': 'export PROGRAM=./server\n',
        'layers/example_app/app/profile.d/10-program.sh': 'export PROGRAM=./other\n',
        'layers/config/metadata.toml': `[[buildpacks]]
id = "example/app"

[[processes]]
type = "web"
command = ["$PROGRAM --port $PORT"]
direct = false
`,
      },
      { env: ['PATH=/cnb/process:/cnb/lifecycle:/usr/bin:/bin'], entrypoint: ['/cnb/process/web'] },
    ),
    handedOver(
      'fixuid-resolves-nothing',
      'fixuid resolves no names before it execs',
      {
        'usr/local/bin/fixuid': '@musl-static',
        'app/server': '@go',
      },
      { entrypoint: ['fixuid', '-q', '/app/server'] },
    ),
  ],
};

export const handingOver: readonly CorpusImage[] = Object.entries(cases).flatMap(([kind, some]) =>
  casesOf(kind as Kind, some),
);
