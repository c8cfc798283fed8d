import { describe, expect, it } from 'vitest';

import type { Detection, Detector } from '../../../src/detection/detector.ts';
import { openIo, type Streams } from '../../../src/terminal/io.ts';
import { openProgress, shownLookUps } from '../../../src/terminal/progress.ts';
import { unknownVerdict } from '../../../src/policy/verdict.ts';
import { fakeCluster } from '../../support/audit-fake.ts';
import { cli } from '../../support/cli.ts';

const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: "musl:1"}]}\n';
const detection: Detection = { verdict: unknownVerdict('x'), from: 'none', meter: { requests: 0, bytes: 0 } };
const detector: Detector = { detect: async () => detection };
const cluster = fakeCluster([]);

/** Goes to the start of the line, and erases it. */
const ERASED = '\r\u001B[K';

describe.each([
  ['detect', ['detect', 'musl:1']],
  ['explain', ['explain', '-f', '-']],
  ['inject', ['inject', '-f', '-']],
  ['audit', ['audit', '-f', '-']],
])('%s', (_, argv) => {
  it('shows on a terminal what it looks up, and leaves no trace of it', async () => {
    const { out, err } = await cli(argv, { stdin: POD, detector, terminal: true });
    const shown = err.split(ERASED);
    expect(shown.filter((line) => /^\[[.#]+\] [01]\/1 images {2}musl:1$/.test(line)).length).toBeGreaterThan(0);
    expect(shown.at(-1)).not.toContain('images  ');
    expect(out).not.toContain('images  musl:1');
  });

  it('shows nothing where nobody watches', async () => {
    const { err } = await cli(argv, { stdin: POD, detector });
    expect(err).not.toContain('\r');
  });
});

it('explain shows what it reads of a cluster', async () => {
  const { err } = await cli(['explain', '--context', 'x', '-f', '-'], {
    stdin: POD,
    detector,
    cluster,
    terminal: true,
  });
  expect(err).toContain(`reading the webhook ...${ERASED}`);
});

describe('the line', () => {
  const written: string[] = [];
  const streams = { stderrIsTerminal: true, columns: 60, err: (text: string) => void written.push(text) };
  const io = openIo(streams as unknown as Streams);
  const progress = openProgress(io, { monotonic: () => 0 });

  it('makes way for a message', () => {
    written.length = 0;
    progress.images(1, 1, 'musl:1');
    io.err('libc-dns: a message\n');
    io.err('libc-dns: another\n');
    progress.done();
    expect(written.slice(1)).toEqual([ERASED, 'libc-dns: a message\n', 'libc-dns: another\n']);
  });

  it('is cut, not wrapped, and cannot be taken over by a name', () => {
    written.length = 0;
    progress.images(1, 1, `\u001B[2J${'x'.repeat(100)}`);
    const [line = ''] = written;
    expect(line.startsWith(ERASED)).toBe(true);
    expect(line.slice(ERASED.length)).toHaveLength(59);
    expect(line.slice(ERASED.length)).not.toContain('\u001B');
  });

  it('counts a look-up that is given up as done', async () => {
    written.length = 0;
    const failing = shownLookUps({ detect: async () => Promise.reject(new Error('over')) }, progress, 1);
    const request = { reference: 'a', platform: { os: 'linux', architecture: 'amd64' }, command: [], args: [] };
    await expect(failing.detect(request, AbortSignal.timeout(1000))).rejects.toThrow('over');
    expect(written.at(-1)).toContain('1/1 images  a');
  });
});
