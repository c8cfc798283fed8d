import type { CorpusImage } from '../corpus-image.ts';
import { casesOf, GLIBC, MUSL, type Case, type Files } from './cases.ts';

/** Entry point scripts, and programs of interpreters. */

/** A script of Debian's shell that leads to a static musl program. */
const led = (name: string, script: string, more: Partial<Case> = {}, files: Files = {}): Case => ({
  name: `script-${name}`,
  trap: `a script: ${name.replaceAll('-', ' ')}`,
  on: 'debian',
  truth: MUSL,
  entrypoint: ['/entrypoint.sh'],
  files: { 'app/server': '@musl-static', ...files, 'entrypoint.sh': script },
  ...more,
});

const entryScripts: readonly Case[] = [
  led('without-exec', '#!/bin/sh\nset -e\n/app/server --port 80\n'),
  led('exec-in-one-branch', '#!/bin/sh\nif [ -n "$DEBUG" ]; then\n  exec /bin/bash\nfi\n/app/server\n'),
  led('case-dispatch', '#!/bin/sh\ncase "$1" in\n  serve) exec /app/server ;;\n  shell) exec /bin/bash ;;\nesac\n', {
    cmd: ['serve'],
  }),
  led('exec-variable', '#!/bin/sh\nCMD="/app/server --port 80"\nexec $CMD\n'),
  led('array', '#!/bin/bash\ncmd=(/app/server --port 80)\nexec "${cmd[@]}"\n'),
  led(
    'sources-a-helper',
    '#!/bin/sh\n. /lib/helper.sh\nrun_it\n',
    {},
    { 'lib/helper.sh': 'run_it() {\n  exec /app/server\n}\n' },
  ),
  led('wait-for-it', '#!/bin/bash\nshift\nexec "$@"\n', { cmd: ['db:5432', '/app/server'] }),
  led(
    'nix-wrapper',
    '#! /bin/bash -e\nexport PATH=/app${PATH:+:$PATH}\nexec -a "$0" "/app/.server-wrapped" "$@"\n',
    {},
    { 'app/.server-wrapped': '@musl-static', 'app/server': '@glibc' },
  ),
  led('cd-then-relative', '#!/bin/sh\ncd /app\nexec ./server\n'),
  led('path-set-in-it', '#!/bin/sh\nPATH=/app:$PATH\nexport PATH\nexec server\n', {}, { 'usr/bin/server': '@glibc' }),
  led('eval-exec', '#!/bin/sh\nCMD=/app/server\neval exec "$CMD"\n'),
  led('exec-su', '#!/bin/sh\nexec su -s /bin/sh -c /app/server nobody\n'),
  led('exec-sh-script', '#!/bin/sh\nexec /bin/sh /app/run.sh\n', {}, { 'app/run.sh': 'exec /app/server\n' }),
  led('default-arguments', '#!/bin/sh\nif [ $# -eq 0 ]; then\n  set -- /app/server\nfi\nexec "$@"\n'),
  led('function', '#!/bin/sh\nmain() {\n  exec /app/server "$@"\n}\nmain "$@"\n'),
  led(
    'migrates-first',
    '#!/bin/sh\nset -e\n/app/migrate || exit 1\nexec /app/server\n',
    {},
    { 'app/migrate': '#!/bin/sh\nexit 0\n' },
  ),
  led('env-default', '#!/bin/sh\nexec "${SERVER:-/app/server}"\n'),
  led('env-of-the-image', '#!/bin/sh\nexec "$SERVER"\n', { env: ['SERVER=/app/server'] }),
  led(
    'script-of-a-script',
    '#!/bin/sh\nexec /app/start "$@"\n',
    {},
    { 'app/start': '#!/bin/bash\nexec /app/server "$@"\n' },
  ),
  led(
    'asks-for-a-program',
    '#!/bin/sh\nif hash gunicorn 2>/dev/null; then\n  exec gunicorn\nfi\nexec /app/server\n',
    {},
    { 'opt/app/settings.py': 'DEBUG = False\n' },
  ),
  led('background-and-wait', '#!/bin/sh\n/app/server &\npid=$!\ntrap "kill $pid" TERM\nwait $pid\n'),
];

const interpreted = (
  name: string,
  program: string,
  cmd: readonly string[],
  files: Files,
  more: Partial<Case> = {},
): Case => ({
  name: `interpreted-${name}`,
  trap: `${name} ends in the interpreter of the image`,
  on: 'debian',
  truth: GLIBC,
  cmd,
  files: { [program]: '@glibc', ...files },
  ...more,
});

const NODE = 'usr/local/bin/node';
const interpreters: readonly Case[] = [
  interpreted('npm', NODE, ['npm', 'start'], {
    'usr/local/lib/node_modules/npm/bin/npm-cli.js': '#!/usr/bin/env node\nrequire("../lib/cli.js")\n',
    'usr/local/bin/npm': '->../lib/node_modules/npm/bin/npm-cli.js',
  }),
  interpreted('npx', NODE, ['npx', 'serve'], { 'usr/local/bin/npx': '#!/usr/bin/env node\nrequire("npx")\n' }),
  interpreted('yarn', NODE, ['yarn', 'start'], {
    'opt/yarn/bin/yarn.js': '#!/usr/bin/env node\nrequire("../lib/cli")\n',
    'usr/local/bin/yarn': '->/opt/yarn/bin/yarn.js',
  }),
  interpreted('poetry', 'usr/local/bin/python3.12', ['poetry', 'run', 'app'], {
    'usr/local/bin/poetry': '#!/usr/local/bin/python3.12\nimport sys\n',
  }),
  interpreted('bundle', 'usr/local/bin/ruby', ['bundle', 'exec', 'puma'], {
    'usr/local/bin/bundle': '#!/usr/bin/env ruby\nrequire "bundler"\n',
  }),
  interpreted(
    'uvicorn-alpine',
    'usr/local/bin/python3.13',
    ['uvicorn', 'app:app'],
    { 'usr/local/bin/uvicorn': '#!/usr/local/bin/python3.13\nimport re\n' },
    {
      on: 'alpine',
      truth: MUSL,
      files: {
        'usr/local/bin/python3.13': '@musl',
        'usr/local/bin/uvicorn': '#!/usr/local/bin/python3.13\nimport re\n',
      },
    },
  ),
  interpreted('dotnet', 'usr/share/dotnet/dotnet', ['dotnet', 'app.dll'], {
    'usr/bin/dotnet': '->/usr/share/dotnet/dotnet',
  }),
];

export const scripts: readonly CorpusImage[] = [
  ...casesOf('entry script', entryScripts),
  ...casesOf('interpreter', interpreters),
];
