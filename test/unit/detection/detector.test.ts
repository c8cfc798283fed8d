import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { describe, expect, it } from 'vitest';

import { containerRun } from '../../../src/detection/detector.ts';

describe('containerRun', () => {
  it('is what the Pod says, as long as any command line that works', () => {
    const run = { command: ['sh', '-c', 'x'.repeat(60_000)], args: ['a', 'b'], env: { GODEBUG: 'netdns=cgo' } };
    expect(containerRun(run)).toEqual(run);
  });

  it.each([
    ['a long argument', { command: ['/app'], args: ['x'.repeat(3_000_000)] }],
    ['many arguments', { command: [], args: Array.from({ length: 30_000 }, () => 'abc') }],
    ['a long command', { command: ['sh', '-c', '\u{20ac}'.repeat(3_000_000), 'sh'], args: ['x'.repeat(3_000_000)] }],
    ['long variables', { command: [], args: [], env: { GODEBUG: 'x'.repeat(3_000_000) } }],
  ])('keeps a bounded part of %s, for a look-up outlives its Pod', (_name, run) => {
    const { command, args, env = {} } = containerRun(run);
    const words = [...command, ...args, ...Object.values(env)];
    expect(words.length).toBeLessThanOrEqual(1024);
    expect(words.join('').length).toBeLessThanOrEqual(64 * 1024);
    expect(words.every((word) => word !== '')).toBe(true);
    expect(run.command.join(' ')).toContain(command.join(' '));
  });

  it('counts variables that it leaves out as unknown', () => {
    const env = { A: '1', B: 'x'.repeat(5000), C: '2' };
    expect(containerRun({ command: [], args: [], env })).toEqual({
      command: [],
      args: [],
      env: { A: '1', C: '2' },
      envFrom: true,
    });
    const elsewhere = Array.from({ length: 9000 }, (_, at) => `NAME_${at}`);
    const kept = containerRun({ command: [], args: [], envElsewhere: elsewhere });
    expect(kept.envFrom).toBe(true);
    expect(kept.envElsewhere?.join('').length).toBeLessThanOrEqual(64 * 1024);
  });

  it('keeps none of the memory of what it leaves out', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    collect();
    const before = process.memoryUsage().heapUsed;
    const kept = Array.from({ length: 30 }, (_, at) =>
      containerRun({ command: [], args: [JSON.parse(`"${at}${'x'.repeat(3e6)}"`) as string] }),
    );
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(20e6);
    expect(kept).toHaveLength(30);
  });
});
