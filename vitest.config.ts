import { defineConfig } from 'vitest/config';

/** On a machine that others load too, real processes may miss a moment once; what is broken misses it twice. */
const retry = process.env['CI'] === undefined ? 0 : 1;

/** What is waited for comes at once as a rule, and late on a loaded machine; vitest gives up after a second. */
const expect = { poll: { timeout: 10_000 } };

const project = (name: string, testTimeout: number, more = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout: 60_000, retry, expect, ...more },
});

/** A control plane for each file: one file at a time, and after all others. */
const cluster = { fileParallelism: false, sequence: { groupOrder: 1 }, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    projects: [
      project('unit', 20_000),
      project('server', 30_000),
      project('registry', 60_000),
      project('chart', 60_000),
      project('browser', 60_000),
      project('cluster', 120_000, cluster),
    ],
  },
});
