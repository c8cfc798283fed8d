import { describe, expect, it } from 'vitest';

import { distinct, LARGE, model, modelTable } from '../../../bench/model.ts';

const bytes = { imageLibc: 1000, namespace: 500 };

const small = {
  nodes: 100,
  pods: 1000,
  images: 10,
  hubShare: 0.5,
  namespaces: 4,
  workloads: 20,
  replicas: 3,
  wave: { podsPerMinute: 180, minutes: 1 },
};

describe('the model of a large cluster', () => {
  it('draws each image once in a while: all of few, nearly as many as Pods of many', () => {
    expect(distinct(1, 5)).toBe(1);
    expect(distinct(2, 2)).toBe(1.5);
    expect(distinct(1e6, 100)).toBeCloseTo(100, 1);
    expect(distinct(10, 180)).toBeCloseTo(10, 5);
  });

  it('counts watches, bytes and objects', () => {
    expect(model(small, bytes)).toMatchObject({
      watches: 3 * 5 + 5,
      startBytes: 4 * 500 + 10 * 1000,
      leaderBytes: 20 * 5000,
      objects: 10,
      etcdBytes: 10_000,
      nodeBytesPerSecond: (3 * 100 * 15_000) / 300,
    });
  });

  it('shares the Pods of a wave between replicas, which check each tag once, and write each use once', () => {
    const { wave } = model(small, bytes);
    expect(wave.reviewsPerSecond).toBe(1);
    expect(wave.checksPerSecond).toBeCloseTo(30 / 60, 2);
    expect(wave.writesPerSecond).toBeCloseTo(10 / 60, 5);
    expect(wave.writtenPerSecond).toBe(wave.writesPerSecond);
    expect(wave.watchBytesPerSecond).toBeCloseTo((10 / 60) * 1000 * 3, 1);
  });

  it('writes the use of an image once in half a day to a day, sooner with more replicas', () => {
    expect(model({ ...small, replicas: 1 }, bytes).usesPerSecond).toBeCloseTo(10 / (0.75 * 86_400), 9);
    expect(model(small, bytes).usesPerSecond).toBeCloseTo(10 / (0.625 * 86_400), 9);
  });

  it('writes no more than the replicas allow themselves', () => {
    const busy = { ...LARGE, wave: { podsPerMinute: 20_000, minutes: 1 } };
    expect(model(busy, bytes).wave).toMatchObject({ writtenPerSecond: 15 });
    expect(model({ ...busy, replicas: 5 }, bytes).wave.writtenPerSecond).toBe(25);
  });

  it('takes two GETs for the first look at an image of Docker Hub, and five images an hour ahead of Pods', () => {
    const { hub } = model({ ...small, images: 30 }, bytes);
    expect(hub).toMatchObject({ images: 15, firstGets: 30, hoursAhead: 2 });
    expect(model({ ...small, hubShare: 0 }, bytes).hub).toMatchObject({ firstGets: 0, hoursAhead: 0 });
  });

  it('says in its table what it assumes', () => {
    const { note, rows } = modelTable(LARGE, bytes);
    expect(note).toContain('5,000 nodes, 150,000 Pods, 20,000 images by tag');
    expect(rows.find(([what]) => what === 'objects in etcd')).toEqual(['objects in etcd', '20,000, 20.0 MB']);
  });
});
