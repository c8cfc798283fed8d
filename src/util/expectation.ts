import type { z } from 'zod';

type RawIssue = z.core.$ZodRawIssue;

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping of keys',
  record: 'a mapping of keys',
};

/** Says in plain words what a value should have been, where its schema has no message of its own; undefined leaves it to zod. */
export function plainMessage(issue: RawIssue): string | undefined {
  const expected = expectation(issue);
  return expected && `expected ${expected}`;
}

function expectation(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected];
    case 'invalid_value':
      return issue.values.length === 1 ? String(issue.values[0]) : `one of ${issue.values.join(', ')}`;
    case 'too_small':
      return bound('at least', Number(issue.minimum), issue.origin);
    case 'too_big':
      return bound('at most', Number(issue.maximum), issue.origin);
    case 'invalid_key':
      return 'a name';
    case 'invalid_union':
      return issue.errors.map(([first]) => first?.message.replace(/^expected /, '')).join(', or ');
    default:
      return undefined;
  }
}

function bound(side: string, size: number, origin: string): string {
  if (origin === 'array') return `${side} ${size} in the list`;
  if (origin !== 'string') return `${side} ${size}`;
  return side === 'at least' && size === 1 ? 'a text that is not empty' : `${side} ${size} characters`;
}
