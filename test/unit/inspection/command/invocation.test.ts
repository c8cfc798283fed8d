import { describe, expect, it } from 'vitest';

import { candidatePaths, firstInvocation, type Invocation } from '../../../../src/inspection/command/invocation.ts';
import { shellArguments } from '../../../../src/inspection/command/script.ts';
import { throughWrapper } from '../../../../src/inspection/command/wrappers.ts';

const config = {
  entrypoint: [],
  cmd: [],
  env: ['PATH=/usr/local/bin:/usr/bin', 'JAVA_HOME=/opt/java', 'EMPTY=', 'not a line'],
  workingDir: '/srv',
};

function look(argv: readonly string[]): Invocation {
  let invocation = firstInvocation({ ...config, cmd: argv }, { command: [], args: [] });
  for (let next = throughWrapper(invocation); next !== undefined; next = throughWrapper(next)) invocation = next;
  return invocation;
}

describe("which words run: the Pod's command replaces all of the image's, its args only Cmd", () => {
  const image = { entrypoint: ['/entry'], cmd: ['serve'] };
  it.each([
    ['neither', [], [], ['/entry', 'serve']],
    ['args', [], ['migrate'], ['/entry', 'migrate']],
    ['command', ['/bin/sh'], [], ['/bin/sh']],
    ['both', ['/bin/sh'], ['-c', 'x'], ['/bin/sh', '-c', 'x']],
  ])('%s', (_name, command, args, expected) => {
    expect(firstInvocation({ ...config, ...image }, { command, args }).argv).toEqual(expected);
  });

  it('an image without an Entrypoint runs its Cmd', () => {
    expect(firstInvocation({ ...config, cmd: ['bash'] }, { command: [], args: [] }).argv).toEqual(['bash']);
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
    [
      ['tini', '--', '/usr/bin/doppler', 'run', '--', 'server'],
      ['/usr/bin/doppler', 'run', '--', 'server'],
    ],
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
    [
      ['busybox', 'sh', '-c', 'exec server'],
      ['sh', '-c', 'exec server'],
    ],
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

describe('where a program is looked for', () => {
  it.each([
    [['/app/../bin/x'], ['/app/../bin/x']],
    [['./x'], ['/srv/./x']],
    [['x'], ['/usr/local/bin/x', '/usr/bin/x']],
    [['env', 'PATH=/only', 'x'], ['/only/x']],
    [[''], []],
  ])('%j', (argv, expected) => {
    expect(candidatePaths(look(argv))).toEqual(expected);
  });

  it('there is none in a directory whose name is longer than a kernel takes', () => {
    const directory = `/${'a/'.repeat(2048)}`;
    expect(candidatePaths({ argv: ['x'], env: new Map([['PATH', 'a:b']]), directory })).toEqual([]);
  });

  it('without a PATH it is the usual one', () => {
    const paths = candidatePaths({ argv: ['x'], env: new Map(), directory: '/' });
    expect(paths).toContain('/usr/local/sbin/x');
    expect(paths).toContain('/bin/x');
  });
});

describe("a Pod's own words, and no others, have $(NAME) replaced by its own variables", () => {
  const pod = { command: [], args: [], env: { BIN: '/opt/x' }, envElsewhere: ['SECRET'] };
  it.each([
    ['$(BIN)', '/opt/x'],
    ['$(JAVA_HOME)/bin/java', '$(JAVA_HOME)/bin/java'],
    ['$$(BIN)', '$(BIN)'],
    ['a-$(SECRET)', 'a-\0'],
  ])('%j', (word, expected) => {
    expect(firstInvocation(config, { ...pod, command: [word] }).argv).toEqual([expected]);
    expect(firstInvocation({ ...config, entrypoint: [word] }, pod).argv).toEqual([word]);
  });
});

describe('what a container runs in', () => {
  const none = { command: [], args: [] };
  it('the Pod has the last word on variables, working directory and user', () => {
    const pod = { ...none, env: { JAVA_HOME: '/mine' }, workingDir: '/work', user: '0' };
    const { env, directory, uid } = firstInvocation({ ...config, user: 'app' }, pod);
    expect({ home: env.get('JAVA_HOME'), directory, uid }).toEqual({ home: '/mine', directory: '/work', uid: '0' });
  });

  it('an envFrom may change what the image sets, except where its files are', () => {
    const { env, openEnv } = firstInvocation(
      { ...config, env: [...config.env, 'MODE=web'] },
      { ...none, envFrom: true },
    );
    expect({ mode: env.get('MODE'), home: env.get('JAVA_HOME'), openEnv }).toEqual({
      mode: '\0',
      home: '/opt/java',
      openEnv: true,
    });
  });

  it.each([
    [undefined, '0'],
    ['root:app', '0'],
    ['1001:0', '1001'],
    ['app', '1000'],
  ])('user %j has the number %j', (user, uid) => {
    expect(firstInvocation({ ...config, ...(user !== undefined && { user }) }, none).uid).toBe(uid);
  });

  it('no word or value can pass for one that is not known', () => {
    const { argv, env } = firstInvocation({ ...config, cmd: ['a\0b'], env: ['X=\u0001'] }, none);
    expect([argv, env.get('X')]).toEqual([['a?b'], '?']);
  });
});

describe('what a wrapper changes for the program', () => {
  it.each<[readonly string[], Partial<Invocation>]>([
    [['gosu', 'app', 'x'], { argv: ['x'], uid: '1000' }],
    [['gosu', 'root', 'x'], { argv: ['x'], uid: '0' }],
    [['chroot', '--userspec=1', '/srv', '/x'], { argv: ['/x'], root: '/srv', directory: '/' }],
    [
      ['su', '-s', '/bin/bash', 'app', '-c', 'exec x', 'zero'],
      { argv: ['/bin/bash', '-c', 'exec x', 'zero'], uid: '1000' },
    ],
    [['su', '-', 'app', '-c', 'x'], { argv: ['/bin/sh', '-l', '-c', 'x'], openEnv: true }],
    [['su', '-lc', 'x', 'app'], { argv: ['/bin/sh', '-l', '-c', 'x'], uid: '1000' }],
    [['sudo', '-Eu', 'app', '--', 'x', '-u'], { argv: ['x', '-u'], uid: '1000' }],
    [['sudo', '-iu', 'app', 'x'], { argv: ['/bin/bash', '-l', '-c', 'exec "$0" "$@"', 'x'], openEnv: true }],
    [['script', '-qefc', 'x y', '/dev/null'], { argv: ['/bin/sh', '-c', 'x y'] }],
    [['runuser', '-u', 'app', '--', 'x', '-c'], { argv: ['x', '-c'], uid: '1000' }],
    [['runuser', 'app', '-c', 'x'], { argv: ['/bin/sh', '-c', 'x'], uid: '1000' }],
    [['flock', '/l', '-c', 'x y'], { argv: ['/bin/sh', '-c', 'x y'] }],
    [['taskset', '-c', '0,1', 'x'], { argv: ['x'] }],
    [['numactl', '--interleave=all', '-m', '0', 'x'], { argv: ['x'] }],
    [['prlimit', '--nofile=9', 'x'], { argv: ['x'] }],
    [['setarch', 'x86_64', '-R', 'x'], { argv: ['x'] }],
    [['chrt', '-f', '10', 'x'], { argv: ['x'] }],
    [['chpst', '-u', 'app', '-e', '/env', 'x'], { argv: ['x'], openEnv: true, uid: '1000' }],
    [['s6-envdir', '/env', 'x'], { argv: ['x'], openEnv: true }],
    [['xvfb-run', '-a', '-s', '-screen 0', 'x'], { argv: ['x'] }],
    [['start-stop-daemon', '--start', '--exec', '/x', '--', '-v'], { argv: ['/x', '-v'] }],
    [['busybox', 'chroot', '/srv', '/x'], { argv: ['/x'], root: '/srv' }],
    [['env', '-C', 'sub', 'x'], { argv: ['x'], directory: '/srv/sub' }],
    [['capsh', '--drop=all', '--', '-c', 'x'], { argv: ['/bin/bash', '-c', 'x'] }],
  ])('%j', (argv, expected) => {
    expect(look(argv)).toMatchObject(expected);
  });
});

describe("a shell's arguments", () => {
  it.each([
    [['sh', '-c', 'x', 'zero', 'one'], { text: 'x', zero: 'zero', parameters: ['one'], isLogin: false }],
    [['bash', '-o', 'pipefail', '-c', 'x'], { text: 'x', zero: 'bash', parameters: [], isLogin: false }],
    [['bash', '-euo', 'pipefail', '-c', 'x'], { text: 'x', zero: 'bash', parameters: [], isLogin: false }],
    [['bash', '-lc', 'x'], { text: 'x', zero: 'bash', parameters: [], isLogin: true }],
    [['bash', '--login', '-c', 'x'], { text: 'x', zero: 'bash', parameters: [], isLogin: true }],
    [
      ['bash', '--rcfile', '/rc', '--', '/s', '-c'],
      { text: undefined, zero: '/s', parameters: ['-c'], isLogin: false },
    ],
    [['sh', '-s', 'x'], undefined],
    [['sh', '-i'], undefined],
    [['sh'], undefined],
  ])('%j', (argv, expected) => {
    expect(shellArguments(argv)).toEqual(expected);
  });
});
