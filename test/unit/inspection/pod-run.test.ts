import { describe, expect, it } from 'vitest';

import type { DetectRequest } from '../../../src/detection/detector.ts';
import { inspectImage } from '../../../src/inspection/inspect.ts';
import { readPod } from '../../../src/policy/read-pod.ts';
import { containerRun } from '../../../src/detection/detector.ts';
import { elf } from '../../support/elf-builder.ts';
import { image } from '../../support/image-builder.ts';
import { layer } from '../../support/layer-builder.ts';
import { memorySource } from '../../support/memory-source.ts';

const musl = elf({ interpreter: '/lib/ld-musl-x86_64.so.1' });
const go = elf({ notes: [{ owner: 'Go', type: 4 }] });
const other = elf({ interpreter: '/system/bin/linker64' });

const base = layer([
  { path: 'bin/sh', content: musl },
  { path: 'etc/alpine-release', content: '3.22.2\n' },
]);
const app = layer([
  { path: 'app/other', content: other },
  { path: 'app/server', content: go },
  { path: 'srv/server', content: other },
  { path: 'start.sh', content: '#!/bin/sh\nif [ "$MODE" = web ]; then exec /app/server; fi\nexec /app/other\n' },
]);

/** Returns the resolver of a Pod's only container. */
async function resolverOf(container: Record<string, unknown>, spec: Record<string, unknown> = {}): Promise<string[]> {
  const config = { entrypoint: ['/start.sh'], env: ['BIN=/app/other', 'PATH=/app:/bin'], workingDir: '/srv' };
  const built = image({ layers: [base, app], config });
  const [view] = readPod({ spec: { containers: [{ name: 'c', image: 'x', ...container }], ...spec } }).containers;
  if (view === undefined) throw new Error('no container');
  const request: DetectRequest = {
    reference: 'image',
    platform: { os: 'linux', architecture: 'amd64' },
    ...containerRun(view),
  };
  const context = { signal: new AbortController().signal, meter: { requests: 0, bytes: 0 } };
  const { verdict } = await inspectImage(memorySource(built), request, context);
  return [verdict.resolver, ...(verdict.resolvers ?? []).map(({ resolver }) => resolver)];
}

describe("a Pod's own settings choose the program", () => {
  const mount = (mountPath: string) => ({ volumeMounts: [{ name: 'v', mountPath }] });
  const elsewhere = { valueFrom: { configMapKeyRef: { name: 'c', key: 'k' } } };
  it.each<[string, Record<string, unknown>, string[]]>([
    ['nothing', {}, ['other']],
    ['a variable that a script asks', { env: [{ name: 'MODE', value: 'web' }] }, ['go']],
    ['a variable from elsewhere', { env: [{ name: 'MODE', ...elsewhere }] }, ['unknown', 'go', 'other']],
    ['an envFrom', { envFrom: [{ configMapRef: { name: 'c' } }] }, ['unknown', 'go', 'other']],
    ['$(NAME) of its own', { command: ['$(BIN)'], env: [{ name: 'BIN', value: '/app/server' }] }, ['go']],
    ["$(NAME) of the image's", { command: ['$(BIN)'] }, ['unknown']],
    ['$(NAME) from elsewhere', { command: ['$(BIN)'], env: [{ name: 'BIN', ...elsewhere }] }, ['unknown']],
    [
      'a variable that names another',
      {
        command: ['$(B)'],
        env: [
          { name: 'A', value: '/app' },
          { name: 'B', value: '$(A)/server' },
        ],
      },
      ['go'],
    ],
    ['$NAME for a shell', { command: ['sh', '-c', 'exec $B'], env: [{ name: 'B', value: '/app/server' }] }, ['go']],
    ['PATH', { command: ['server'], env: [{ name: 'PATH', value: '/srv' }] }, ['other']],
    ["the image's PATH", { command: ['server'] }, ['go']],
    ['a working directory', { command: ['./server'], workingDir: '/app' }, ['go']],
    ["the image's working directory", { command: ['./server'] }, ['other']],
    ['a volume over the program', { command: ['/app/server'], ...mount('/app/server') }, ['unknown']],
    ['a volume over its folder', { command: ['/app/server'], ...mount('/app') }, ['unknown']],
    ['a volume over the script', mount('/start.sh'), ['unknown']],
    ['a script of a volume that a shell runs', { command: ['sh', '/mnt/run.sh'], ...mount('/mnt') }, ['unknown']],
    ['its line of a shell', { command: ['sh', '-c', 'exec /mnt/run.sh "$@"'], ...mount('/mnt') }, ['unknown']],
    ['a shell with options', { command: ['/bin/sh', '-ex', '/mnt/run.sh'], ...mount('/mnt/run.sh') }, ['unknown']],
    [
      'a file of a volume that a shell reads before the program',
      { command: ['sh', '-c', '. /mnt/env && exec /app/server'], ...mount('/mnt') },
      ['go'],
    ],
    ['a volume elsewhere', { command: ['/app/server'], ...mount('/data') }, ['go']],
    [
      'a volume over one of two',
      { env: [{ name: 'MODE', ...elsewhere }], ...mount('/app/other') },
      ['unknown', 'go', 'unknown'],
    ],
  ])('%s', async (_, container, expected) => {
    expect(await resolverOf(container)).toEqual(expected);
  });
});
