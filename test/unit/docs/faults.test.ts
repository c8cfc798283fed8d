import { describe, expect, it } from 'vitest';

import { FAULTS } from '../../faults/all.ts';
import { COMMON_PROMISES, promiseOnPage } from '../../faults/table.ts';
import { page, rows } from './pages.ts';

const PAGE = page('test/faults/results.md');
const [, ...tried] = rows(PAGE);

/** What webhooks are known to fail by. */
const ASKED_FOR = [
  'kill-mid-request',
  'sigterm-under-load',
  'slow-loris',
  'half-open',
  'idle-connections',
  'tls-garbage',
  'certificate-expired',
  'certificate-on-disk',
  'clock-jump',
  'full-disk',
  'event-loop-blocked',
  'memory-limit',
  'api-server-restart',
  'etcd-slow',
  'registry-black-hole',
  'dns-fails',
  'ten-thousand-namespaces',
  'pod-of-3-mb',
];

describe('the page of faults', () => {
  it('has each fault and its promise, as the command has them', () => {
    expect(tried.map(([name, promise]) => [name, promise])).toEqual(
      FAULTS.map(({ name, promise }) => [name, promiseOnPage(promise)]),
    );
  });

  it('explains what its promises have in common', () => {
    const above = PAGE.split('<!-- faults: begin -->')[0]?.replaceAll(/\s+/g, ' ');
    for (const [words, clause] of Object.entries(COMMON_PROMISES)) expect(above).toContain(`${words}: ${clause}`);
    expect(tried.filter(([, promise]) => promise?.includes('**')).length).toBeGreaterThan(10);
  });

  it('shows no promise that was not kept, and none that was not tried', () => {
    expect(tried.filter(([, , seen]) => seen === '' || seen?.startsWith('**'))).toEqual([]);
  });

  it('leaves none out that webhooks are known for', () => {
    const ids = FAULTS.map(({ id }) => id);
    expect(ASKED_FOR.filter((id) => !ids.includes(id))).toEqual([]);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
