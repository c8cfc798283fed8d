import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { elf, type Files, leads, type Setting } from '../../../support/followed.ts';

const entry = (script: string, cmd: readonly string[] = [], setting: Setting = {}): string =>
  leads(['/entry.sh', ...cmd], { ...setting, files: { 'entry.sh': script, ...setting.files } });

const postgres = [
  '#!/usr/bin/env bash',
  'set -Eeo pipefail',
  '_is_sourced() { [ "${#FUNCNAME[@]}" -ge 2 ] && [ "${FUNCNAME[0]}" = _is_sourced ] && [ "${FUNCNAME[1]}" = source ]; }',
  '_main() {',
  '  if [ "${1:0:1}" = "-" ]; then set -- server "$@"; fi',
  '  if [ "$1" = server ]; then',
  '    if [ "$(id -u)" = 0 ]; then exec gosu app "$BASH_SOURCE" "$@"; fi',
  '    if [ -z "$DATABASE_ALREADY_EXISTS" ]; then migrate; fi',
  '  fi',
  '  exec "$@"',
  '}',
  'if ! _is_sourced; then _main "$@"; fi',
].join('\n');
const inPath: Files = { 'usr/bin/server': '->/app/server', 'usr/bin/migrate': '->/app/migrate' };

describe('entry scripts', () => {
  it.each([
    ['the official way, root', postgres, ['server'], {}, 'app/server < app/migrate'],
    ['the official way, options alone', postgres, ['-c', 'x'], {}, 'app/server < app/migrate'],
    ['the official way, another program', postgres, ['bash'], {}, 'bin/bash'],
    ['the official way, a user', postgres, ['server'], { user: '999' }, 'app/server < app/migrate'],
    ['root dropped', '#!/bin/sh\nexec su-exec app "$@"', ['/app/server'], {}, 'app/server'],
    ['no exec', '#!/bin/sh\nset -e\n/app/server --port 80\n', [], {}, 'app/server'],
    [
      'arguments, else a default',
      '#!/bin/sh\nif [ $# -gt 0 ]; then exec "$@"; fi\nexec bash',
      ['/app/server'],
      {},
      'app/server',
    ],
    [
      'a branch by name',
      '#!/bin/sh\ncase "$1" in\nweb) exec /app/server;;\njob) exec /app/other;;\nesac',
      ['web'],
      {},
      'app/server',
    ],
    [
      'options read in a loop',
      '#!/bin/bash\nwhile [ $# -gt 0 ]; do case "$1" in --) shift; C=("$@"); break;; *) shift;; esac; done\nexec "${C[@]}"',
      ['db:1', '-t', '5', '--', '/app/server', 'x'],
      {},
      'app/server',
    ],
    ['an array', '#!/bin/bash\ncmd=(/app/server)\ncmd+=(--x "$1")\nexec "${cmd[@]}"', [], {}, 'app/server'],
    [
      'a sourced file',
      '#!/bin/sh\n. /opt/lib.sh\nexec "$BIN"',
      [],
      { files: { 'opt/lib.sh': 'BIN=/app/server\n' } },
      'app/server',
    ],
    [
      'a sourced function',
      '#!/bin/bash\nsource "$(dirname "$0")/opt/lib.sh"\nrun server',
      [],
      { files: { 'opt/lib.sh': 'run() { exec "/app/$1"; }' } },
      'app/server',
    ],
    [
      'hooks of a directory',
      '#!/bin/sh\nfor f in /hooks/*.sh; do . "$f"; done\nexec /app/server',
      [],
      {},
      'app/server',
    ],
    [
      'hooks by find',
      '#!/bin/sh\nfind /hooks -name "*.sh" | while read -r f; do case "$f" in *.sh) "$f";; esac; done\nexec "$@"',
      ['/app/server'],
      {},
      'app/server < hidden',
    ],
    [
      'another script',
      '#!/bin/sh\nexec /bin/sh /opt/x.sh',
      [],
      { files: { 'opt/x.sh': '#!/bin/sh\nexec /app/server' } },
      'app/server',
    ],
    ['a wrapper of Nix', '#! /bin/bash -e\nexec -a "$0" "/app/server"  "$@"', [], {}, 'app/server'],
    ['#! with an init program', '#!/usr/bin/dumb-init /bin/sh\nexec "$@"', ['/app/server'], {}, 'app/server'],
    [
      'PATH set',
      '#!/bin/sh\nexport PATH=/app:$PATH\nexec server',
      [],
      { files: { 'usr/bin/server': '->/app/other' } },
      'app/server',
    ],
    ['its own folder', '#!/bin/sh\ncd "$(dirname "$0")"\nexec ./app/server', [], {}, 'app/server'],
    ['another language', '#!/usr/bin/python3 -u\nexec', [], {}, 'usr/bin/python3'],
    ['env and another language', '#!/usr/bin/env python3\n', [], {}, 'usr/bin/python3'],
    ['a variable of the image', '#!/bin/sh\nexec $BIN', [], { env: ['BIN=/app/server'] }, 'app/server'],
    [
      "the Pod's own variable",
      '#!/bin/sh\nexec $BIN',
      [],
      { env: ['BIN=/app/other'], pod: { env: { BIN: '/app/server' } } },
      'app/server',
    ],
    ['a variable from elsewhere', '#!/bin/sh\nexec $BIN', [], { pod: { envElsewhere: ['BIN'] } }, 'hidden'],
    ['an envFrom', '#!/bin/sh\nexec ${BIN:-/app/server}', [], { pod: { envFrom: true } }, 'hidden'],
    [
      'an envFrom beside a name that is plain',
      '#!/bin/sh\nexec /app/server $OPTS',
      [],
      { pod: { envFrom: true } },
      'app/server',
    ],
    [
      'both ends of a branch by an unknown variable',
      '#!/bin/sh\nif [ "$M" = web ]; then exec /app/server; fi\nexec /app/other',
      [],
      { pod: { envElsewhere: ['M'] } },
      'app/server app/other',
    ],
    ['itself for ever', '#!/entry.sh', [], {}, 'hidden'],
    [
      'itself once',
      '#!/bin/sh\nif [ -z "$AGAIN" ]; then AGAIN=1 exec "$0" "$@"; fi\nexec /app/server',
      [],
      {},
      'app/server',
    ],
  ] as readonly (readonly [string, string, readonly string[], Setting, string])[])(
    '%s',
    (_name, script, cmd, setting, expected) => {
      expect(entry(script, cmd, { ...setting, files: { ...inPath, 'usr/bin/su-exec': elf, ...setting.files } })).toBe(
        expected,
      );
    },
  );

  it('a script without #! is one for a shell or wrapper, and none for the container runtime', () => {
    const files = { 'run.sh': 'exec /app/server\n' };
    expect(leads(['sh', '/run.sh'], { files })).toBe('app/server');
    expect(leads(['env', '/run.sh'], { files })).toBe('app/server');
    expect(leads(['/run.sh'], { files })).toBe('run.sh');
  });
});

describe('what volumes hide', () => {
  it.each([
    [['/app/server'], ['/app/server'], 'hidden'],
    [['/app/server'], ['/app'], 'hidden'],
    [['/app/server'], ['/application', '/app/other'], 'app/server'],
    [['server'], ['/app'], 'hidden'],
    [['/entry.sh', '/app/server'], ['/entry.sh'], 'hidden'],
    [['/entry.sh', '/app/server'], ['/app'], 'hidden'],
    [['/entry.sh', '/app/server'], ['/data'], 'app/server'],
    [['sh', '-c', '. /opt/env.sh; exec $BIN'], ['/opt'], 'hidden'],
    [['sh', '-c', 'exec /app/server'], ['/'], 'hidden'],
  ])('%j with mounts at %j', (argv, mounts, expected) => {
    const files = { ...inPath, 'entry.sh': '#!/bin/sh\nexec "$@"', 'opt/env.sh': 'BIN=/app/server' };
    expect(leads(argv, { files, mounts })).toBe(expected);
  });
});

describe('hostile scripts', () => {
  it.each([
    ['f() { f; f; }; f'],
    ['while :; do X=$X$X.; done'],
    ['X=aaaaaaaa; while :; do X="$X$X"; Y="${X##*a*a*a*b}"; done'],
    [`${'if a; then b; else c; fi; '.repeat(500)} exec /app/server`],
    [`${'[ "$X_SERVICE_HOST" = 1 ] && Y=$Y1 || Y=$Y2; '.repeat(300)} exec $Y`],
    [`${'eval "'.repeat(20)}exec /app/server${'"'.repeat(20)}`],
    [
      'for a in 1 2 3 4 5 6 7 8 9; do for b in 1 2 3 4 5 6 7 8 9; do for c in 1 2 3 4 5 6 7 8 9; do for d in 1 2 3 4 5 6 7 8 9; do e; done; done; done; done',
    ],
    ['sh "$0" & sh "$0"'],
    ['. /entry.sh'],
  ])('%j ends soon, and never throws', (script) => {
    const started = performance.now();
    expect(entry(`#!/bin/bash\n${script}`, [], {})).toEqual(expect.any(String));
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('any words are followed without a throw, in bounded time', () => {
    const piece = fc.constantFrom(
      'sh',
      '-c',
      'env',
      '-S',
      '--',
      'exec',
      '"',
      "'",
      '${',
      '$(',
      '`',
      '\\',
      '$@',
      ';',
      '&&',
      'A=',
      '',
      'if',
      'then',
      'fi',
      'do',
      'done',
      'while',
      'case',
      'esac',
      'in',
      '{',
      '}',
      '(',
      ')',
      '|',
      '&',
      '<<E',
      '[',
      ']',
      '${x#',
      'eval',
      'shift',
      'set --',
      'su',
      'chroot',
      'uv run',
    );
    const word = fc
      .array(fc.oneof(piece, fc.string({ maxLength: 5 })), { maxLength: 12 })
      .map((parts) => parts.join(' '));
    fc.assert(
      fc.property(fc.array(fc.oneof(word, piece), { maxLength: 12 }), (argv) => {
        expect(leads(argv)).toEqual(expect.any(String));
        expect(entry(`#!/bin/bash\n${argv.join('\n')}`, argv)).toEqual(expect.any(String));
      }),
      { numRuns: 500 },
    );
  });
});
