import type { CorpusImage } from '../corpus-image.ts';
import { casesOf, GLIBC, GO, MUSL, type Case } from './cases.ts';

/** What a Pod adds to its image, and programs that start others from their own files. */

const ofThePod: readonly Case[] = [
  {
    name: 'pod-env-in-the-command',
    trap: "the kubelet replaces $(BIN) in the Pod's command with its env",
    on: 'debian',
    truth: GO,
    files: { 'app/server': '@go', 'app/other': '@glibc' },
    cmd: ['/app/other'],
    pod: { command: ['$(BIN)'], env: { BIN: '/app/server' } },
  },
  {
    name: 'pod-env-wins',
    trap: "the Pod's env wins over the image's, in a script",
    on: 'debian',
    truth: MUSL,
    files: { 'app/server': '@musl-static', 'app/other': '@glibc', 'run.sh': '#!/bin/sh\nexec "$BIN"\n' },
    entrypoint: ['/run.sh'],
    env: ['BIN=/app/other'],
    pod: { env: { BIN: '/app/server' } },
  },
  {
    name: 'pod-path',
    trap: "the Pod's PATH decides between two programs of one name",
    on: 'debian',
    truth: GO,
    files: { 'usr/local/bin/server': '@glibc', 'app/server': '@go' },
    cmd: ['server'],
    pod: { env: { PATH: '/app:/usr/local/bin:/usr/bin:/bin' } },
  },
  {
    name: 'pod-netdns-cgo',
    trap: "GODEBUG=netdns=cgo in the Pod's env: a cgo program resolves through glibc",
    on: 'debian',
    truth: GLIBC,
    files: { 'app/server': '@cgo' },
    cmd: ['/app/server'],
    pod: { env: { GODEBUG: 'netdns=cgo' } },
  },
  {
    name: 'pod-shell-command',
    trap: "the Pod's command is a shell text with an exec",
    on: 'alpine',
    truth: GO,
    files: { 'app/server': '@go' },
    cmd: ['/bin/sh'],
    pod: { command: ['sh', '-c', 'exec /app/server --port "$PORT"'], env: { PORT: '80' } },
  },
  {
    name: 'pod-args-of-a-script',
    trap: "the Pod's args are what the entry point script execs",
    on: 'debian',
    truth: GO,
    files: { 'app/server': '@go', 'app/worker': '@glibc', 'entry.sh': '#!/bin/sh\nexec "$@"\n' },
    entrypoint: ['/entry.sh'],
    cmd: ['/app/worker'],
    pod: { args: ['/app/server'] },
  },
  asked('envfrom-irrelevant', 'a ConfigMap gives variables, of which none names the program', '"$@"', {
    cmd: ['/app/server'],
    pod: { envFrom: true },
  }),
  asked('working-directory', "the Pod's working directory holds another program of the same name", './server', {
    files: { 'srv/server': '@glibc' },
    workingDir: '/srv',
    pod: { workingDir: '/app' },
  }),
  asked('mounted-configuration', 'a volume holds settings that the script reads', '/app/server', {
    files: { 'entrypoint.sh': '#!/bin/sh\nif [ -f /secrets/env ]; then\n  . /secrets/env\nfi\nexec /app/server\n' },
    pod: { mounts: ['/secrets'] },
  }),
  asked('user', 'the script runs another program for root', '/app/server', {
    files: {
      'app/root': '@glibc',
      'entrypoint.sh': '#!/bin/sh\nif [ "$(id -u)" = 0 ]; then exec /app/root; fi\nexec /app/server\n',
    },
    pod: { user: '1000' },
  }),
];

/** An image whose script ends in what the Pod decides. */
function asked(name: string, trap: string, program: string, more: Partial<Case>): Case {
  return {
    name: `pod-${name}`,
    trap,
    on: 'debian',
    truth: MUSL,
    entrypoint: ['/entrypoint.sh'],
    ...more,
    files: { 'app/server': '@musl-static', 'entrypoint.sh': `#!/bin/sh\nexec ${program}\n`, ...more.files },
  };
}

const supervised = (
  name: string,
  path: string,
  text: string,
  entrypoint: readonly string[],
  more: Partial<Case> = {},
): Case => ({
  name: `supervised-by-${name}`,
  trap: `${name} starts a Go program that its files name`,
  on: 'debian',
  truth: GO,
  entrypoint,
  ...more,
  files: { 'app/server': '@go', [path]: text, ...more.files },
});

const supervisors: readonly Case[] = [
  supervised(
    'supervisord',
    'etc/supervisord.conf',
    '[supervisord]\nnodaemon=true\n[program:app]\ncommand=/app/server\n',
    ['supervisord', '-c', '/etc/supervisord.conf'],
    {
      files: {
        'usr/local/bin/python3.12': '@glibc',
        'usr/local/bin/supervisord': '#!/usr/local/bin/python3.12\nimport sys\n',
      },
    },
  ),
  supervised('s6-overlay', 'etc/s6-overlay/s6-rc.d/app/run', '#!/command/execlineb -P\n/app/server\n', ['/init'], {
    files: {
      init: '#!/bin/sh -e\nexec /package/admin/s6-overlay/libexec/preinit "$@"\n',
      'package/admin/s6-overlay/libexec/preinit': '@musl-static',
    },
  }),
  supervised('s6-svscan', 'etc/s6/app/run', '#!/bin/sh\nexec /app/server\n', ['/usr/bin/s6-svscan', '/etc/s6'], {
    files: { 'usr/bin/s6-svscan': '@musl-static' },
  }),
  supervised(
    'runit',
    'etc/service/app/run',
    '#!/bin/sh\nexec /app/server\n',
    ['/usr/bin/runsvdir', '-P', '/etc/service'],
    { files: { 'usr/bin/runsvdir': '@glibc' } },
  ),
  supervised('my-init', 'etc/service/app/run', '#!/bin/sh\nexec /app/server\n', ['/sbin/my_init'], {
    files: { 'usr/bin/python3.12': '@glibc', 'sbin/my_init': '#!/usr/bin/python3.12 -u\nimport os\n' },
  }),
  supervised(
    'circusd',
    'etc/circus.ini',
    '[watcher:app]\ncmd = /app/server\nargs = --port 80\n',
    ['/usr/bin/circusd', '/etc/circus.ini'],
    { files: { 'usr/bin/circusd': '#!/usr/bin/python3.12\n', 'usr/bin/python3.12': '@glibc' } },
  ),
  supervised(
    'horust',
    'etc/horust/services/app.toml',
    'command = "/app/server --port 80"\nrestart = "always"\n',
    ['/sbin/horust'],
    { files: { 'sbin/horust': '@glibc' } },
  ),
  supervised(
    'process-compose',
    'app/process-compose.yaml',
    'version: "0.5"\nprocesses:\n  app:\n    command: "exec /app/server"\n',
    ['/usr/bin/process-compose', 'up', '-f', '/app/process-compose.yaml'],
    { files: { 'usr/bin/process-compose': '@glibc' } },
  ),
  supervised('multirun', 'etc/app.conf', 'port 80\n', ['/usr/bin/multirun', '/app/server', '/app/server --worker'], {
    files: { 'usr/bin/multirun': '@glibc' },
  }),
  supervised(
    'with-contenv',
    'etc/services.d/app/run',
    '#!/usr/bin/with-contenv sh\nexec /app/server\n',
    ['/etc/services.d/app/run'],
    { files: { 'usr/bin/with-contenv': '@musl-static' } },
  ),
];

export const surroundings: readonly CorpusImage[] = [
  ...casesOf('the Pod', ofThePod),
  ...casesOf('supervisor', supervisors),
];
