import { expect, it } from 'vitest';

import type { RequestRecord } from '../../../../src/detection/image-source.ts';
import { requestsIn } from '../../../../src/detection/reader/protocol.ts';

const good: RequestRecord = {
  kind: 'manifest',
  origin: 'https://a',
  repository: 'b',
  reference: 'v1',
  at: 1,
  ms: 2,
  bytes: 3,
  status: 200,
};
const failed: RequestRecord = {
  kind: 'blob',
  origin: 'https://a',
  repository: 'b',
  at: 1,
  ms: 2,
  bytes: 0,
  error: 'unavailable',
};

it('the requests that a reader process tells of are as many as agreed', () => {
  expect(requestsIn([good, failed])).toEqual([good, failed]);
  expect(requestsIn(Array.from({ length: 1000 }, () => good))).toHaveLength(64);
});

it.each([
  undefined,
  null,
  'text',
  { length: 3 },
  [null, undefined, 'text', 7],
  [
    { ...good, at: Number.NaN },
    { ...good, ms: '2' },
    { ...good, bytes: Number.POSITIVE_INFINITY },
  ],
  [
    { ...good, kind: 7 },
    { ...good, origin: {} },
    { ...good, reference: [] },
    { ...good, error: {} },
    { ...good, status: '200' },
  ],
])('what is no request is left out: %o', (told) => {
  expect(requestsIn(told)).toEqual([]);
});
