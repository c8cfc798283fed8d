import { describe, expect, it } from 'vitest';
import type { Cell } from '../../lab/measure/run.ts';
import { chart } from '../../lab/report/chart.ts';
import { mistakesIn, reportOf } from '../../lab/report/report.ts';
import { evidenceBlocks, fillBlocks, markdownTable, resultsPage, textReport } from '../../lab/report/table.ts';
import { raced } from '../../lab/scenarios/raced.ts';

const cell = (part: Partial<Cell>): Cell => ({
  scenario: 'raced',
  column: 'before',
  resolver: 'glibc',
  kind: 'glibc',
  reason: 'OptionsAdded',
  resolvConf: 'nameserver 10.96.0.10\n',
  samples: [
    { ms: 5017.04, outcome: 'found', error: '' },
    { ms: 5018, outcome: 'found', error: '' },
  ],
  problems: [],
  repeated: 0,
  ...part,
});

const cells: Cell[] = [
  cell({}),
  cell({ resolver: 'musl', kind: 'musl', samples: [{ ms: 1002, outcome: 'fails', error: 'EAI_AGAIN' }], repeated: 1 }),
  cell({ column: 'ours', samples: [{ ms: 15_000, outcome: 'gives up', error: '' }] }),
];

const report = reportOf({
  machine: { kernel: '6.1', processors: 2 },
  runs: 10,
  programs: [
    { id: 'glibc', title: 'glibc <2.36>', declared: 'glibc', argv: [] },
    { id: 'musl', title: 'musl 1.2.3', declared: 'musl', argv: [] },
  ],
  skipped: [{ what: 'Go', why: 'go is not installed' }],
  scenarios: [{ ...raced, columns: raced.columns.slice(0, 2) }],
  cells,
});

describe('the report', () => {
  it('has median and worst of each resolver in each Pod, and what the Pod was given', () => {
    expect(report.scenarios[0]?.columns[0]?.pods).toEqual([
      {
        reason: 'OptionsAdded',
        resolvConf: ['nameserver 10.96.0.10'],
        resolvers: {
          glibc: { median: 5017.5, worst: 5018, outcome: 'found' },
          musl: { median: 1002, worst: 1002, outcome: 'fails', repeated: 1 },
        },
      },
    ]);
  });

  it('reads as a table, and says loudly what was left out', () => {
    const text = textReport(report);
    expect(text).toMatch(/\| glibc <2\.36> +\| +5018 \/ 5018 \| > 15000 \|/);
    expect(text).toMatch(/\| musl 1\.2\.3 +\| 1002 \/ 1002 fails \| +\|/);
    expect(text).toContain('SKIPPED Go: go is not installed');
  });

  it('names what did not come out', () => {
    const wrong = cell({ problems: [{ kind: 'wrong', text: '1 of 2: fails' }] });
    expect(mistakesIn([cell({}), wrong])).toEqual(['raced, before, glibc: 1 of 2: fails']);
  });

  it('becomes a chart', () => {
    const svg = chart(report);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .*<\/svg>\n$/s);
    expect(svg).toContain('glibc &lt;2.36&gt;');
    expect(svg.match(/<g transform/g)).toHaveLength(6 + 3);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe('a document', () => {
  it('gets its tables between its marks, again and again', () => {
    const blocks = evidenceBlocks(report);
    const once = fillBlocks('# T\n\n<!-- lab machine -->\n<!-- end -->\n\ntext\n', blocks);
    expect(once).toBe(
      '# T\n\n<!-- lab machine -->\n\nLinux 6.1, 2 processors; 10 fresh processes for each figure.\n\n<!-- end -->\n\ntext\n',
    );
    expect(fillBlocks(once, blocks)).toBe(once);
  });

  it('shows one resolver of each kind, where the page of all results has each', () => {
    const wider = structuredClone({ ...report, resolvers: { ...report.resolvers, python: 'Python 3' } });
    Object.assign(wider.scenarios[0]?.columns[0]?.pods[0]?.resolvers ?? {}, {
      python: { median: 1, worst: 2, outcome: 'found' },
    });
    expect(evidenceBlocks(wider)['raced']).not.toContain('Python');
    expect(resultsPage(wider)).toContain('| Python 3');
  });

  it('that asks for what the lab does not have is refused', () => {
    expect(() => fillBlocks('<!-- lab nothing -->\n<!-- end -->', {})).toThrow('asks for nothing');
  });

  it('has tables as oxfmt writes them', () => {
    expect(markdownTable(['a', 'b'], [['long text', '1']])).toBe(
      '| a         |   b |\n| --------- | --: |\n| long text |   1 |\n',
    );
  });
});
