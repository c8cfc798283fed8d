import { describe, expect, it } from 'vitest';

import { follow } from '../../../../src/inspection/command/follow.ts';
import { imageFiles } from '../../../../src/inspection/command/image-files.ts';
import { firstInvocation } from '../../../../src/inspection/command/invocation.ts';
import { elf, type Files, go, layerOf, leads, type Setting } from '../../../support/followed.ts';

describe('launchers', () => {
  const files: Files = Object.fromEntries(
    [
      'chamber',
      'doppler',
      'uv',
      'consul-template',
      'dockerize',
      'vault-env',
      'litestream',
      'poetry',
      'mytool',
      'envconsul',
      'dotenvx',
      'phase',
      'direnv',
    ].map((one) => [`usr/bin/${one}`, elf]),
  );
  it.each([
    [['chamber', 'exec', 'prod', '--', '/app/server', '-x'], 'app/server < usr/bin/chamber'],
    [['doppler', 'run', '--', '/app/server'], 'app/server < usr/bin/doppler'],
    [['doppler', 'run', '--command', 'exec /app/server && x'], 'app/server < usr/bin/doppler'],
    [['consul-template', '-template', 'a:b', '-exec', '/app/server -x'], 'app/server < usr/bin/consul-template'],
    [['consul-template', '-exec=/app/server'], 'app/server < usr/bin/consul-template'],
    [['dockerize', '-wait', 'tcp://db:1', '-timeout', '5s', '/app/server'], 'app/server < usr/bin/dockerize'],
    [['dockerize', '-template', 'a:b', '/app/server'], 'app/server < usr/bin/dockerize'],
    [['dockerize', '-stdout', '/log', '-timeout', '5s', '/app/server', '-wait', 'x'], 'app/server'],
    [['fixuid', '-q', '/app/server'], 'app/server'],
    [['aws-lambda-rie', '--log-level', 'debug', '/app/server', 'handler'], 'app/server'],
    [['vault-env', '/app/server'], 'app/server < usr/bin/vault-env'],
    [['envconsul', '-prefix', 'a/b', '/app/server', 'x'], 'app/server < usr/bin/envconsul'],
    [['litestream', 'replicate', '-exec', '/app/server'], 'app/server < usr/bin/litestream'],
    [['litestream', 'replicate'], 'usr/bin/litestream'],
    [['uv', 'run', 'main.py'], 'usr/bin/python3 < usr/bin/uv'],
    [['uv', 'run', '--no-dev', '--with', 'x', 'gunicorn', 'a:b'], 'usr/bin/python3 < usr/bin/uv'],
    [['poetry', 'run', '/app/server'], 'app/server < usr/bin/poetry'],
    [['mytool', 'exec', '--', '/app/server'], 'usr/bin/mytool app/server'],
    [['mytool', '--x', 'run', '/app/server'], 'usr/bin/mytool app/server'],
    [['mytool', '/app/server --port 80'], 'usr/bin/mytool app/server'],
    [['mytool', '--', 'nowhere'], 'usr/bin/mytool'],
    [['dotenvx', 'run', '--', '/app/server'], 'app/server < usr/bin/dotenvx'],
    [['phase', 'run', '--app', 'x', '/app/server --port 80'], 'app/server < usr/bin/phase'],
    [['direnv', 'exec', '/srv', '/app/server'], 'app/server < usr/bin/direnv'],
    [['sudo', '-E', 'A=b', 'PATH=/app', 'server'], 'app/server'],
    [['/app/tini-muslc-amd64', '--', '/app/server'], 'app/server'],
    [['systemd-cat', '-t', 'x', '/app/server'], 'app/server'],
    [['mytool', '--config', '/etc/x.yaml'], 'usr/bin/mytool'],
    [['python3', '/app/server'], 'usr/bin/python3'],
  ])('%j', (argv, expected) => {
    expect(leads(argv, { files })).toBe(expected);
  });

  it('uv looks into .venv before PATH', () => {
    const venv = {
      ...files,
      'srv/.venv/bin/gunicorn': '#!/srv/.venv/bin/python\n',
      'srv/.venv/bin/python': '->/app/other',
    };
    expect(leads(['uv', 'run', 'gunicorn'], { files: venv, workingDir: '/srv' })).toBe('app/other < usr/bin/uv');
  });

  const label = (processes: unknown): Setting => ({
    processes: JSON.stringify({ processes }),
    files: {
      'cnb/process/web': '->/cnb/lifecycle/launcher',
      'cnb/lifecycle/launcher': elf,
      'layers/x/node/bin/node': elf,
      'layers/x/node/profile.d/here.sh': 'export HERE=/app\n',
    },
  });
  it.each([
    [['/cnb/process/web'], label([{ type: 'web', command: ['/app/server'], args: ['x'], direct: true }]), 'app/server'],
    [['/cnb/process/web'], label([{ type: 'web', command: '/app/server', direct: false }]), 'app/server'],
    [['/cnb/process/web'], label([{ type: 'web', command: 'cd /app && ./server $OPTS' }]), 'app/server'],
    [['/cnb/process/web'], label([{ type: 'web', command: ['A=1 /app/server | cat'] }]), 'app/server'],
    [['/cnb/process/web'], label([{ type: 'web', command: '$HERE/server', args: ['"x"', '$Y'] }]), 'app/server'],
    [['/cnb/process/web', 'a b'], label([{ type: 'web', command: 'exec /app/server "$0"' }]), 'app/server'],
    [['/cnb/process/web'], label([{ type: 'web', command: ['/app/server', '-x'] }]), 'app/server'],
    [['/cnb/process/web'], label([{ type: 'web', command: ['node'], direct: true }]), 'layers/x/node/bin/node'],
    [['/cnb/process/web'], label([{ type: 'job', command: ['/app/server'] }]), 'hidden'],
    [['/cnb/process/web'], { ...label([]), processes: '{' }, 'hidden'],
    [['/cnb/process/web'], label([{ type: { toString: 1, valueOf: 1 }, command: ['/app/server'] }]), 'hidden'],
    [
      ['/cnb/process/web'],
      label([{ type: 'web', command: ['/app/server'], direct: true }, ...Array.from({ length: 50_000 }, () => 0)]),
      'hidden',
    ],
    [['/cnb/lifecycle/launcher', '/app/server -x'], label([]), 'app/server'],
    [['/cnb/lifecycle/launcher', '--', '/app/server'], label([]), 'app/server'],
    [
      ['/cnb/lifecycle/launcher'],
      label([{ type: 'web', command: ['/app/server'], direct: true, default: true }]),
      'app/server',
    ],
  ])('Buildpacks: %j', (argv, setting, expected) => {
    expect(leads(argv, setting)).toBe(expected);
  });

  // https://github.com/buildpacks/spec/blob/main/buildpack.md, "Environment Variable Modification Rules"
  it.each<[command: string, files: Files, expected: string]>([
    ['$B', { 'layers/a/one/env/B': '/app/server' }, 'app/server'],
    ['$B', { 'layers/a/one/env.launch/B.override': '/app/server' }, 'app/server'],
    ['$B', { 'layers/a/one/env.launch/web/B.default': '/app/server' }, 'app/server'],
    ['$B', { 'layers/a/one/env.launch/job/B': '/app/server' }, 'bin/bash'],
    ['$B', { 'layers/a/one/env/B': '/app/other', 'layers/a/two/env/B.default': '/app/server' }, 'app/other'],
    ['$B', { 'layers/a/one/env/B': '/server', 'layers/a/two/env/B.prepend': '/app' }, 'app/server'],
    [
      '$B',
      { 'layers/a/one/env/B': '/app', 'layers/a/two/env/B.append': 'server', 'layers/a/two/env/B.delim': '/' },
      'app/server',
    ],
    ['$B', { 'layers/z/one/env/B': '/app/server', 'layers/b_c/one/env/B': '/app/other' }, 'app/other'],
    ['${B:-/app/server}', { 'layers/a/one/env/B.strange': '/app/other' }, 'app/server'],
    ['${B:-/app/server}', { 'layers/a/one/exec.d/helper': elf }, 'hidden'],
    ['tool', { 'layers/a/one/bin/tool': elf, 'layers/a/two/bin/tool': '->/app/server' }, 'app/server'],
    ['tool', { 'layers/a/one/env/PATH.prepend': '/app:', 'app/tool': elf, 'usr/bin/tool': elf }, 'app/tool'],
    ['$B', { 'layers/a/one/profile.d/10': 'B=/app/server' }, 'app/server'],
    ['$B', { 'layers/a/one/profile.d/web/10': 'B=/app/server' }, 'app/server'],
    ['$B', { 'layers/a/one/profile.d/10': 'B=/app/other', 'workspace/.profile': 'B=/app/server' }, 'app/server'],
    ['./run', { 'workspace/run': elf }, 'workspace/run'],
    ['echo $(launcher) && exec /app/server', { 'cnb/process/launcher': elf }, 'app/server'],
  ])('the environment of Buildpacks: %s %j', (command, more, expected) => {
    const processes = [{ type: 'web', command }];
    const order = { processes: JSON.stringify({ processes, buildpacks: [{ id: 'z' }, {}, { id: 'b/c' }] }) };
    const env = ['PATH=/cnb/process:/cnb/lifecycle:/usr/bin:/bin'];
    expect(leads(['/cnb/process/web'], { ...order, env, files: { ...label([]).files, ...more } })).toBe(expected);
  });

  it.each([
    [{ 'working-dir': '/app', command: ['./server'], direct: true }, 'app/server'],
    [{ 'working-dir': '/app', command: './server && exec ./other' }, 'app/other < app/server'],
    [{ 'working-dir': 'sub', command: ['./run'] }, 'workspace/sub/run'],
  ])("a process's directory: %j", (process, expected) => {
    const processes = JSON.stringify({ processes: [{ type: 'web', ...process }] });
    const run = { ...label([]).files, 'workspace/sub/run': elf };
    expect(leads(['/cnb/process/web'], { processes, files: run })).toBe(expected);
  });
});

describe('launchers whose configuration names the program', () => {
  const both = 'app/server < usr/bin/ct';
  const files: Files = {
    'usr/bin/consul-template': '->/usr/bin/ct',
    'usr/bin/ct': elf,
    'usr/bin/vault': '->/usr/bin/ct',
  };
  it.each<[argv: string[], configuration: string | undefined, expected: string]>([
    [['consul-template', '-config', '/c.hcl'], 'exec {\n  command = "/app/server -x"\n}\n', both],
    [
      ['consul-template', '-config=/c.hcl'],
      'a = 1\nexec {\n  splay = "5s"\n  command = ["/app/server", "-x",]\n}\n',
      both,
    ],
    [['consul-template', '--config=/c.hcl'], '{"template": [{}], "exec": {"command": ["/app/server"]}}', both],
    [['consul-template', '-config', '/c.hcl'], 'exec = {\n  command = "cd / && /app/server"\n}\n', both],
    [['consul-template', '-config', '/c.hcl'], '# exec { command = "/app/server" }\ntemplate {}\n', 'usr/bin/ct'],
    [['consul-template', '-config', '/c.hcl'], 'template {\n  exec_timeout = "1s"\n}\n', 'usr/bin/ct'],
    [['consul-template', '-config', '/c.hcl'], 'exec {\n  command = bin\n}\n', 'usr/bin/ct hidden'],
    [['consul-template', '-config', '/c.hcl'], 'exec {\n  command = ["/app/server", 1]\n}\n', 'usr/bin/ct hidden'],
    [['consul-template', '-config', '/c.hcl'], undefined, 'usr/bin/ct hidden'],
    [['consul-template', '-template', 'a:b'], undefined, 'usr/bin/ct'],
    [['vault', 'agent', '-config=/c.hcl'], 'exec {\n  command = ["/app/server"]\n}\n', both],
    [['vault', 'agent', '-config=/c.hcl'], undefined, 'usr/bin/ct'],
    [['vault', 'server', '-config=/c.hcl'], 'exec {\n  command = ["/app/server"]\n}\n', 'usr/bin/ct'],
  ])('%j %j', (argv, configuration, expected) => {
    expect(leads(argv, { files: { ...files, ...(configuration !== undefined && { 'c.hcl': configuration }) } })).toBe(
      expected,
    );
  });
});

describe('supervisors', () => {
  const conf =
    '[supervisord]\nnodaemon=true\n[program:a]\ncommand=/app/server -x ; why\n[program:b]\ncommand=bash -c "exec /app/other"\n';
  const supervisord = { 'usr/bin/supervisord': '#!/usr/bin/python3\n' };
  it.each([
    [['supervisord', '-c', '/s.conf'], { ...supervisord, 's.conf': conf }, 'app/server app/other'],
    [
      ['/usr/bin/supervisord', '-n'],
      {
        ...supervisord,
        'etc/supervisor/supervisord.conf': '[include]\nfiles = conf.d/*.conf\n',
        'etc/supervisor/conf.d/a.conf': '[program:a]\ncommand=/app/server\n',
      },
      'app/server',
    ],
    [['supervisord', '-c', '/none.conf'], supervisord, 'hidden'],
    [['multirun', '/app/server -x', '/app/other'], {}, 'app/server app/other'],
    [['runsv', '/s/web'], { 's/web/run': '#!/bin/sh\nexec /app/server\n' }, 'app/server'],
    [['circusd', '/c.ini'], { 'c.ini': '[watcher:web]\ncmd = /app/server\nargs = -x\n' }, 'app/server'],
    [['circusd'], {}, 'hidden'],
    [['horust'], { 'etc/horust/services/a.toml': 'command = "/app/server -x"\n' }, 'app/server'],
    [['horust', '--services-path', '/h'], { 'h/a.toml': 'command = "/app/other"\n' }, 'app/other'],
    [['dinit'], { 'etc/dinit.d/boot': 'type = process\ncommand = /app/server\n' }, 'app/server'],
    [
      ['pebble', 'run'],
      { 'var/lib/pebble/default/layers/1.yaml': 'services:\n  a:\n    command: /app/server\n' },
      'app/server',
    ],
    [
      ['process-compose', 'up', '-f', '/p.yaml'],
      { 'p.yaml': 'processes:\n  a:\n    command: "/app/server | cat"\n  b:\n    command: |\n      x\n' },
      'app/server hidden',
    ],
    [
      ['env', 'BIN=server', 'supervisord', '-c', '/s.conf'],
      { ...supervisord, 's.conf': '[program:a]\ncommand=/app/%(ENV_BIN)s --name %(program_name)s\n' },
      'app/server',
    ],
    [
      ['supervisord', '-c', '/s.conf'],
      { ...supervisord, 's.conf': '[program:a]\ncommand=/app/%(ENV_BIN)s\n' },
      'hidden',
    ],
    [['runsvdir', '/etc/service'], { 'etc/service/a/run': '#!/bin/sh\nexec /app/server' }, 'app/server'],
    [
      ['/sbin/my_init', '--', '/app/other'],
      { 'etc/service/a/run': '#!/bin/sh\nexec /app/server' },
      'app/other app/server',
    ],
    [
      ['/init'],
      {
        init: '#!/bin/sh\n',
        'etc/s6-overlay/s6-rc.d/a/run': '#!/command/with-contenv bash\nexec s6-setuidgid app /app/server',
      },
      'app/server',
    ],
    [
      ['/init', '/app/other'],
      { init: '#!/bin/sh\n', 'etc/services.d/a/run': '#!/bin/sh\nexec /app/server' },
      'app/other app/server',
    ],
    [['s6-svscan', '/x'], {}, 'hidden'],
    [
      ['s6-svscan', '/x'],
      { 'x/a/run': '#!/bin/sh\nexec /app/server', 'x/a/log/run': '#!/bin/sh\nexec /app/other' },
      'app/server',
    ],
    [['just', 'serve'], {}, 'hidden'],
    [
      ['/init'],
      {
        init: '#!/bin/execlineb -S0\n',
        'etc/s6-overlay/s6-rc.d/a/run': '#!/command/execlineb -P\nwith-contenv\ns6-setuidgid app\n/app/server -x\n',
        'etc/s6-overlay/s6-rc.d/a/type': 'longrun\n',
        'etc/s6-overlay/s6-rc.d/b/run': '#!/bin/sh\nexec /app/migrate',
        'etc/s6-overlay/s6-rc.d/b/type': 'oneshot\n',
        'etc/s6-overlay/s6-rc.d/b/up': '/etc/s6-overlay/s6-rc.d/b/run',
        'etc/s6-overlay/s6-rc.d/c/run': '#!/bin/sh\nexec sleep infinity',
        'etc/cont-init.d/10-x': '#!/bin/sh\n/app/other',
      },
      'app/server < app/migrate app/other',
    ],
    [
      ['/init'],
      {
        init: '#!/bin/sh\n',
        'etc/services.d/a/run': '#!/bin/sh\nexec /nowhere',
        'etc/services.d/b/run': '#!/bin/sh\nexec /app/server',
      },
      'app/server',
    ],
    [
      ['/usr/sbin/runit'],
      {
        'etc/runit/1': '#!/bin/sh\n/app/migrate',
        'etc/runit/2': '#!/bin/sh\nexec runsvdir -P /etc/service',
        'etc/service/a/run': '#!/bin/sh\nexec /app/server',
      },
      'app/server < app/migrate',
    ],
    [['runsvdir-start'], { 'etc/service/a/run': '#!/bin/sh\nexec chpst -u app /app/server' }, 'app/server'],
    [
      ['/sbin/my_init'],
      { 'etc/my_init.d/1': '#!/bin/sh\n/app/migrate', 'etc/service/a/run': '#!/bin/sh\nexec /app/server' },
      'app/server < app/migrate',
    ],
    [
      ['/sbin/my_init', '--skip-runit', '--', '/app/other'],
      { 'etc/service/a/run': '#!/bin/sh\nexec /app/server' },
      'app/other',
    ],
    [['/sbin/my_init', '--skip-startup-files'], { 'etc/my_init.d/1': '#!/bin/sh\n/app/migrate' }, 'hidden'],
    [['forego', 'start', '-r'], { Procfile: 'web: /app/server\n' }, 'app/server'],
    [['hivemind', 'Procfile'], { Procfile: 'web: /app/server\njob: exec /app/other\n' }, 'app/server app/other'],
    [['hivemind'], {}, 'hidden'],
    [
      ['runsvdir', '-P', '/etc/service'],
      { 'etc/service/a': '->/etc/sv/a', 'etc/sv/a/run': '#!/bin/sh\nexec chpst -u app /app/server' },
      'app/server',
    ],
    [
      ['rr', 'serve', '-c', '.rr.yaml'],
      { 'usr/bin/rr': go, 'usr/bin/php': elf, '.rr.yaml': 'version: "3"\nserver:\n  command: "php worker.php"\n' },
      'usr/bin/php usr/bin/rr',
    ],
    [['rr', 'serve'], { 'usr/bin/rr': go }, 'hidden usr/bin/rr'],
    [['rr', '--version'], { 'usr/bin/rr': go }, 'usr/bin/rr'],
    [['fwatchdog'], { 'usr/bin/fwatchdog': elf }, 'hidden usr/bin/fwatchdog'],
    [['env', 'fprocess=/app/server -x', 'fwatchdog'], { 'usr/bin/fwatchdog': elf }, 'app/server usr/bin/fwatchdog'],
    [
      ['spark-class', 'Main'],
      {
        'usr/bin/java': elf,
        'usr/bin/spark-class':
          '#!/bin/bash\nwhile read -r x; do CMD+=("$x"); done < <(java Launcher)\nexec "${CMD[@]}"\n',
      },
      'usr/bin/java',
    ],
  ] as readonly (readonly [readonly string[], Files, string])[])('%j', (argv, files, expected) => {
    expect(leads(argv, { files })).toBe(expected);
  });
});

describe('execline', () => {
  it.each([
    ['/app/server -x', 'app/server'],
    ['cd /app ./server', 'app/server'],
    ['foreground { /app/migrate }\n/app/server', 'app/server < app/migrate'],
    ['background { /app/other } /app/server', 'app/server app/other'],
    ['if -n { test -d /x } s6-setuidgid app /app/server', 'app/server'],
    ['foreground { if { /app/migrate } echo done } exec -c /app/server', 'app/server < app/migrate'],
    ['ifelse { test -e /x } { /app/other } /app/server', 'app/server app/other'],
    ['define BIN "/app/server" # why\nexec ${BIN} -v', 'app/server'],
    ['importas -i -u BIN BIN\n$BIN', 'app/other'],
    ['importas -D /app/server PROGRAM NONE $PROGRAM', 'app/server'],
    ['importas -S NONE $NONE', 'hidden'],
    ['backtick -n X { /app/migrate } ${X}', 'hidden < app/migrate'],
    ['fdmove -c 2 1 redirfd -w 1 /log umask 022 /app/server', 'app/server'],
    ['pipeline { /app/server } s6-log /var/log', 'app/server'],
    ['emptyenv export A 1 /app/server', 'app/server'],
    ['/app/$1', 'app/server'],
    ['if { /app/migrate', 'absent'],
    ['', 'hidden'],
  ])('%j', (text, expected) => {
    const files = { 'usr/bin/execlineb': elf, run: `#!/usr/bin/execlineb -S1\n${text}` };
    expect(leads(['/run', 'server'], { files, env: ['BIN=/app/other'] })).toBe(expected);
  });

  it('a text is followed, and a script out of reach is not', () => {
    expect(leads(['execlineb', '-c', 'exec /app/server'])).toBe('app/server');
    expect(leads(['execlineb', '-P', '/none'])).toBe('hidden');
  });

  it.each(['{ '.repeat(20_000), '"'.repeat(30_001), '\\'.repeat(30_001), 'foreground { '.repeat(5000)])(
    'ends soon: %#',
    (text) => {
      const started = performance.now();
      expect(leads(['/run'], { files: { run: `#!/usr/bin/execlineb\n${text}` } })).toEqual(expect.any(String));
      expect(performance.now() - started).toBeLessThan(1000);
    },
  );
});

it.each([
  [64, 'app/server'],
  [65, 'app/server hidden'],
])('of %i services those beyond 64 are not followed, and that counts', (services, expected) => {
  const runs = Array.from({ length: services }, (_, at) => [`srv/${100 + at}/run`, '#!/bin/sh\nexec /app/server']);
  expect(leads(['runsvdir', '/srv'], { files: Object.fromEntries(runs) })).toBe(expected);
});

describe('programs known by name', () => {
  it.each([
    ['gunicorn', 'usr/bin/python3'],
    ['npm', 'usr/bin/node'],
    ['wget', 'bin/busybox'],
  ])('%s that was not seen is run by %s', (tool, interpreter) => {
    const layer = layerOf({ [interpreter]: elf, ...(interpreter === 'bin/busybox' && { 'bin/sh': '->busybox' }) });
    layer.complete = false;
    const first = firstInvocation(
      { entrypoint: [`/opt/bin/${tool}`], cmd: [], env: [], workingDir: '' },
      { command: [], args: [] },
    );
    const { stays } = follow(imageFiles([layer]), first, {}, { left: 10_000 });
    expect(stays[0]?.located.status).toBe('unseen');
    expect(stays[0]?.runBy).toMatchObject({ status: 'found', path: interpreter });
  });
});
