import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

it('the tests in kind are those that are named, and no others whose names begin alike', () => {
  const workflow = readFileSync(`${ROOT}/.github/workflows/ci.yml`, 'utf8');
  const [, words = ''] = /npx vitest run --project cluster (.+)/.exec(workflow) ?? [];
  const files = globSync('test/cluster/*.test.ts', { cwd: ROOT });
  // vitest runs each file whose path holds a word.
  const chosen = words.split(' ').map((word) => files.filter((file) => file.includes(word)).length);
  expect(chosen).toEqual(Array.from({ length: 7 }, () => 1));
});
