import { describe, expect, it } from 'vitest';

import { commandInImage, execWrapper, mountOver } from '../../../../src/detection/pod/exec-wrappers.ts';

const split = (text: string): string[] => text.split(' ').filter(Boolean);

describe('execWrapper: the command behind a wrapper', () => {
  it.each([
    ['argoexec', 'emissary --loglevel info --log-format text -- sh -c x', 'sh -c x'],
    ['entrypoint', '-wait_file /a -post_file /b -entrypoint /ko-app/git -- -url x', '/ko-app/git -url x'],
    ['entrypoint', '-entrypoint sh', 'sh'],
    ['entrypoint', '--wait_file /a --entrypoint=sh -- -c x', 'sh -c x'],
    ['vault-env', 'node server.js --port 1', 'node server.js --port 1'],
    ['berglas', 'exec --local -- /app', '/app'],
    ['secrets-init', '--provider=aws node a.js', 'node a.js'],
    ['secrets-init', '--provider google -- node a.js', 'node a.js'],
    ['launch', '--pipeline_name x --run_id y -- sh -ec x', 'sh -ec x'],
    ['launcher-v2', '--executor_type container -- python a.py', 'python a.py'],
    ['doppler', 'run --project a -- node a.js', 'node a.js'],
    ['ddtrace-run', '--debug gunicorn app', 'gunicorn app'],
    ['chamber', 'exec app shared -- ./serve', './serve'],
    ['aws-vault', 'exec -d 1h profile -- ./serve', './serve'],
    ['aws-vault', 'exec profile ./serve -x', './serve -x'],
    ['op', 'run --env-file .env -- npm start', 'npm start'],
    ['infisical', 'run --env=prod -- npm start', 'npm start'],
    ['envconsul', '-prefix app -once -upcase ./serve', './serve'],
    ['opentelemetry-instrument', '--service_name a --traces_exporter=otlp python a.py', 'python a.py'],
    ['newrelic-admin', 'run-program gunicorn app', 'gunicorn app'],
  ])('%s %s', (name, words, command) => {
    expect(execWrapper(name)?.(split(words))).toEqual(split(command));
  });

  it.each([
    ['argoexec', 'wait'],
    ['argoexec', 'emissary'],
    ['entrypoint', 'cp /a /b'],
    ['entrypoint', '-entrypoint'],
    ['entrypoint', '-entrypoint= -- x'],
    ['vault-env', ''],
    ['doppler', 'run --command x'],
    ['doppler', 'run --'],
    ['op', 'read -- x'],
    ['aws-vault', 'exec profile'],
  ])('%s %s runs none', (name, words) => {
    expect(execWrapper(name)?.(split(words))).toBeUndefined();
  });

  it('knows no others', () => {
    expect([execWrapper('node'), execWrapper('constructor')]).toEqual([undefined, undefined]);
  });
});

describe('commandInImage', () => {
  const run = (command: string, args: string, mounts?: readonly string[]) =>
    commandInImage({ command: split(command), args: split(args), ...(mounts && { mounts }) });

  it.each([
    ['no mount', '/vault/vault-env node', 'a.js', undefined, '/vault/vault-env node | a.js'],
    ['a mount elsewhere', '/vault/vault-env node', '', ['/vaul', '/vault/vault-env/x'], '/vault/vault-env node'],
    ['a known wrapper', '/vault/vault-env node', 'a.js', ['/vault/'], 'node a.js'],
    ['a wrapper that is a mount itself', '/bin/argoexec emissary', '-- sh', ['/bin/argoexec'], 'sh'],
    ['an unknown program with a separator', '/scripts/wait.sh db:5432', '-- /app', ['/scripts'], '/app'],
    ['one after the other', '/a/wait.sh x -- /b/vault-env /app', '', ['/a', '/b'], '/app'],
    ['a program without a path', 'vault-env node', '', ['/'], 'vault-env node'],
    ['no command', '', 'a.js', ['/a'], ' | a.js'],
  ])('%s', (_name, command, args, mounts, inner) => {
    const [first = '', rest = ''] = inner.split(' | ');
    expect(run(command, args, mounts)).toEqual({ command: split(first), args: split(rest) });
  });

  it.each([
    ['/scripts/run.sh a', ['/scripts']],
    ['/scripts/wait.sh -- /app/run', ['/scripts', '/app']],
    ['/argo/argoexec wait', ['/argo']],
  ])('undefined where the program is in a volume: %s', (command, mounts) => {
    expect(run(command, '', mounts)).toBeUndefined();
  });
});

describe('commandInImage, of what a hostile Pod holds', () => {
  const timeOf = (work: () => unknown): number => {
    const started = performance.now();
    work();
    return performance.now() - started;
  };

  it('takes little time for 30,000 programs of a volume, one behind the other', () => {
    const command = Array.from({ length: 60_000 }, (_, at) => (at % 2 === 0 ? '/m/x' : '--'));
    expect(timeOf(() => commandInImage({ command, args: command, mounts: ['/m'] }))).toBeLessThan(50);
    expect(commandInImage({ command, args: [], mounts: ['/m'] })).toBeUndefined();
  });

  it('takes little time for 10,000 mounts of long paths', () => {
    const mounts = [...Array.from({ length: 10_000 }, (_, at) => `/a${'b'.repeat(100)}${at}`), '/m'];
    const command = ['/m/x', '--', '/m/y', '--', '/app'];
    expect(timeOf(() => commandInImage({ command, args: [], mounts }))).toBeLessThan(50);
    expect(commandInImage({ command, args: [], mounts })).toEqual({ command: ['/app'], args: [] });
  });
});

it('mountOver: the volume that hides a path', () => {
  const mounts = ['/a', '/b/'];
  expect(mountOver('/x', ['/'])).toBe('/');
  expect(['/a', '/a/x', '/ab', '/b/x', '/b', ''].map((path) => mountOver(path, mounts))).toEqual([
    '/a',
    '/a',
    undefined,
    '/b/',
    undefined,
    undefined,
  ]);
});
