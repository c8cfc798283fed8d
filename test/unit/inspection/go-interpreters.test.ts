import { describe, expect, it } from 'vitest';

import { inspectImage } from '../../../src/inspection/inspect.ts';
import { elf } from '../../support/elf-builder.ts';
import { image } from '../../support/image-builder.ts';
import { layer } from '../../support/layer-builder.ts';
import { memorySource } from '../../support/memory-source.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const goNote = { owner: 'Go', type: 4 };
const go = elf({ notes: [goNote] });
const cgo = elf({ interpreter: '/lib64/ld-linux-x86-64.so.2', notes: [goNote] });
const muslGo = elf({ interpreter: '/lib/ld-musl-x86_64.so.1', notes: [goNote] });

describe("Go with another language's interpreter inside, which resolves through the libc", () => {
  it.each([
    ['usr/local/bin/frankenphp', cgo, { resolver: 'glibc', libc: 'glibc', evidence: { confidence: 0.85 } }],
    ['usr/local/bin/frankenphp', muslGo, { resolver: 'musl', libc: 'musl', evidence: { confidence: 0.85 } }],
    ['opt/datadog-agent/bin/agent/agent', cgo, { resolver: 'glibc', evidence: { confidence: 0.85 } }],
    // Without a C library nothing of the kind is inside.
    ['usr/local/bin/frankenphp', go, { resolver: 'go', libc: 'none' }],
    ['usr/local/bin/agent', cgo, { resolver: 'go', libc: 'glibc' }],
  ])('/%s', async (path, content, expected) => {
    const built = image({ layers: [layer([{ path, content }])], config: { entrypoint: [`/${path}`] } });
    const context = { signal: new AbortController().signal, meter: { requests: 0, bytes: 0 } };
    const request = { reference: 'image', platform, command: [], args: [] };
    const { verdict } = await inspectImage(memorySource(built), request, context);
    expect(verdict).toMatchObject(expected);
  });
});
