import { describe, expect, it } from 'vitest';

import { bodies } from '../../../bench/reviews.ts';

describe('the reviews that are sent', () => {
  const sent = bodies((image) => `registry.test/${image}`);

  it('are small to large', () => {
    const kilobytes = sent.map(({ name, text }) => [name, Math.round(text.length / 1000)]);
    expect(kilobytes).toEqual([
      ['plain', 3],
      ['mixed', 5],
      ['large', expect.closeTo(300, -1.5)],
    ]);
  });

  it('name the images that are there', () => {
    for (const { text } of sent) expect(text).toMatch(/"image":"registry\.test\//);
  });
});
