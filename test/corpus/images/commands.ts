import type { CorpusImage } from '../corpus-image.ts';
import { casesOf, CGO, GLIBC, GO, MUSL, type Case } from './cases.ts';

/** Command lines that lead to another program: launchers, wrappers, texts for a shell. */

/** A launcher, which is Go's, and the program that it runs. */
const launched = (name: string, path: string, entrypoint: readonly string[], more: Partial<Case> = {}): Case => ({
  name: `launched-by-${name}`,
  trap: `${name} (Go) runs a glibc program`,
  on: 'debian',
  truth: GLIBC,
  entrypoint,
  ...more,
  files: { [path]: '@go', 'app/server': '@glibc', ...more.files },
});

const launchers: readonly Case[] = [
  launched('chamber', 'usr/local/bin/chamber', ['chamber', 'exec', 'production', '--', '/app/server']),
  launched('doppler', 'usr/bin/doppler', ['doppler', 'run', '--', '/app/server']),
  launched('infisical', 'usr/bin/infisical', ['infisical', 'run', '--', '/app/server']),
  launched('envconsul', 'usr/bin/envconsul', ['envconsul', '-prefix', 'app', '/app/server']),
  launched('consul-template', 'usr/bin/consul-template', ['consul-template', '-exec', '/app/server']),
  launched('dockerize', 'usr/local/bin/dockerize', ['dockerize', '-wait', 'tcp://db:5432', '/app/server']),
  launched('aws-lambda-rie', 'usr/local/bin/aws-lambda-rie', ['/usr/local/bin/aws-lambda-rie', '/app/server']),
  launched('vault-env', 'usr/local/bin/vault-env', ['vault-env', '/app/server']),
  launched('litestream', 'usr/local/bin/litestream', ['litestream', 'replicate', '-exec', '/app/server']),
  launched('dotenvx', 'usr/local/bin/dotenvx', ['dotenvx', 'run', '--', '/app/server']),
  launched('op', 'usr/local/bin/op', ['op', 'run', '--env-file', '/app/.env', '--', '/app/server']),
  launched('phase', 'usr/local/bin/phase', ['phase', 'run', '--app', 'shop', '/app/server --port 80']),
  launched('mise', 'usr/bin/mise', ['mise', 'exec', 'node@22', '--', '/app/server']),
  launched('fixuid', 'usr/local/bin/fixuid', ['fixuid', '-q', '/app/server']),
  launched('buildpacks', 'cnb/lifecycle/launcher', ['/cnb/process/web'], {
    files: {
      'cnb/process/web': '->/cnb/lifecycle/launcher',
      'layers/config/metadata.toml': '[[processes]]\ntype = "web"\ncommand = ["/app/server"]\ndirect = true\n',
    },
  }),
  {
    name: 'launched-by-uv',
    trap: 'uv (static musl) runs a script of a virtual environment',
    on: 'debian',
    truth: GLIBC,
    cmd: ['uv', 'run', 'gunicorn', 'app:app'],
    workingDir: '/app',
    files: {
      'bin/uv': '@musl-static',
      'usr/local/bin/python3.13': '@glibc',
      'app/.venv/bin/gunicorn': '#!/usr/local/bin/python3.13\nimport sys\n',
    },
  },
];

/** A wrapper of Debian, which is linked to glibc, and a Go program. */
const wrapped = (name: string, entrypoint: readonly string[], more: Partial<Case> = {}): Case => ({
  name: `wrapped-by-${name}`,
  trap: `${name} of Debian starts a Go program`,
  on: 'debian',
  truth: GO,
  entrypoint,
  files: { 'app/server': '@go' },
  ...more,
});

const wrappers: readonly Case[] = [
  wrapped('taskset', ['taskset', '-c', '0', '/app/server']),
  wrapped('prlimit', ['prlimit', '--nofile=1024', '/app/server']),
  wrapped('setarch', ['setarch', 'x86_64', '-R', '/app/server']),
  wrapped('runuser', ['runuser', '-u', 'nobody', '--', '/app/server']),
  wrapped('su', ['su', '-s', '/bin/sh', '-c', '/app/server', 'nobody']),
  wrapped('chrt', ['chrt', '--other', '0', '/app/server']),
  wrapped('flock', ['flock', '/tmp/lock', '/app/server']),
  wrapped('unshare', ['unshare', '--uts', '/app/server']),
  wrapped('nice', ['nice', '-n', '5', '/app/server']),
  wrapped('stdbuf', ['stdbuf', '-oL', '/app/server']),
  wrapped('timeout', ['timeout', '--signal=TERM', '3600', '/app/server']),
  wrapped('setsid', ['setsid', '-w', '/app/server']),
  wrapped('setpriv', ['setpriv', '--reuid=65534', '--clear-groups', '/app/server']),
  wrapped('systemd-cat', ['systemd-cat', '-t', 'app', '/app/server'], {
    files: { 'usr/bin/systemd-cat': '@glibc', 'app/server': '@go' },
  }),
  wrapped('sudo', ['sudo', '-E', 'MODE=fast', 'PATH=/app', 'server'], {
    files: { 'usr/bin/sudo': '@glibc', 'app/server': '@go' },
  }),
  {
    name: 'wrapped-by-chroot',
    trap: 'chroot into another root, which has a program of the same path',
    on: 'debian',
    truth: MUSL,
    cmd: ['chroot', '/srv', '/app/server'],
    files: { 'srv/app/server': '@musl-static', 'app/server': '@glibc' },
  },
  {
    name: 'wrapped-twice',
    trap: 'tini, then nice, then env, then the program',
    on: 'debian',
    truth: MUSL,
    entrypoint: ['/usr/bin/tini', '--', 'nice', '-n', '1', 'env', 'A=1', '/app/server'],
    files: { 'usr/bin/tini': '@tini', 'app/server': '@musl-static' },
  },
];

/** A text for Debian's shell that leads to a program of another libc. */
const text = (name: string, line: string, more: Partial<Case> = {}): Case => ({
  name: `text-${name}`,
  trap: `sh -c: ${line.replaceAll('\n', '; ')}`,
  on: 'debian',
  truth: MUSL,
  cmd: ['/bin/sh', '-c', line],
  files: { 'app/server': '@musl-static' },
  ...more,
});

const texts: readonly Case[] = [
  text('pipe', '/app/server 2>&1 | cat'),
  text('pipefail', 'set -o pipefail; /app/server | tee /tmp/log', {
    cmd: ['/bin/bash', '-o', 'pipefail', '-c', '/app/server | tee /tmp/log'],
  }),
  text('if', 'if [ -f /etc/debian_version ]; then /app/server; fi'),
  text('or', 'false || /app/server'),
  text('background-wait', '/app/server & wait'),
  text('while', 'while true; do /app/server; sleep 1; done'),
  text('subshell', '(cd /app && ./server)'),
  text('braces', '{ /app/server; }'),
  text('substitution', 'exec "$(command -v /app/server)"'),
  text('here-document', 'cat > /tmp/config <<END\nlisten 80\nEND\nexec /app/server'),
  text('trap', "trap 'kill 0' TERM; /app/server"),
  text('for', 'for one in a; do /app/server $one; done'),
  text('variable', 'BIN=/app/server; exec "$BIN" --port 80'),
  text('sleep-at-the-end', '/app/server & sleep infinity'),
  text('dollar-zero', 'exec "$0" "$@"', { cmd: ['/bin/sh', '-c', 'exec "$0" "$@"', '/app/server', '--port', '80'] }),
  text('architecture', 'case $(uname -m) in x86_64) exec /app/server;; *) exec /app/other;; esac', {
    files: { 'app/server': '@musl-static', 'app/other': '@glibc' },
  }),
  text('filters', 'exec "/app/$(echo " SERVER" | tr -d " " | tr A-Z a-z)"'),
  text('no-link', 'exec "$(dirname "$(readlink /app/server || echo /app/server)")/server"'),
  text('path-of-a-loop', 'for d in /opt/*; do PATH="$PATH:$d"; done; exec server', {
    files: { 'usr/local/bin/server': '@musl-static', 'opt/tool/x': 'x\n' },
  }),
  text('cgo', 'exec /app/server', { truth: CGO, files: { 'app/server': '@cgo' } }),
];

export const commands: readonly CorpusImage[] = [
  ...casesOf('launcher', launchers),
  ...casesOf('wrapper', wrappers),
  ...casesOf('shell text', texts),
];
