import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { parseReview, ReviewError, withoutManagedFields } from '../../../src/admission/review.ts';
import { fixture } from '../../support/reviews.ts';

type Json = Record<string, unknown>;

const without = (text: string): unknown => JSON.parse(withoutManagedFields(Buffer.from(text)));

/** What is wrong with it as JSON. */
function problem(body: string): string | undefined {
  try {
    JSON.parse(body);
    return undefined;
  } catch (error) {
    return (error as SyntaxError).message;
  }
}

/** Text that looks like what is looked for, or that hides where it ends. */
const MISLEADING = [
  ',"managedFields":[',
  '"managedFields":[',
  ']},"spec":{',
  '"]',
  '\\"]',
  '\\',
  '\\\\',
  '\u2028é😀',
  '[[[[{{{',
  ']]]]}}}',
];

const text = fc.oneof(fc.constantFrom(...MISLEADING), fc.string({ unit: 'binary' }));

const anything = fc.anything({
  key: text,
  values: [text, fc.integer(), fc.boolean(), fc.constant(null)],
  maxDepth: 4,
});

const CREATED = ['plain', 'mixed', 'generated', 'storefront', 'postgres-0', 'report', 'node-agent', 'hostnet'];

describe('a review without managedFields', () => {
  it.each(CREATED)('%s, as an API server sent it', (name) => {
    const review = fixture(name) as { request: { object: { metadata: Json } } };
    const body = JSON.stringify(review);
    expect(review.request.object.metadata['managedFields']).toBeInstanceOf(Array);
    delete review.request.object.metadata['managedFields'];
    expect(without(body)).toEqual(review);
    expect(parseReview(Buffer.from(body))).toEqual(review.request);
  });

  it('is the rest of it, whatever stands in them, before and after them', () => {
    fc.assert(
      fc.property(text, fc.array(anything), anything, (annotation, managedFields, spec) => {
        const rest = { annotations: { [annotation]: annotation } };
        const body = JSON.stringify({ metadata: { ...rest, managedFields }, spec });
        expect(without(body)).toEqual(JSON.parse(JSON.stringify({ metadata: rest, spec })));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    { title: 'they are the first field', body: '{"managedFields":[1],"a":2}' },
    { title: 'they are no list', body: '{"a":2,"managedFields":{"b":1}}' },
    { title: 'there are none', body: '{"a":2}' },
    { title: 'there are spaces', body: '{"a":2, "managedFields" : [1]}' },
    { title: 'a string speaks of them', body: JSON.stringify({ a: ',"managedFields":[1]', b: ['x'] }) },
    { title: 'a name ends like theirs', body: '{"a":2,"my,\\"managedFields":[1]}' },
    { title: 'a name holds theirs', body: '{"a":2,"xmanagedFields":[1]}' },
  ])('is all of it where $title', ({ body }) => {
    expect(without(body)).toEqual(JSON.parse(body));
  });

  it.each([
    { title: 'the list does not end', body: '{"a":2,"managedFields":[1,{"b":[]}' },
    { title: 'a string in it does not end', body: '{"a":2,"managedFields":["]}' },
    { title: 'it ends with a backslash', body: '{"a":2,"managedFields":["\\' },
    { title: 'what follows is missing', body: '{"a":2,"managedFields":[1]' },
    { title: 'what is before it is no JSON', body: '{"a":2 3,"managedFields":[1]}' },
    { title: 'a string ends where its name begins', body: '{"a":"x,"managedFields":[1]}' },
  ])('is refused as the whole is where $title', ({ body }) => {
    const message = problem(body);
    expect(message).toBeDefined();
    expect(() => parseReview(Buffer.from(body))).toThrow(new ReviewError(`the body is not JSON: ${message}`));
  });
});
