import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';

import { ROOT } from './helm.ts';
import { hasTool } from './tools.ts';

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const check = (program: string, ...args: readonly string[]): string =>
  execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });

describe('scripts and workflows', () => {
  it.runIf(hasTool('shellcheck', 'apt-get install shellcheck'))('satisfy shellcheck', () => {
    expect(check('shellcheck', '-x', 'certs/openssl/make-certificate.sh', '.ci/run', '.ci/time.sh')).toBe('');
  });

  it.runIf(hasTool('actionlint', 'go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12'))(
    'satisfy actionlint',
    () => expect(check('actionlint', '-no-color')).toBe(''),
  );

  it('use actions by commit, with the version that it is', () => {
    const uses = ['ci', 'docs', 'release'].flatMap((name) =>
      [...read(`.github/workflows/${name}.yml`).matchAll(/uses: (.+)$/gm)].map(([, action = '']) => action),
    );
    expect(uses.length).toBeGreaterThan(8);
    expect(uses.filter((action) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action))).toEqual([]);
  });
});

describe('the Dockerfile', () => {
  const text = read('Dockerfile');
  const instructions = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => line !== '');
  const of = (name: string): string[] =>
    instructions.filter((line) => line.startsWith(`${name} `)).map((line) => line.slice(name.length + 1));

  it('builds on images that are named by tag and digest, and the release on the same', () => {
    const images = new Map(of('ARG').map((line) => line.split('=') as [string, string]));
    expect(
      [...images.values()].filter((image) => !/^[a-z0-9.]+\/[^:@]+:[\w.-]+@sha256:[0-9a-f]{64}$/.test(image)),
    ).toEqual([]);
    expect([...images.values()].filter((image) => image.includes(':latest'))).toEqual([]);
    const froms = of('FROM').map((line) => /\$\{(\w+)\}/.exec(line)?.[1] ?? line);
    expect(froms.toSorted()).toEqual([...images.keys()].toSorted());
    const release = read('.github/workflows/release.yml');
    for (const name of images.keys()) expect(release).toContain(`--build-arg ${name}`);
  });

  it('ends as a user that Kubernetes can tell from root, with a command that needs no shell', () => {
    expect(of('USER')).toEqual(['65532:65532']);
    expect(of('CMD')).toEqual(['["serve"]']);
    expect([...of('ADD'), ...of('VOLUME'), ...of('ONBUILD')]).toEqual([]);
    expect(of('RUN').filter((line) => /curl|wget|sudo|apt|apk|--allow-root/.test(line))).toEqual([]);
  });

  it('is given what it copies, and nothing else', () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copied = of('COPY')
      .filter((line) => !line.startsWith('--from'))
      .flatMap((line) => line.split(/\s+/).slice(0, -1))
      .filter((word) => !word.startsWith('--'));
    expect(copied.toSorted()).toEqual(allowed.toSorted());
    expect(read('.dockerignore').startsWith('*\n')).toBe(true);
  });
});

describe('versions', () => {
  const version = (JSON.parse(read('package.json')) as { version: string }).version;

  it('are the same for program, chart and image', () => {
    expect(parse(read('charts/libc-dns-webhook/Chart.yaml'))).toMatchObject({ version, appVersion: version });
  });
});
