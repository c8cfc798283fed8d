import { describe, expect, it } from 'vitest';

import { rehearse } from '../../../src/app/rehearsal.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { facts } from '../../support/policy.ts';
import { recordingReporter } from '../../support/recording-reporter.ts';

const { config } = loadConfig({ environment: {}, flags: [] });

describe('a rehearsal', () => {
  it('decides for each made-up Pod with the facts of the cluster, and leaves no trace but one line', async () => {
    let asked = 0;
    const count = (): typeof facts => {
      asked += 1;
      return facts;
    };
    const { reporter, lines, counted } = recordingReporter();
    const { signal } = new AbortController();
    await rehearse({ config, facts: count, reporter, signal, calls: 120 });
    expect(asked).toBeGreaterThanOrEqual(120);
    expect(lines).toEqual([
      {
        level: 'debug',
        message: 'reviews have been rehearsed',
        fields: { calls: 120, ms: expect.any(Number) as number },
      },
    ]);
    expect(counted).toEqual([]);
  });

  it('ends when the server must stop, before all reviews are sent', async () => {
    const stopping = new AbortController();
    let asked = 0;
    const count = (): typeof facts => {
      asked += 1;
      if (asked === 30) stopping.abort();
      return facts;
    };
    const { reporter, messages } = recordingReporter();
    await rehearse({ config, facts: count, reporter, signal: stopping.signal, calls: 1200 });
    expect(asked).toBeLessThan(100);
    expect(messages()).toEqual(['the rehearsal of reviews has ended early']);
  });
});
