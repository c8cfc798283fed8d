import { afterEach, describe, expect, it } from 'vitest';

import { followLogLevel } from '../../../src/commands/serve-log.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { createLog } from '../../../src/telemetry/log.ts';

const config = (text: string) => loadConfig({ file: { name: 'c.yaml', text }, environment: {}, flags: [] }).config;

let unfollow = (): void => {};
afterEach(() => unfollow());

function followed(text: string) {
  const said: string[] = [];
  const destination = {
    write: (line: string) => {
      const { msg, from, to } = JSON.parse(line) as Record<string, string>;
      said.push(from === undefined ? `${msg}` : `${msg}: ${from} to ${to}`);
    },
  };
  const log = createLog({ level: config(text).log.level, format: 'json', destination });
  let file = text;
  let change: (by: 1 | -1) => void = () => {};
  unfollow = followLogLevel({
    log,
    running: config(text),
    read: async () => config(file),
    onVerbosity: (listener) => void (change = listener),
    everyMs: 5,
  });
  return { log, said, write: (next: string) => void (file = next), signal: (by: 1 | -1) => change(by) };
}

describe('the level of a running server', () => {
  it('goes up and down by signals, and stops at both ends', () => {
    const { log, signal } = followed('log: { level: info }');
    signal(1);
    expect(log.level).toBe('debug');
    for (let times = 0; times < 9; times += 1) signal(1);
    expect(log.level).toBe('trace');
    for (let times = 0; times < 9; times += 1) signal(-1);
    expect(log.level).toBe('silent');
  });

  it('follows the configuration, and says so on the side that is heard', async () => {
    const { log, said, write } = followed('log: { level: warn }');
    write('log: { level: debug }');
    await expect.poll(() => log.level).toBe('debug');
    write('log: { level: warn }');
    await expect.poll(() => log.level).toBe('warn');
    expect(said).toEqual([
      'log level changed by the configuration: warn to debug',
      'log level changed by the configuration: debug to warn',
    ]);
  });

  it('set by a signal stays until the configuration changes', async () => {
    const { log, signal, write } = followed('log: { level: info }');
    signal(1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(log.level).toBe('debug');
    write('log: { level: error }');
    await expect.poll(() => log.level).toBe('error');
  });

  it('is all of the configuration that takes effect: the rest is said to need a start', async () => {
    const { log, said, write } = followed('log: { level: info }');
    write('log: { level: debug }\nscope: cluster');
    await expect.poll(() => log.level).toBe('debug');
    expect(said[0]).toMatch(/log\.level takes effect now, everything else after a restart/);
  });

  it('stays where the new configuration is not valid, which is said once', async () => {
    const { log, said, write } = followed('log: { level: info }');
    write('log: { level: loud }');
    await expect.poll(() => said).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(said).toEqual(['the configuration has changed and cannot be used']);
    write('log: { level: debug }');
    await expect.poll(() => log.level).toBe('debug');
  });
});
