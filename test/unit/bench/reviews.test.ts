import { describe, expect, it } from 'vitest';

import { bodies } from '../../../bench/reviews.ts';
import type { Review } from '../../support/reviews.ts';

describe('the reviews that are sent', () => {
  const sent = bodies((image) => `registry.test/${image}`);

  it('are small to large', () => {
    const kilobytes = sent.map(({ name, texts }) => [name, Math.round((texts[0]?.length ?? 0) / 1000)]);
    expect(kilobytes).toEqual([
      ['plain', 3],
      ['mixed', 5],
      ['statefulset', 4],
      ['large', expect.closeTo(300, -1.5)],
    ]);
  });

  it('name the images that are there', () => {
    for (const { texts } of sent) for (const text of texts) expect(text).toMatch(/"image":"registry\.test\//);
  });

  it('are each of another Pod', () => {
    for (const { texts } of sent) {
      const parts = texts.map((text) => ({
        uid: /"uid":"([^"]*)"/.exec(text)?.[1],
        tokens: [...new Set(text.match(/kube-api-access-\w+/g))],
        time: /"time":"([^"]*)"/.exec(text)?.[1],
      }));
      expect(new Set(parts.map(({ uid }) => uid)).size).toBe(texts.length);
      expect(new Set(parts.map(({ time }) => time)).size).toBe(texts.length);
      for (const { tokens } of parts) expect(tokens).toHaveLength(1);
    }
    const names = sent.map(({ name, texts }) => {
      const pods = texts.map((text) => (JSON.parse(text) as Review).request.object.metadata['name']);
      return [name, new Set(pods).size];
    });
    expect(names).toEqual([
      ['plain', 1],
      ['mixed', 1],
      ['statefulset', 3000],
      ['large', 1],
    ]);
  });
});
