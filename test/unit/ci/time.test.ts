import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

const FILE = fileURLToPath(new URL('../../../.ci/time.sh', import.meta.url));

/** Runs bash lines after so many minutes. `LIBC_DNS_CI_MINUTES` is `limit`. */
function after(
  minutes: number,
  lines: string,
  limit = '',
): { readonly status: number | null; readonly output: string } {
  const script = `set -euo pipefail\n. ${FILE}\nSECONDS=${minutes * 60}\n${lines}`;
  const env = { PATH: process.env['PATH'], LIBC_DNS_CI_MINUTES: limit };
  const { status, stdout } = spawnSync('bash', ['-c', script], { env, encoding: 'utf8', timeout: 30_000 });
  return { status, output: stdout.trim() };
}

describe('the time of .ci/run', () => {
  it.each([
    { passed: 0, takes: 25, limit: '', status: 0 },
    { passed: 50, takes: 25, limit: '', status: 0 },
    { passed: 51, takes: 25, limit: '', status: 1 },
    { passed: 51, takes: 25, limit: '76', status: 0 },
    { passed: 3, takes: 25, limit: '20', status: 1 },
  ])('after $passed minutes, for what takes $takes, with a limit of "$limit": status $status', (one) => {
    expect(after(one.passed, `in_time ${one.takes}`, one.limit).status).toBe(one.status);
  });

  it('is told in minutes', () => {
    expect(after(61, 'time_passed').output).toBe('61 of 75 minutes have passed (LIBC_DNS_CI_MINUTES)');
  });

  it.each([0, 1, 2])('a job that ends in time has its own status: %i', (status) => {
    expect(after(0, `(exit ${status}) &\nwait_in_time $! 50`).status).toBe(status);
  });

  it('a job that does not end in time is waited for no more', () => {
    const { status, output } = after(
      24,
      'sleep 20 & job=$!\nSECONDS=$((25 * 60))\nwait_in_time $job 50 || echo $?\nkill $job',
    );
    expect({ status, output }).toEqual({ status: 0, output: '124' });
  });
});
