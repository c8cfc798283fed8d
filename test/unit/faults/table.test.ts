import { expect, it } from 'vitest';

import { filled, type Result } from '../../faults/table.ts';

const result = (name: string, seen: string): Result => ({
  id: name,
  name,
  promise: 'kept',
  outcome: 'kept',
  seen,
  ms: 1000,
});
const page = '# Faults\n\n<!-- faults: begin -->\n\nold\n\n<!-- faults: end -->\n\nThe end.\n';

it('a page has a row for each fault; those that were not tried keep theirs, those that are gone lose theirs', () => {
  const first = filled(page, [result('one', 'a'), result('two', 'b|c'), result('gone', 'd')], ['one', 'two', 'gone']);
  const padded = first.replace('| one |', '| one    |');
  const second = filled(padded, [result('two', 'e'), result('new', 'f')], ['new', 'one', 'two']);
  expect(second).toBe(
    `# Faults

<!-- faults: begin -->

| fault | promise | seen | time |
| --- | --- | --- | --- |
| new | kept | f | 1.0 s |
| one    | kept | a | 1.0 s |
| two | kept | e | 1.0 s |

<!-- faults: end -->

The end.
`,
  );
});

it('a page without the markers is refused', () => {
  expect(() => filled('# Faults\n', [], [])).toThrow('has no <!-- faults: begin -->');
});
