import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  candidatePaths,
  containerArgv,
  firstInvocation,
  lookThrough,
} from '../../../../src/inspection/command/invocation.ts';
import { parseScript, scriptTarget } from '../../../../src/inspection/command/script.ts';

const config = {
  env: ['PATH=/usr/local/bin:/usr/bin', 'JAVA_HOME=/opt/java', 'EMPTY=', 'not a line'],
  workingDir: '/srv',
};

function look(argv: readonly string[]) {
  return lookThrough(firstInvocation(argv, config));
}

describe("which words run: the Pod's command replaces all of the image's, its args only Cmd", () => {
  const image = { entrypoint: ['/entry'], cmd: ['serve'] };
  it.each([
    ['neither', [], [], ['/entry', 'serve']],
    ['args', [], ['migrate'], ['/entry', 'migrate']],
    ['command', ['/bin/sh'], [], ['/bin/sh']],
    ['both', ['/bin/sh'], ['-c', 'x'], ['/bin/sh', '-c', 'x']],
  ])('%s', (_name, command, args, expected) => {
    expect(containerArgv(image, { command, args })).toEqual(expected);
  });

  it('an image without an Entrypoint runs its Cmd', () => {
    expect(containerArgv({ entrypoint: [], cmd: ['bash'] }, { command: [], args: [] })).toEqual(['bash']);
  });
});

describe('wrappers are looked through', () => {
  it.each([
    [
      ['tini', '-g', '-p', 'SIGTERM', '--', 'server', '--port=80'],
      ['server', '--port=80'],
    ],
    [['/sbin/docker-init', '--', '/app'], ['/app']],
    [['dumb-init', '--rewrite', '15:2', 'server'], ['server']],
    [['catatonit', '-P', '--', 'server'], ['server']],
    [['tini', '--', 'dumb-init', 'env', 'A=b', 'server'], ['server']],
    [
      ['env', '-i', '-u', 'X', 'A=b', 'server', 'A=b'],
      ['server', 'A=b'],
    ],
    [
      ['env', '-S', 'A=b server --port 80', 'more'],
      ['server', '--port', '80', 'more'],
    ],
    [
      ['gosu', 'postgres', 'postgres', '-D'],
      ['postgres', '-D'],
    ],
    [['su-exec', 'nobody:nobody', 'server'], ['server']],
    [['tini', '--', '/usr/bin/doppler', 'run', '--', 'server'], ['server']],
    [
      ['doppler', 'run', '--command', 'server'],
      ['doppler', 'run', '--command', 'server'],
    ],
    [['setpriv', '--reuid=1', '--regid', '2', '--clear-groups', 'server'], ['server']],
    [['timeout', '-k', '5', '60', 'server'], ['server']],
    [['nice', '-n', '5', 'nohup', 'server'], ['server']],
    [['stdbuf', '-oL', 'server'], ['server']],
    [
      ['tini', '--'],
      ['tini', '--'],
    ],
    [
      ['server', '--', 'tini'],
      ['server', '--', 'tini'],
    ],
    [['toString'], ['toString']],
    [['busybox', 'sh', '-c', 'exec server'], ['server']],
    [
      ['busybox', 'httpd', '-f'],
      ['busybox', 'httpd', '-f'],
    ],
  ])('%j', (argv, expected) => {
    expect(look(argv).argv).toEqual(expected);
  });

  it('a dynamic loader that is called by name decides the libc', () => {
    const found = look(['/lib/ld-musl-x86_64.so.1', '--library-path', '/lib', '/opt/server', '-v']);
    expect(found).toMatchObject({ argv: ['/opt/server', '-v'], loader: '/lib/ld-musl-x86_64.so.1' });
  });
});

describe('a shell text leads to the program that stays', () => {
  it.each([
    ['exec server --port 80', ['server', '--port', '80'], false],
    ['server', ['server'], false],
    ['migrate && exec server', ['server'], false],
    ['migrate; server', ['server'], true],
    ['cd /app && node index.js', ['node', 'index.js'], false],
    ['exec java $JAVA_OPTS -jar app.jar', ['java', '', '-jar', 'app.jar'], false],
    ['$JAVA_HOME/bin/java -version', ['/opt/java/bin/java', '-version'], false],
    ['exec ${SERVER:-/opt/server} -v', ['/opt/server', '-v'], false],
    ['A=1 B="two words" exec_me', ['exec_me'], false],
    ["exec 'my server' > /dev/null 2>&1", ['my server'], false],
    ['set -e\n# a comment\nexec tini -- server', ['server'], false],
    ['exec "$@"', ['one', 'two'], false],
    ['exec env A=b "$@"', ['one', 'two'], false],
  ])('%j', (text, argv, oneOfSeveral) => {
    expect(look(['/bin/sh', '-c', text, 'name', 'one', 'two'])).toMatchObject({ argv, oneOfSeveral });
  });

  it.each([
    'producer | consumer',
    'server & wait',
    'while true; do sleep 1; done',
    '$(choose) --now',
    '$UNKNOWN --now',
    'if true; then a; fi',
    'cd $UNKNOWN && server',
    '',
  ])('%j stays with the shell', (text) => {
    expect(look(['bash', '-ec', text]).argv[0]).toBe('bash');
  });
});

describe('where a program is looked for', () => {
  it.each([
    [['/app/../bin/x'], ['/app/../bin/x']],
    [['./x'], ['/srv/./x']],
    [['x'], ['/usr/local/bin/x', '/usr/bin/x']],
    [['env', 'PATH=/only', 'x'], ['/only/x']],
    [['sh', '-c', 'cd /other && ./x'], ['/other/./x']],
    [['$(JAVA_HOME)/bin/java'], ['/opt/java/bin/java']],
    [['$(UNKNOWN)/x'], ['/srv/$(UNKNOWN)/x']],
    [[''], []],
  ])('%j', (argv, expected) => {
    expect(candidatePaths(look(argv))).toEqual(expected);
  });

  it('without a PATH it is the usual one', () => {
    const paths = candidatePaths(firstInvocation(['x'], { env: [], workingDir: '' }));
    expect(paths).toContain('/usr/local/sbin/x');
    expect(paths).toContain('/bin/x');
  });
});

describe('scripts', () => {
  const official = [
    '#!/usr/bin/env bash',
    'if [ "${1:0:1}" = "-" ]; then',
    '\tset -- postgres "$@"',
    'fi',
    'if [ "$(id -u)" = "0" ]; then exec gosu postgres "$BASH_SOURCE" "$@"; fi',
    'exec "$@"',
  ].join('\n');
  const program = (...argv: string[]) => ({ kind: 'program', argv });
  it.each([
    ['arguments', official, ['postgres', '-c', 'x'], program('postgres', '-c', 'x')],
    ['options, for the default program', official, ['-c', 'x'], program('postgres', '-c', 'x')],
    ['no arguments, likewise', official, [], program('postgres')],
    ['root dropped', '#!/bin/sh\nexec su-exec app "$@"', ['run'], program('su-exec', 'app', 'run')],
    [
      'a program of its own',
      '#!/bin/sh\nexec 2>&1\nexec /usr/sbin/nginx -g x\n',
      [],
      program('/usr/sbin/nginx', '-g', 'x'),
    ],
    ["busybox' shell", '#!/bin/busybox sh\nexec two', [], program('two')],
    ['the last of several', '#!/bin/sh\nif a; then exec one; fi\nexec two', [], program('two')],
  ])('%s', (_name, text, words, expected) => {
    expect(scriptTarget(parseScript(text), '/entry.sh', words, new Map())).toEqual(expected);
  });

  it.each([
    ['#!/bin/sh\nserver', ['/bin/sh', '/s', 'a'], true],
    ['#!/bin/sh -e\nserver', ['/bin/sh', '-e', '/s', 'a'], true],
    ['#!/usr/bin/python3 -u\nexec', ['/usr/bin/python3', '-u', '/s', 'a'], false],
    ['#! /usr/bin/env node\n', ['/usr/bin/env', 'node', '/s', 'a'], false],
    ['#!/command/execlineb -P\nexec x', ['/command/execlineb', '-P', '/s', 'a'], false],
    ['#!\nserver', ['/bin/sh', '/s', 'a'], true],
    ['#!/bin/sh\nexec $UNKNOWN', ['/bin/sh', '/s', 'a'], true],
  ])('%j stays with its interpreter', (text, argv, opaque) => {
    expect(scriptTarget(parseScript(text), '/s', ['a'], new Map())).toEqual({ kind: 'interpreter', argv, opaque });
  });
});

describe('hostile words', () => {
  it('any words are looked through without a throw, in bounded time', () => {
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
    );
    const word = fc
      .array(fc.oneof(piece, fc.string({ maxLength: 5 })), { maxLength: 8 })
      .map((parts) => parts.join(' '));
    fc.assert(
      fc.property(fc.array(fc.oneof(word, piece), { maxLength: 12 }), (argv) => {
        expect(look(argv).argv.length).toBeLessThanOrEqual(200);
        expect(
          scriptTarget(parseScript(`#!/bin/sh\n${argv.join('\n')}`), '/s', argv, new Map()).argv.length,
        ).toBeGreaterThan(0);
      }),
      { numRuns: 1000 },
    );
  });

  // Time that grew with the square would be minutes.
  it.each(['"', '${', "'", '\\"', '"\\', '$(', 'exec ', '"$@" ', '{', '# ', '<', '2>'])(
    '64 KiB of %j are read a hundred times',
    (piece) => {
      const text = `#!/bin/sh\n${piece.repeat(65_536 / piece.length)}`;
      const targets = Array.from({ length: 100 }, () => scriptTarget(parseScript(text), '/s', ['a'], new Map()));
      expect(new Set(targets.map(({ argv }) => argv.length > 0))).toEqual(new Set([true]));
    },
  );
});
