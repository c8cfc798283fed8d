import { describe, expect, it } from 'vitest';

import { createSettingsReader } from '../../../src/terminal/flags.ts';
import type { Io } from '../../../src/terminal/io.ts';

function reader(flags = {}) {
  const files = new Map([['c.yaml', 'log: { level: warn }']]);
  const said: string[] = [];
  const io = {
    environment: { LIBC_DNS_CONFIG: 'c.yaml', LIBC_DNS_UNKNOWN: '1' },
    readFile: async (name: string) => files.get(name) ?? Promise.reject(new Error('gone')),
    err: (text: string) => void said.push(text),
  } as unknown as Io;
  return { read: createSettingsReader(io, flags), files, said };
}

describe('the configuration, read again', () => {
  it('is the same object while its file has the same text, and another when that changes', async () => {
    const { read, files, said } = reader();
    const first = await read();
    expect(await read()).toBe(first);
    files.set('c.yaml', 'log: { level: debug }');
    const second = await read();
    expect([first.log.level, second.log.level]).toEqual(['warn', 'debug']);
    expect(await read()).toBe(second);
    expect(said).toEqual([]);
  });

  it('has the flags of the command line on top of the file', async () => {
    const { read, files } = reader({ logLevel: 'error' });
    expect((await read()).log.level).toBe('error');
    files.set('c.yaml', 'scope: cluster');
    expect(await read()).toMatchObject({ scope: 'cluster', log: { level: 'error' } });
  });

  it('rejects as long as it is invalid or its file is gone, and is read again after that', async () => {
    const { read, files } = reader();
    await read();
    files.set('c.yaml', 'log: { level: loud }');
    for (let time = 0; time < 2; time += 1) await expect(read()).rejects.toThrow(/log\.level/);
    files.delete('c.yaml');
    await expect(read()).rejects.toThrow('configuration file c.yaml');
    files.set('c.yaml', 'log: { level: debug }');
    expect((await read()).log.level).toBe('debug');
  });
});
