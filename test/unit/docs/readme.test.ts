import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { commandsOf, triedBy } from '../../support/readme.ts';
import { page, rows } from './pages.ts';

const README = page('README.md');
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const commands = commandsOf();
const matching = (pattern: RegExp): string[] => commands.filter((command) => pattern.test(command));
const first = (pattern: RegExp): string => {
  const [, found = ''] = pattern.exec(commands.join('\n')) ?? [];
  return found;
};

describe('the commands of README.md', () => {
  it('are all tried, in one way or another', () => {
    expect(commands.filter((command) => triedBy(command) === undefined)).toEqual([]);
    expect(commands.length).toBeGreaterThan(18);
    expect(triedBy('curl https://example.com | sh')).toBeUndefined();
  });

  it('name files of this repository that are there', () => {
    const files = commands
      .flatMap((command) => [...command.matchAll(/(?:^| )((?:charts|examples)\/\S+)/g)])
      .map(([, file = '']) => file);
    expect(files.length).toBeGreaterThan(4);
    expect(files.filter((file) => !existsSync(`${ROOT}${file}`))).toEqual([]);
  });

  it('in kind build, load and install one image, which has a registry of its own', () => {
    const built = first(/^docker build -t (localhost\/\S+) \.$/m);
    expect(built).toMatch(/^localhost\/[a-z-]+:[a-z]+$/);
    expect(matching(/^kind /)).toEqual(['kind create cluster', `kind load docker-image ${built}`]);
    const [repository, tag] = built.split(':');
    expect(matching(/^helm install .*--wait /)).toEqual([
      expect.stringMatching(`--set image\\.repository=${repository} --set image\\.tag=${tag}$`),
    ]);
    expect(existsSync(`${ROOT}Dockerfile`)).toBe(true);
  });

  it('in kind look at the Deployment of the example, in its namespace, once it is there', () => {
    const { metadata } = parse(page('examples/deployment.yaml')) as { metadata: { name: string; namespace: string } };
    const inKind = commands.slice(commands.indexOf('kind create cluster'));
    const order = [
      `kubectl create namespace ${metadata.namespace}`,
      `kubectl label namespace ${metadata.namespace} libc-dns.dev/mode=enforce`,
      'kubectl apply -f examples/deployment.yaml',
      `kubectl -n ${metadata.namespace} rollout status deployment/${metadata.name}`,
      `kubectl -n ${metadata.namespace} exec deploy/${metadata.name} -- cat /etc/resolv.conf`,
    ];
    const places = order.map((command) => inKind.indexOf(command));
    expect(places[0]).toBeGreaterThan(0);
    expect(places).toEqual(places.map((_, at) => (places[0] ?? 0) + at));
  });
});

describe('the bars of README.md', () => {
  const block = /```\n(glibc .*?)```/s.exec(README)?.[1] ?? '';
  const bars = block.trimEnd().split('\n');
  const race = page('docs/e2e.md').split('<!-- e2e race: begin -->')[1]?.split('<!-- e2e race: end -->')[0] ?? '';
  const medians = Object.fromEntries(
    rows(race).map(([name = '', ...cells]) => [name, cells.map((cell) => Number(cell.split(' / ')[0]))]),
  );
  const text = (ms = Number.NaN): string => (ms < 100 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);

  it('are the medians that the whole cluster showed', () => {
    const [glibc = [], musl = []] = [medians['glibc'], medians['musl']];
    expect(bars.map((bar) => bar.split(/ {1,2}(?=[\d.]+ m?s$)/).at(-1))).toEqual(
      [glibc[0], glibc[1], musl[0], musl[1], musl[2]].map(text),
    );
  });

  it('are as long as the times', () => {
    const lengths = bars.map((bar) => bar.match(/█/g)?.length ?? 0);
    expect(lengths).toEqual([20, 0, 10, 2, 0]);
  });
});

it('the first screen of README.md says what it is, who needs it, what it risks, costs, and how far it is', () => {
  const screen = README.split('\n').slice(0, 11).join('\n');
  for (const word of ['Need it?', 'Risk?', 'Cost?', 'Status?', 'inside the image']) expect(screen).toContain(word);
});

it('README.md compares with what else there is', () => {
  const others = rows(README, '## What else there is').slice(1);
  expect(others.length).toBeGreaterThan(3);
  expect(others.filter(([name, better, but]) => name === '' || better === '' || but === '')).toEqual([]);
});
