import { describe, expect, it } from 'vitest';

import { remedyTable } from '../../support/remedy-table.ts';
import { page, rows } from './pages.ts';

describe('the table of remedies in docs/architecture.md', () => {
  const [head = [], ...expected] = remedyTable();

  it('says what is decided (npm run generate)', () => {
    const written = rows(page('docs/architecture.md'), '## What is done').filter(
      ({ length }) => length === head.length,
    );
    expect(written).toEqual([head, ...expected]);
  });

  it('has each remedy, and every reason that comes from what is known of the cluster', () => {
    const all = expected.flat().join(' ');
    for (const word of ['options', 'redirect', 'retry', 'sidecar', 'none']) expect(all).toContain(word);
    const reasons = ['NodeLocalIntercepts', 'NodeLocalUnready', 'NodeLocalNotAllowed', 'TcpNotAllowed', 'VirtualNode'];
    for (const reason of [...reasons, 'NotExposed']) expect(all).toContain(`\`${reason}\``);
  });
});
