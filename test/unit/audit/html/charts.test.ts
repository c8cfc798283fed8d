import { describe, expect, it } from 'vitest';

import { barChart, legend } from '../../../../src/audit/html/charts.ts';
import { html } from '../../../../src/audit/html/markup.ts';

const heads = { caption: 'Containers by resolver', by: 'Namespace', unit: 'Containers' };

const rects = (markup: string): string[] =>
  [...markup.matchAll(/<rect class="(\S+)" x="(\S+)" width="(\S+)"/g)].map(
    ([, tone, x, width]) => `${tone} ${x} ${width}`,
  );

describe('a bar chart', () => {
  it('draws all bars to one scale, their parts one after the other', () => {
    const { markup } = barChart(heads, [
      {
        label: html`shop`,
        segments: [
          { label: 'glibc', tone: 'glibc', value: 3 },
          { label: 'musl', tone: 'musl', value: 1 },
        ],
      },
      { label: html`<b></b>`, segments: [{ label: 'go', tone: 'go', value: 1 }] },
    ]);
    expect(rects(markup)).toEqual(['tone-glibc 0% 75%', 'tone-musl 75% 25%', 'tone-go 0% 25%']);
  });

  it('says what it shows, and leaves out what is none', () => {
    const segments = [
      { label: 'musl', tone: 'musl', value: 0 },
      { label: '"go"', tone: 'go', value: 1234 },
    ] as const;
    const { markup } = barChart(heads, [{ label: html`shop`, segments }]);
    expect(rects(markup)).toEqual(['tone-go 0% 100%']);
    expect(markup).toContain('aria-label="&quot;go&quot; 1,234"');
    expect(markup).toContain('<td class="number">1,234</td>');
  });

  it.each([
    ['no bars', []],
    ['only zeros', [{ label: html`x`, segments: [{ label: 'go', tone: 'go', value: 0 }] as const }]],
  ])('is drawn of %s', (_, bars) => {
    expect(rects(barChart(heads, bars).markup)).toEqual([]);
  });
});

it('a legend has a key and a word for each tone', () => {
  const { markup } = legend([{ label: 'musl <3', tone: 'musl' }]);
  expect(markup).toContain('tone-musl');
  expect(markup).toContain('musl &lt;3');
});
