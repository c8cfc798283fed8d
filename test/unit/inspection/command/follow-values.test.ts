import { describe, expect, it } from 'vitest';

import { elf, type Files, go, leads, type Setting } from '../../../support/followed.ts';

const bash = (script: string, setting?: Setting): string => leads(['bash', '-c', script], setting);

describe('a command substitution whose output depends on what is not known', () => {
  const drop = 'drop() { if [ -x /sbin/su-exec ]; then echo su-exec app; else echo gosu app; fi; }';
  it.each<[script: string, expected: string, setting?: Setting]>([
    [`${drop}; exec $(drop) /app/server`, 'app/server', { files: { 'sbin/su-exec': elf } }],
    [`${drop}; exec $(drop) /app/server`, 'app/server'],
    ['pick() { if [ "$1" != "$X" ]; then echo server; else echo other; fi; }; exec /app/$(pick)', 'app/other'],
    [
      'pick() { if curl x >/dev/null; then echo server; else echo other; fi; }; exec /app/$(pick)',
      'app/server app/other < usr/bin/curl',
    ],
    ['B=$(curl x >/dev/null && echo server || echo other); exec /app/$B', 'app/server app/other < usr/bin/curl'],
    [
      'declare B="$(curl x >/dev/null && echo server || echo other)"; exec /app/$B',
      'app/server app/other < usr/bin/curl',
    ],
    ['pick() { curl x && echo server; }; exec /app/$(pick)', 'hidden < usr/bin/curl'],
    ['pick() { curl x 2>/dev/null && echo server; }; exec /app/$(pick)', 'hidden < usr/bin/curl'],
    ['pick() { echo server >&1; }; exec /app/$(pick)', 'app/server'],
    ['pick() { echo server >&3; }; exec /app/$(pick) 3>&1', 'app/server'],
    ['pick() { echo server > /dev/stdout; }; exec /app/$(pick)', 'app/server'],
    ['pick() { echo warning >&2; echo server; }; exec /app/$(pick)', 'app/server'],
    ['warn() { echo "$*"; } >&2; pick() { warn x; echo server; }; exec /app/$(pick)', 'app/server'],
    ['pick() { curl x >/dev/null && echo server; cat /dev/x; }; exec /app/$(pick)', 'hidden < usr/bin/curl'],
    [
      'n() { for i in a b c d e f; do curl $i 2>&1 >/dev/null && echo $i && return; done; }; exec /app/$(n)',
      'hidden < usr/bin/curl',
    ],
    // What it writes goes with its exit status.
    ['B=$(cd /srv/x && echo /app/server) || B=/app/other; exec $B', 'app/server app/other'],
    ['B=$(cd /srv/x && echo /app/server) || exit 1; exec $B', 'app/server'],
    ['B=$(cd /srv/x && curl x) || exec /app/server; sleep 1', 'app/server < usr/bin/curl'],
  ])('%j', (script, expected, setting) => {
    expect(bash(script, setting)).toBe(expected);
  });
});

describe('arrays with keys', () => {
  const roles = 'declare -A M=([web]=/app/server ["a b"]=/app/other)';
  it.each<[script: string, expected: string]>([
    [`${roles}; exec "\${M[web]}" x`, 'app/server'],
    [`${roles}; K="a b"; exec "\${M[$K]}"`, 'app/other'],
    [`${roles}; exec "\${M[\${1:-web}]}"`, 'app/server'],
    [`${roles}; exec "\${M[$(curl x)]}"`, 'hidden < usr/bin/curl'],
    [`${roles}; exec "\${M[no]:-/app/migrate}"`, 'app/migrate'],
    [`${roles}; exec "\${M[@]}"`, 'hidden'],
    [`${roles}; [ "\${#M[@]}" = 2 ] && exec /app/server`, 'app/server'],
    ['declare -A M; M[web]=/app/server; M[job]=/app/other; exec ${M[job]}', 'app/other'],
    ['declare -A M; M=([web]=/app/server); exec ${M[web]}', 'app/server'],
    ['declare -A M=([web]=/app/server); for k in "${!M[@]}"; do exec "${M[$k]}"; done', 'app/server'],
    ['A[0]=/app/server; A[1]=x; exec "${A[@]}"', 'app/server'],
    ['A[1]=x; A[0]=/app/server; exec "${A[@]}"', 'app/server'],
    ['A=(a b); A[0]=/app/server; exec "${A[@]}"', 'hidden'],
    // Its keys are arithmetic.
    ['i=1; A[i]=/app/server; exec "${A[1]}"', 'hidden'],
    ['A[1 + 1]=/app/server; exec "${A[1]}"', 'hidden'],
    ['A=([i]=/app/server); exec "${A[i]}"', 'hidden'],
    ['A=([0]=/app/server [1]=x); exec "${A[@]}"', 'app/server'],
    ['declare -A M=([a]=/app/server); curl x && M[b]=/app/other; exec "${M[a]}"', 'app/server < usr/bin/curl'],
    [
      'declare -A M; curl x && M[a]=/app/server || M[b]=/app/other; exec "${M[a]:-/app/other}"',
      'app/server app/other < usr/bin/curl',
    ],
  ])('%j', (script, expected) => {
    expect(bash(script)).toBe(expected);
  });
});

describe('what read takes from a text', () => {
  it.each<[script: string, expected: string, files?: Files]>([
    ['read -r -a C <<< "${X:-/app/server -x}"; exec "${C[@]}"', 'app/server'],
    ['IFS=, read -ra C <<< "/app/server,x"; exec "${C[0]}"', 'app/server'],
    ['IFS=: read -r A B <<< "x:/app/server"; exec "$B"', 'app/server'],
    ['read -r A B <<< "  x   /app/server  "; exec "$B"', 'app/server'],
    ['read -r A B <<< "x /app/server -y"; exec $B', 'app/server'],
    ['read B < /etc/bin; exec $B', 'app/server', { 'etc/bin': '/app/server\n/app/other\n' }],
    ['read -r B <<X\n/app/server\nX\nexec $B', 'app/server'],
    ['read -r B <<< "/app/server $(curl x)"; exec $B', 'app/server < usr/bin/curl'],
    ['read -r B <<< "$(curl x)"; exec $B', 'hidden < usr/bin/curl'],
    [String.raw`read B <<< "/app\/server"; exec $B`, 'hidden'],
    ['read -n 3 B <<< /app/server; exec $B', 'hidden'],
    ['read -r B; exec $B', 'hidden'],
    ['read -r B 3< /etc/bin; exec $B', 'hidden', { 'etc/bin': '/app/server\n' }],
    ['mapfile -t C < /etc/cmd; exec "${C[@]}"', 'app/server', { 'etc/cmd': '/app/server\n-x\n' }],
    ['readarray C < /etc/cmd; exec "${C[@]}"', 'hidden', { 'etc/cmd': '/app/server\n-x\n' }],
    ['mapfile -t C < <(curl x); exec "${C[@]}"', 'hidden < usr/bin/curl'],
  ])('%j', (script, expected, files = {}) => {
    expect(bash(script, { files })).toBe(expected);
  });
});

describe('a program with the name of a tool', () => {
  it.each<[argv: readonly string[], files: Files, expected: string]>([
    [['/usr/local/bin/sg', 'start', '/app/other'], { 'usr/local/bin/sg': go }, 'usr/local/bin/sg app/other'],
    [['sg', 'app', '/app/server'], { 'usr/bin/sg': elf }, 'app/server'],
    [['watch', '/app/server'], { 'usr/bin/watch': '->../../bin/busybox', 'bin/busybox': elf }, 'app/server'],
    [['make', 'x'], { 'usr/local/bin/make': go }, 'usr/local/bin/make'],
    [['make', 'x'], { 'usr/bin/make': elf }, 'hidden'],
    // gosu is made by Go.
    [['gosu', 'app', '/app/server'], { 'usr/local/bin/gosu': go }, 'app/server'],
  ])('%j %j', (argv, files, expected) => {
    expect(leads(argv, { files })).toBe(expected);
  });
});

describe('a script that is copied while the container runs', () => {
  it('is followed by what it is copied from', () => {
    const files = { 'srv/help.template': '#!/bin/bash\nexec /app/server\n' };
    expect(bash('cp -f /srv/help.template /srv/help.sh; /srv/help.sh', { files })).toBe('app/server');
    expect(bash('cp -f /srv/help.template /srv/help.sh; bash /srv/help.sh', { files })).toBe('app/server');
  });

  it('is what the script finds at its own place', () => {
    const follow = 'S=$0; while [ -h "$S" ]; do S=$(readlink "$S"); done; exec "$(dirname "$S")/server"\n';
    const files = { 'app/run.template': `#!/bin/bash\n${follow}` };
    expect(bash('cp /app/run.template /app/run.sh; /app/run.sh', { files })).toBe('app/server');
  });
});

describe('a variable that is another name for one (declare -n)', () => {
  it.each<[script: string, expected: string]>([
    ['f() { local -n o=$1; shift; o+=(/app/server); o+=("$@"); }; C=(); f C -x; exec "${C[@]}"', 'app/server'],
    ['f() { local -n o=$1; o=/app/server; }; f B; exec $B', 'app/server'],
    ['f() { local -n o=$1; exec "${o[0]}"; }; B=(/app/server x); f B', 'app/server'],
    ['declare -n a=b; declare -n b=c; c=/app/server; exec "$a"', 'app/server'],
    ['declare -n a=b; declare -n b=a; exec "$a"', 'absent'],
    ['f() { declare -n o="$(curl x)"; o=/app/server; }; f B; exec "${B[@]}"', 'hidden < usr/bin/curl'],
  ])('%j', (script, expected) => {
    expect(bash(script)).toBe(expected);
  });

  it('an array that nothing fills, as far as is understood, may be any command', () => {
    expect(bash('C=(); exec "${C[@]}"')).toBe('hidden');
    expect(bash('exec "$@"')).toBe('bin/bash');
  });
});

describe('printf, ls -l and expr, as start scripts read them', () => {
  const links = { 'usr/local/bin/start': '->/app/server', 'usr/bin/ls': elf, 'usr/bin/expr': elf };
  const listed = 'L=$(ls -ld /usr/local/bin/start)';
  it.each<[script: string, expected: string]>([
    ['printf -v B "%s/%s" /app server; exec "$B"', 'app/server'],
    ['exec "$(printf "%s/%s\\n" /app server)"', 'app/server'],
    ['exec "$(printf "/app/%s" server)"', 'app/server'],
    ['printf -v B "%s" /app/ser ver; exec "$B"', 'hidden'],
    ['printf -v B "%5s" /app/server; exec "$B"', 'hidden'],
    ['printf -v B "%s/server" "$(curl x)"; exec "$B"', 'hidden < usr/bin/curl'],
    [`${listed}; exec "\${L#*' -> '}"`, 'app/server'],
    [`${listed}; exec "$(expr "$L" : '.*-> \\(.*\\)$')"`, 'app/server'],
    ["exec $(expr /app/server/x : '\\(.*\\)/x')", 'app/server'],
    ["if expr /app/server : '/.*' >/dev/null; then exec /app/server; else exec /app/other; fi", 'app/server'],
    ["if expr server : '/.*' >/dev/null; then exec /app/server; else exec /app/other; fi", 'app/other'],
    ["exec $(expr /app/server : '\\([/a-z]*\\)')", 'hidden'],
    ['L=$(ls -l /app/server); exec "${L#*-> }"', 'hidden'],
  ])('%j', (script, expected) => {
    expect(bash(script, { files: links })).toBe(expected);
  });
});
