import { describe, expect, it } from 'vitest';
import { planPods } from '../../lab/measure/plan-pods.ts';
import { predict } from '../../lab/measure/predict.ts';
import type { Program, ResolverId } from '../../lab/preparation/programs.ts';
import { SCENARIOS } from '../../lab/scenarios/all.ts';
import type { Kind } from '../../lab/scenarios/scenario.ts';

const KINDS: Readonly<Record<ResolverId, Kind>> = {
  glibc: 'glibc',
  python: 'glibc',
  'node-lookup': 'glibc',
  'node-resolve': 'other',
  'go-libc': 'glibc',
  go: 'go',
  'go-cgo': 'go',
  musl: 'musl',
  'musl-new': 'musl',
  'musl-static': 'musl',
};

const programs = (Object.keys(KINDS) as ResolverId[]).map((id): Program => {
  return { id, title: id, declared: KINDS[id], argv: ['true'] };
});

describe.each(SCENARIOS)('$id', (scenario) => {
  const plans = planPods([scenario], programs);

  it('expects something of cells that are measured only', () => {
    const measured = plans.flatMap(({ column, containers }) =>
      containers.flatMap(({ program, kind }) => [`${column.id}/${program.id}`, `${column.id}/${kind}`]),
    );
    expect(measured).toEqual(expect.arrayContaining(Object.keys(scenario.expect)));
  });

  it('measures no resolver twice in a column', () => {
    const cells = plans.flatMap(({ column, containers }) =>
      containers.map(({ program }) => `${column.id}/${program.id}`),
    );
    expect(cells).toEqual([...new Set(cells)]);
  });

  it('asks for names of which each look-up has its own', () => {
    expect(scenario.question('token')).toMatch(/^token\./);
  });
});

it('scenarios have different names', () => {
  expect(new Set(SCENARIOS.map(({ id }) => id)).size).toBe(SCENARIOS.length);
});

describe('a Pod’s resolv.conf', () => {
  const raced = SCENARIOS.filter(({ id }) => id === 'raced');

  it('is what explain says, before and after our patch', async () => {
    const chosen = new Set<ResolverId>(['glibc', 'musl']);
    const plans = planPods(
      raced,
      programs.filter(({ id }) => chosen.has(id)),
    );
    const predictions = await predict(plans, () => true);
    const search = 'search shop.svc.cluster.local svc.cluster.local cluster.local\n';
    expect(predictions.get('raced-before-0')).toEqual({
      reason: 'OptionsAdded',
      resolvConf: `${search}nameserver 10.96.0.10\noptions ndots:5\n`,
    });
    expect(predictions.get('raced-ours-0')?.resolvConf).toBe(
      `${search}nameserver 10.96.0.10\noptions ndots:5 single-request-reopen use-vc\n`,
    );
    expect(predictions.get('raced-ours-local-3')).toEqual({
      reason: 'MuslRedirected',
      resolvConf: `${search}nameserver 169.254.20.10\nnameserver 10.96.0.10\noptions ndots:5 timeout:5 attempts:10\n`,
    });
    expect(predictions.get('raced-ours-local-only-3')?.resolvConf).not.toContain('10.96.0.10');
    expect(predictions.get('raced-peer-appended-3')?.resolvConf).toContain(
      'nameserver 10.96.0.10\nnameserver 169.254.20.10\n',
    );
  });

  it('has no use-vc where the preflight has not seen TCP answered', async () => {
    const plans = planPods(
      raced,
      programs.filter(({ id }) => id === 'glibc'),
    );
    const predictions = await predict(plans, () => false);
    expect(predictions.get('raced-ours-0')?.resolvConf).toContain('options ndots:5 single-request-reopen\n');
  });
});
