import { describe, expect, it } from 'vitest';

import { FAULTS } from '../../faults/all.ts';
import { page, rows } from './pages.ts';

const [, ...tried] = rows(page('docs/faults.md').split('## ')[0] ?? '');

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
    expect(tried.map(([name, promise]) => [name, promise])).toEqual(FAULTS.map(({ name, promise }) => [name, promise]));
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
