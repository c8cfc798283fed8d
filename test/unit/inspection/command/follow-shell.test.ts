import { describe, expect, it } from 'vitest';

import { leads, type Setting } from '../../../support/followed.ts';

const text = (script: string, setting?: Setting, ...more: readonly string[]): string =>
  leads(['/bin/sh', '-c', script, ...more], setting);
describe('a shell text leads to the programs that its run may end in', () => {
  it.each<[script: string, expected: string, setting?: Setting]>([
    ['exec /app/server --port 80', 'app/server'],
    ['/app/server', 'app/server'],
    ['/app/migrate && exec /app/server', 'app/server < app/migrate'],
    ['/app/migrate; /app/server', 'app/server & app/migrate'],
    ['/app/server || /app/other', 'app/server app/other'],
    ['/app/server | tee /log', 'app/server'],
    ['/app/server 2>&1 | /app/other', 'app/server app/other'],
    ['/app/server & wait', 'app/server'],
    ['/app/server & /app/other', 'app/other & app/server'],
    ['/app/server & /app/other & wait -n', 'app/server app/other'],
    ['/app/server & sleep infinity', 'app/server'],
    ['/app/server & tail -f /log', 'app/server'],
    ['set -o pipefail; /app/server | cat', 'app/server'],
    ['if [ -f /x ]; then . /x; fi; exec /app/server', 'app/server'],
    ['if [ -d /app ]; then exec /app/server; else exec /app/other; fi', 'app/server'],
    ['if test -e "$X"; then exec /app/server; else exec /app/other; fi', 'app/other'],
    ['if /app/migrate; then exec /app/server; else exec /app/other; fi', 'app/server app/other < app/migrate'],
    ['[ -d /d ] || mkdir /d; exec /app/server', 'app/server'],
    ['[ -n "$X" ] && exec /app/other; exec /app/server', 'app/server'],
    ['for i in 1 2; do nc -z db 1 && break; done; exec /app/server', 'app/server < usr/bin/nc'],
    ['until nc -z db 1; do sleep 1; done; exec /app/server', 'app/server < usr/bin/nc'],
    ['while true; do /app/server; sleep 1; done', 'app/server'],
    ['while :; do sleep 3600; done', 'bin/sleep'],
    ['while true; do nc -z db 1 && break; sleep 1; done; exec /app/server', 'app/server < usr/bin/nc'],
    ['export A=$(cat /s) && exec /app/server', 'app/server'],
    ['A=$(curl -s x) exec /app/server', 'app/server < usr/bin/curl'],
    ['( cd /app && exec ./server )', 'app/server'],
    ['{ /app/server; }', 'app/server'],
    ['cd /app && ./server', 'app/server'],
    ['cd $NOWHERE_SERVICE_HOST && ./server', 'hidden'],
    ['B=/app/server; exec $B', 'app/server'],
    ['exec ${B:-/app/server} -v', 'app/server'],
    [': ${B:=/app/server}; exec "$B"', 'app/server'],
    ['B=server; exec "/app/${B}"', 'app/server'],
    ['f() { exec "/app/$1"; }; f server', 'app/server'],
    ['f() { return 1; }; f || exec /app/server', 'app/server'],
    ['set -- /app/server; exec "$@"', 'app/server'],
    ['set -- a /app/server; shift; exec "$@"', 'app/server'],
    ['case "$1" in a) exec /app/other;; *) exec /app/server;; esac', 'app/server'],
    ['trap "exit 0" TERM; /app/server & wait $!', 'app/server'],
    ['eval exec /app/server', 'app/server'],
    ['eval "exec $B"', 'app/server', { env: ['B=/app/server'] }],
    ['exec -a name /app/server', 'app/server'],
    ['command /app/server', 'app/server'],
    ['sh -c "exec /app/server"', 'app/server'],
    ['cat >/x <<E\nexec /app/other\nE\n/app/server', 'app/server'],
    ['PATH=/app:$PATH; exec server', 'app/server'],
    ['server() { /app/other; }; server', 'app/other'],
    ['[ -z "$X" ] && { echo no; exit 1; }; exec /app/server', 'app/server', { env: ['X=1'] }],
    ['/app/server; exit $?', 'app/server'],
    ['/app/migrate || exit 1; exec /app/server', 'app/server < app/migrate'],
    ['exec gosu app /app/server', 'app/server'],
    ['$UNSET /app/server', 'app/server'],
    ['exec "$@"', 'bin/dash'],
    ['echo hi', 'bin/dash'],
    ['sleep 5', 'bin/sleep'],
    ['$(curl x) --now', 'hidden < usr/bin/curl'],
    ['if', 'hidden'],
    ['/app/server; if', 'hidden & app/server'],
    ['exec /nowhere', 'absent'],
    ['if [ -x /nowhere ]; then exec /nowhere; fi; exec /app/server', 'app/server'],
    ['curl -o /tmp/x y; exec /tmp/x', 'hidden < usr/bin/curl'],
    ['echo >/dev/tcp/db/1; exec /app/server', 'app/server'],
    ['[ -h /app/server ] || exec /app/server', 'app/server'],
    ['for i in $(seq 2); do shift; done; exec "$@"', 'bin/dash'],
    ['while :; do nc -z db 1 && exec /app/server; echo again; sleep 1; done', 'app/server < usr/bin/nc'],
    ['[ -z "$(seq 3 2)" ] && exec /app/server; exec /app/other', 'app/server'],
    ['cat /x; exit 1', 'hidden'],
    ['eval "exec \\"$(curl x)\\""', 'hidden < usr/bin/curl'],
    ['eval "/app/server $(curl x)"', 'app/server < usr/bin/curl'],
    ['sh -c "exec /app/$(curl x)"', 'hidden < usr/bin/curl'],
    ['exec ""', 'absent'],
    ['for f in /hooks.d/*; do . "$f"; done; exec ${BIN:-/app/server}', 'app/server'],
    [
      'for f in /hooks.d/*; do . "$f"; done; exec ${BIN:-/app/server}',
      'app/server hidden',
      { mounts: ['/hooks.d/more'] },
    ],
    [
      'for f in /hooks.d/*; do . "$f"; done; exec ${BIN:-/app/server}',
      'app/other',
      { files: { 'hooks.d/a': 'BIN=/app/other' } },
    ],
    ['cd /app/x/..; exec "$(pwd)/server"', 'app/server'],
    ['exec "/app/$(cut -d" " -f2 /v)"', 'app/server', { files: { v: '1.0 server\n' } }],
    ['exec "/app/$(cut -d: -f 3 /v)"', 'absent', { files: { v: '1.0 server\n' } }],
    ['exec "/app/$(cut -c2 /v)"', 'hidden', { files: { v: '1.0 server\n' } }],
    ['bash -c "kill 1"; exec /app/server', 'app/server'],
    ['if [ -e /x ]; then /nowhere; else /app/server; fi', 'app/server'],
    [
      'if [ -e /x ]; then B=/nowhere; elif [ -e /y ]; then B=/app/other; else B=/app/server; fi; $B',
      'app/other app/server',
    ],
    ['[ -n "$PASSWORD" ] || { cat /x; exit 1; }; exec /app/server', 'hidden'],
    ['/app/server; exit 1', 'app/server'],
    [
      'n=3; while true; do nc -z db 1 && exec /app/server; (( n-- )); [ $n -gt 0 ] || exit 1; done',
      'app/server < usr/bin/nc',
    ],
    ['n=1; (( n = 2 )); [ $n = 1 ] && exec /app/other; exec /app/server', 'app/server app/other'],
    ['X=$(readlink /app/other || echo /app/server); exec "$X"', 'app/server'],
    ['exec "$(readlink /l)"', 'app/server', { files: { l: '->/app/server' } }],
    ['exec "$(readlink -f /l)"', 'app/server', { files: { l: '->app/server' } }],
    ['cd /l && exec "$(pwd -P)/server"', 'app/server', { files: { l: '->app' } }],
    ['case $(uname -m) in x86_64) exec /app/server;; *) exec /app/other;; esac', 'app/server'],
    ['exec "/app/$(echo SERVER | tr A-Z a-z)"', 'app/server'],
    ['exec "/app/$(echo "se rver" | tr -d "[:space:]")"', 'app/server'],
    ['exec "/app/$(echo s.erver | sed "s/[^a-z]*//g" | head -n1)"', 'app/server'],
    ['exec "/app/$(echo x:server:y | cut -d: -f2)"', 'app/server'],
    ['exec "/app/$(echo x server | awk "{print \\$2}")"', 'app/server'],
    ['exec "/app/$(echo server | sed "s/\\(s\\)/\\1/")"', 'hidden'],
    ['exec "/app/$(curl x | tr A-Z a-z)"', 'hidden < usr/bin/curl'],
    ['while read -r d; do PATH="$PATH:$d"; done </x; exec python3', 'usr/bin/python3'],
    ['PATH="$(curl x)"; exec server', 'hidden < usr/bin/curl'],
    ['while read -r x; do l="$l:$x"; [ -z "$x" ] || n=1; done </x; exec /app/server $l', 'app/server'],
  ])('%j', (script, expected, setting) => {
    expect(text(script, setting)).toBe(expected);
  });

  it.each<[readonly string[], string]>([
    [['exec "$0" "$@"', '/app/server', '-x'], 'app/server'],
    [['exec "$@"', 'zero', '/app/server'], 'app/server'],
    [['exec "${@:2}"', 'zero', 'one', '/app/server'], 'app/server'],
  ])('%j', ([script = '', ...more], expected) => {
    expect(text(script, {}, ...more)).toBe(expected);
  });

  it.each([
    ['[[ elasticsearch =~ ^elastic(-.*)?$ ]] && exec /app/other; exec /app/server', 'app/server'],
    ['[[ a.b =~ ^a"."b$ ]] && exec /app/server; exec /app/other', 'app/server'],
    ['[[ aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa =~ ^(a+)+b$ ]] && exec /app/server; exec /app/other', 'app/other app/server'],
    ['set -- a "$@"; exec "${@:2}" /app/server', 'app/server'],
    ['f() { declare -g B=/app/server; }; f; exec $B', 'app/server'],
    ['f() { declare B=/app/server; }; B=/app/other; f; exec $B', 'app/other'],
    ['X=B; B=/app/server; exec "${!X:-/app/other}"', 'app/server'],
    ['X=B; exec "${!X:-/app/server}"', 'app/server'],
    ['f() { [ "${!1:-}" ] || exec /app/server; }; f B', 'app/server'],
    ['c=(/app/server); [ -f /x ] && c+=(-v); [ -f /y ] && c+=(-w); [ -f /z ] && c+=(-u); exec "${c[@]}"', 'app/server'],
  ])('bash: %j', (script, expected) => {
    expect(leads(['bash', '-c', script])).toBe(expected);
  });

  it('bash asks the resolver itself for /dev/tcp, and dash does not know it', () => {
    expect(leads(['bash', '-c', 'echo >/dev/tcp/db/1; exec /app/server'])).toBe('app/server < bin/bash');
  });

  const unsure = (count: number): string =>
    Array.from({ length: count }, (_, one) => `if [ -f /x${one} ]; then A${one}=1; else B${one}=2; fi`).join('; ');

  it.each([
    ['a variable that is run', `B=/app/server; ${unsure(40)}; exec "$B"`, 'app/server'],
    [
      'one of two',
      `if [ -f /x ]; then B=/app/server; else B=/app/other; fi; ${unsure(40)}; exec $B`,
      'app/server app/other',
    ],
    ['a variable in another', `D=/app; P="$D/server"; ${unsure(40)}; exec "$P"`, 'app/server'],
    ['what a function runs', `f() { exec "$1"; }; B=/app/server; ${unsure(40)}; f "$B"`, 'app/server'],
    ['what a function prints', `f() { echo "$B"; }; B=/app/server; ${unsure(40)}; exec $(f)`, 'app/server'],
    ['parameters', `set -- /app/server; ${unsure(40)}; [ -f /y ] && set -- "$@" -v; exec "$@"`, 'app/server'],
  ])('many conditions that are not known leave what may name the program: %s', (_, script, expected) => {
    expect(text(script)).toBe(expected);
  });

  it.each([
    ['brackets', '( '.repeat(15_000)],
    ['negations', '! '.repeat(6000)],
  ])('a test nested too deeply is not followed: %s', (_, opening) => {
    const test = `[[ ${opening}a ]]`;
    expect(leads(['bash', '-c', `${test}; exec /app/server`])).toBe('hidden');
  });

  it('a test of a few brackets is followed', () => {
    const test = `[[ ${'( ! '.repeat(20)}a${' )'.repeat(20)} ]]`;
    expect(leads(['bash', '-c', `${test} && exec /app/server; exec /app/other`])).toBe('app/server');
  });
});
