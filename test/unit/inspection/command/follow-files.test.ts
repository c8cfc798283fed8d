import { describe, expect, it } from 'vitest';

import { elf, type Files, leads, type Setting } from '../../../support/followed.ts';

const text = (script: string, setting?: Setting): string => leads(['/bin/sh', '-c', script], setting);

describe('a shell that reads its commands from standard input', () => {
  it.each<[script: string, expected: string, setting?: Setting]>([
    ['exec sh <<X\ncd /app\nexec ./server\nX', 'app/server'],
    ['B=server; gosu app sh <<X\nexec /app/$B\nX', 'app/server'],
    ['sh < /run.sh', 'app/server', { files: { 'run.sh': 'exec /app/server' } }],
    ['sh < /nowhere', 'hidden'],
    ['echo "exec /app/server" | sh', 'app/server'],
    ['echo "/app/$1" | sh', 'absent'],
    ['curl x | sh', 'usr/bin/curl hidden'],
    ['bash <<< "exec /app/server"', 'app/server'],
  ])('%j', (script, expected, setting) => {
    expect(text(script, setting)).toBe(expected);
  });
});

describe('what a shell reads before its text', () => {
  const tools: Files = { 'opt/app/bin/tool': elf, 'usr/bin/tool': elf };
  const env = ['PATH=/opt/app/bin:/usr/bin:/bin'];
  const profile = {
    ...tools,
    'etc/profile': 'PATH=/usr/local/bin:/usr/bin:/bin\nfor i in /etc/profile.d/*.sh; do . $i; done\n',
  };
  const added = { ...profile, 'etc/profile.d/app.sh': 'PATH=/opt/app/bin:$PATH\n' };
  it.each<[argv: readonly string[], expected: string, setting: Setting]>([
    [['bash', '-c', 'tool'], 'opt/app/bin/tool', { env, files: profile }],
    [['bash', '-lc', 'tool'], 'usr/bin/tool', { env, files: profile }],
    [['bash', '--login', '-c', 'tool'], 'opt/app/bin/tool', { files: added }],
    [['bash', '-lc', 'tool'], 'opt/app/bin/tool', { env, files: tools }],
    [['su', '-', 'app', '-c', 'tool'], 'usr/bin/tool', { env, files: profile }],
    [['su', 'app', '-c', 'tool'], 'opt/app/bin/tool', { env, files: profile }],
    [['sudo', '-iu', 'app', 'tool'], 'usr/bin/tool', { env, files: profile }],
    [['sudo', '-Eu', 'app', 'tool'], 'opt/app/bin/tool usr/bin/tool', { env, files: tools }],
    [
      ['sudo', '-E', 'tool'],
      'usr/bin/tool',
      { env, files: { ...tools, 'etc/sudoers': 'Defaults env_reset\nDefaults\tsecure_path="/usr/bin:/bin"\n' } },
    ],
    [
      ['sudo', 'tool'],
      'opt/app/bin/tool usr/bin/tool',
      { env, files: { ...tools, 'etc/sudoers': '# Defaults secure_path="/usr/bin:/bin"\n' } },
    ],
    [['sudo', '-u', 'app', 'only'], 'opt/app/bin/only', { env, files: { 'opt/app/bin/only': elf } }],
    [['bash', '-lc', 'tool'], 'usr/bin/tool', { files: { ...tools, 'root/.profile': 'X=1' } }],
    [['bash', '-lc', 'tool'], 'opt/app/bin/tool', { files: { ...tools, 'root/.profile': 'PATH=/opt/app/bin' } }],
    [
      ['bash', '-c', 'tool'],
      'opt/app/bin/tool',
      { env: ['BASH_ENV=/env.sh'], files: { ...tools, 'env.sh': 'PATH=/opt/app/bin:$PATH' } },
    ],
    [
      ['sh', '-c', 'tool'],
      'usr/bin/tool',
      { env: ['BASH_ENV=/env.sh'], files: { ...tools, 'env.sh': 'PATH=/opt/app/bin:$PATH' } },
    ],
  ])('%j', (argv, expected, setting) => {
    expect(leads(argv, setting)).toBe(expected);
  });

  it('a profile under a volume leaves PATH unknown', () => {
    expect(leads(['bash', '-lc', 'tool'], { env, files: tools, mounts: ['/etc/profile'] })).toBe('hidden');
  });
});

describe('what a script makes of the files of its image', () => {
  const hooks = (list: string): string => `while read -r f; do . "$f"; done < <(${list}); exec "\${B:-/app/server}"`;
  const versions: Files = { 'opt/app-1.2/bin/run': elf, 'opt/app-1.2/.hidden': elf };
  it.each<[script: string, expected: string, setting?: Setting]>([
    ['exec /opt/app-*/bin/run', 'opt/app-1.2/bin/run', { files: versions }],
    ['A=$(ls -d /opt/app-* | head -n 1); exec "$A/bin/run"', 'opt/app-1.2/bin/run', { files: versions }],
    ['exec /opt/app-*/bin/run', 'hidden', { files: versions, mounts: ['/opt'] }],
    ['touch /opt/app-0/bin/run; exec /opt/app-*/bin/run', 'hidden', { files: versions }],
    ['cp /app/server /tmp/s; exec /tmp/s', 'app/server'],
    ['cp /app/server /srv/; exec /srv/server', 'app/server'],
    ['ln -sfn /app /opt/current; exec /opt/current/server', 'app/server'],
    ['cd /srv; ln -s ../app/server s; exec ./s', 'app/server'],
    ['cp /app/$(curl x) /tmp/s; exec /tmp/s', 'hidden < usr/bin/curl'],
    ['cp -t /tmp /app/server; exec /tmp/s', 'absent'],
    ['cd -P -- "$(dirname -- /app/x)" && exec ./server', 'app/server'],
    ['exec "/app/$(basename -- /x/server)"', 'app/server'],
    ['exec $(which server)', 'app/server', { env: ['PATH=/app:/bin'] }],
    ['exec $(find /opt -name run -type f | head -1)', 'opt/app-1.2/bin/run', { files: versions }],
    ['exec "$(find /opt/app-1.2 -type f -name "*un" -print -quit)"', 'opt/app-1.2/bin/run', { files: versions }],
    ['exec $(find /opt /srv -type f -name run | sort -V | tail -n 1)', 'opt/app-1.2/bin/run', { files: versions }],
    ['exec $(find /app -type f -name server)', 'hidden', { files: { 'app/old/server': elf } }],
    ['exec $(find /app -type f -name link)', 'app/y/link', { files: { 'app/link': '->server', 'app/y/link': elf } }],
    ['exec $(find /opt -name run | head -1)', 'hidden', { files: versions }],
    ['exec $(find /opt/app-1.2/bin -mindepth 1 -type f)', 'opt/app-1.2/bin/run', { files: versions }],
    ['exec $(find /opt -mindepth 1 -type f)', 'hidden', { files: versions }],
    ['exec $(find /opt/app-1.2/bin -mindepth 2 -type f)', 'hidden', { files: versions }],
    [hooks('find /hooks -mindepth 1 -type f | sort -n'), 'app/server'],
    [hooks('find /hooks -type f'), 'app/server hidden', { files: { 'hooks/a': 'B=$(x)' } }],
    [hooks('curl x'), 'app/server hidden < usr/bin/curl'],
    ['read -r B < <(echo /app/other); exec $B', 'app/other'],
    ['while read -r x; do exec /app/other; done < <(echo -n); exec /app/server', 'app/server'],
    ['while read -r x; do exec /app/other; done < <(echo a); exec /app/server', 'app/server app/other'],
    [
      '[ -h /o/app-1.2/bin/run ] && exec /app/other; exec /app/server',
      'app/server',
      { files: { ...versions, o: '->opt' } },
    ],
    [
      '[ -h /o/l ] && B=/app/other; exec ${B-/app/server}',
      'app/server app/other',
      { files: { 'opt/l': '->x', 'opt/x': elf, o: '->opt' } },
    ],
    ['exec $(find /opt -type f -newer /x -name run)', 'hidden', { files: versions }],
    ['exec $(find /opt -name run -type f)', 'hidden', { files: versions, mounts: ['/opt/app-1.2'] }],
    ['touch /opt/x/run; exec $(find /opt -name run -type f)', 'hidden', { files: versions }],
    ['exec $(ls /opt/app-*/bin/r* | head -1)', 'opt/app-1.2/bin/run', { files: versions }],
    ['exec $(find / -name run -type f)', 'hidden', { files: versions }],
    ['exec $(find /o/ -name run -type f)', 'hidden', { files: { ...versions, o: '->opt' } }],
    ['exec $(ls /opt/app-1.2/bin)', 'hidden', { files: versions }],
    ['exec $(grep ^bin= /etc/a | cut -d= -f2)', 'app/server', { files: { 'etc/a': 'x=1\nbin=/app/server\n' } }],
    ['exec $(grep -m1 -v "^#" /etc/a)', 'app/server', { files: { 'etc/a': '# x\n/app/server\n/app/other\n' } }],
    ['exec $(head -n 1 /etc/a)', 'app/server', { files: { 'etc/a': '/app/server\n/app/other\n' } }],
    ["exec $(sed 's/^x=//' /etc/a)", 'app/server', { files: { 'etc/a': 'x=/app/server\n' } }],
    ['B=$(grep none /etc/a) || B=/app/other; exec $B', 'app/other', { files: { 'etc/a': 'x\n' } }],
    [
      'if grep -q x /etc/a; then exec /app/server; fi; exec /app/other',
      'app/server app/other',
      { files: { 'etc/a': 'x\n' } },
    ],
    ['exec $(cut -d= -f2 < /etc/a)', 'app/server', { files: { 'etc/a': 'bin=/app/server\n' } }],
    ['exec $(< /etc/a)', 'app/server', { files: { 'etc/a': '/app/server\n' } }],
    ['exec $(< /etc/none)', 'hidden'],
    ['echo /app/other > /etc/a; exec $(cat /etc/a)', 'hidden', { files: { 'etc/a': '/app/server\n' } }],
    ['printenv >> /etc/a; . /etc/a; exec $B', 'hidden', { files: { 'etc/a': 'B=/app/server\n' } }],
    ['sed -i s/server/other/ /etc/a; exec $(cat /etc/a)', 'hidden', { files: { 'etc/a': '/app/server\n' } }],
    ['echo /app/other | tee /etc/a; exec $(cat /etc/a)', 'hidden', { files: { 'etc/a': '/app/server\n' } }],
    ['chmod 600 /etc/a; exec $(cat /etc/a)', 'app/server', { files: { 'etc/a': '/app/server\n' } }],
    ['until grep -q ready /etc/a; do sleep 1; done; exec /app/server', 'app/server', { files: { 'etc/a': 'x\n' } }],
    ['exec $(grep -w server /etc/a)', 'hidden', { files: { 'etc/a': '/app/server\n' } }],
    ['exec $(grep "[" /etc/a)', 'hidden', { files: { 'etc/a': '/app/server\n' } }],
    ['getent group app || addgroup app; exec /app/server', 'app/server'],
    ['getent hosts app; exec /app/server', 'app/server < usr/bin/getent', { files: { 'usr/bin/getent': elf } }],
  ])('%j', (script, expected, setting) => {
    expect(text(script, setting)).toBe(expected);
  });
});

describe('jobs of a cron', () => {
  const tools: Files = { 'usr/sbin/crond': elf, 'usr/sbin/cron': elf, 'usr/local/bin/supercronic': elf };
  const path = ['PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin'];
  it.each<[argv: readonly string[], files: Files, expected: string]>([
    [['crond', '-f'], { 'etc/crontabs/root': '# x\n*/5 * * * *\t/app/server >/dev/null 2>&1\n' }, 'app/server'],
    [['crond', '-f', '-c', '/tabs'], { 'tabs/root': '@daily /app/server\n' }, 'app/server'],
    [['cron', '-f'], { 'etc/cron.d/app': 'PATH=/bin\n0 1 * jan-mar mon root /app/server --x\n' }, 'app/server'],
    [['cron', '-f'], { 'etc/crontab': '17 * * * * root /app/server\n' }, 'app/server'],
    [['crond', '-f'], { 'etc/crontabs/root': '*/15 * * * * run-parts /etc/periodic/15min\n' }, 'usr/bin/run-parts'],
    [['crond', '-f'], {}, 'usr/sbin/crond'],
    [
      ['supercronic', '-passthrough-logs', '/tab'],
      { tab: '0 */5 * * * * * /app/server a\n5 4 * * * /app/other\n' },
      'app/server app/other',
    ],
    [['supercronic', '/nowhere'], {}, 'hidden'],
  ])('%j %j', (argv, files, expected) => {
    expect(leads(argv, { env: path, files: { ...tools, 'usr/bin/run-parts': elf, ...files } })).toBe(expected);
  });

  it('crontabs of a volume are not known', () => {
    expect(
      leads(['supercronic', '/tabs/a'], { files: { ...tools, 'tabs/a': '@daily /app/server' }, mounts: ['/tabs'] }),
    ).toBe('hidden');
  });
});

describe('programs that an interpreted script starts', () => {
  const python = (body: string): Files => ({ 'entry.py': `#!/usr/bin/env python3\nimport os, sys\n${body}` });
  it.each<[argv: readonly string[], files: Files, expected: string]>([
    [['/entry.py', '/app/server', '-x'], python('os.execvp(sys.argv[1], sys.argv[1:])\n'), 'app/server'],
    [
      ['python3', '/entry.py'],
      python('import requests\nos.execv("/app/server", ["server"])\n'),
      'app/server < usr/bin/python3',
    ],
    [['/entry.py'], python('if sys.argv:\n  os.execv("/app/server", ["s"])\nmain()\n'), 'usr/bin/python3 app/server'],
    [['/entry.py'], python('import subprocess\nsubprocess.run(["/app/server", "-x"])\n'), 'usr/bin/python3 app/server'],
    [['/entry.py'], python('import subprocess\nsubprocess.run(["chown", "app"])\n'), 'usr/bin/python3'],
    [['/entry.py'], python('print("/app/server")\n'), 'usr/bin/python3'],
    [['python3', '-m', 'http.server'], {}, 'usr/bin/python3'],
    [['perl', '/e.pl', '/app/server'], { 'e.pl': 'exec {$ARGV[0]} @ARGV;\n', 'usr/bin/perl': elf }, 'app/server'],
    [['perl', '/e.pl', '-v'], { 'e.pl': 'exec("/app/server", @ARGV);\n', 'usr/bin/perl': elf }, 'app/server'],
    [
      ['perl', '/e.pl', '-v'],
      { 'e.pl': 'my @c = ("/app/server", @ARGV);\nexec @c or die;\n', 'usr/bin/perl': elf },
      'usr/bin/perl app/server',
    ],
    [
      ['node', '/s.js'],
      { 's.js': "require('child_process').spawn('/app/server')\n", 'usr/bin/node': elf },
      'usr/bin/node app/server',
    ],
  ])('%j %j', (argv, files, expected) => {
    expect(leads(argv, { files })).toBe(expected);
  });

  const npm: Files = { 'usr/bin/npm': '#!/usr/bin/env node\n', 'usr/bin/node': elf };
  const scripts = (start: string): Files => ({ ...npm, 'srv/package.json': JSON.stringify({ scripts: { start } }) });
  it.each<[argv: readonly string[], files: Files, expected: string]>([
    [['npm', 'start'], scripts('/app/server --port 80'), 'app/server < usr/bin/node'],
    [['npm', 'run', '--silent', 'start'], scripts('node x.js'), 'usr/bin/node'],
    [['npm', 'start'], scripts('nowhere x'), 'usr/bin/node'],
    [['npm', 'run', 'other'], scripts('/app/server'), 'usr/bin/node'],
    [['npm', 'start'], { ...npm, 'srv/package.json': '{"scripts":' }, 'usr/bin/node'],
    [['npm', 'run', 'constructor'], scripts('/app/server'), 'usr/bin/node'],
  ])('%j %j', (argv, files, expected) => {
    expect(leads(argv, { files, workingDir: '/srv' })).toBe(expected);
  });
});

describe("the file of Buildpacks' launcher", () => {
  const toml = (table: string): Files => ({
    'cnb/lifecycle/launcher': elf,
    'cnb/process/web': '->/cnb/lifecycle/launcher',
    'layers/config/metadata.toml': `[[buildpacks]]\nid = "a"\n\n[[processes]]\n${table}\n[[processes]]\ntype = "other"\ncommand = ["/app/other"]\n`,
  });
  it.each([
    ['  type = "web"\n  command = ["/app/server"]\n  args = ["-x"]\n  direct = true\n', 'app/server'],
    ['type = "web"\ncommand = "/app/server"\ndirect = false\n', 'app/server'],
    ['type = "web"\ncommand = ["cd /app && ./server"]\ndirect = false\n', 'app/server'],
    ['type = "job"\ncommand = ["/app/server"]\n', 'hidden'],
    ['type = "web"\ncommand = [/app/server\n', 'hidden'],
    ['type = "web"\n[processes.x]\ncommand = ["/app/server"]\n', 'hidden'],
  ])('%j', (table, expected) => {
    expect(leads(['/cnb/process/web'], { files: toml(table) })).toBe(expected);
  });
});

describe('programs that are called like a tool', () => {
  const files: Files = { 'app/watch': elf, 'app/task': elf, 'usr/bin/pebble': elf, 'usr/bin/watch': elf };
  it.each([
    [['/app/watch', 'config.yaml'], 'app/watch'],
    [['/usr/bin/watch', '/app/server'], 'app/server'],
    [['/app/task', '--serve'], 'app/task'],
    [['pebble', '-config', '/x.json'], 'usr/bin/pebble'],
    [['pebble', 'run'], 'hidden'],
  ])('%j', (argv, expected) => {
    expect(leads(argv, { files })).toBe(expected);
  });
});
