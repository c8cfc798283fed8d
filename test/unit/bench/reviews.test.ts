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
      ['daemonset', 4],
      ['indexed', 4],
      ['step', 4],
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
  });

  it('differ as those of their controllers do', () => {
    const different = sent.map(({ name, texts }) => {
      const objects = texts.map((text) => (JSON.parse(text) as Review).request.object);
      const count = (of: (object: Review['request']['object']) => unknown): number =>
        new Set(objects.map((object) => JSON.stringify(of(object)))).size;
      return [
        name,
        count(({ metadata }) => [metadata['name'], metadata['generateName']]),
        count(({ spec }) => spec['affinity']),
        count(({ spec }) => (spec['containers'] as { args?: unknown }[]).map(({ args }) => args)),
      ];
    });
    expect(different).toEqual([
      ['plain', 1, 1, 1],
      ['mixed', 1, 1, 1],
      ['statefulset', 3000, 1, 1],
      ['daemonset', 1, 3000, 1],
      ['indexed', 3000, 1, 1],
      ['step', 12_000, 1, 12_000],
      ['large', 1, 1, 1],
    ]);
  });
});
