/**
 * The reader process with faults. An image whose repository is called after one sets it off as soon as its manifest has been read, as content
 * would that inspection cannot cope with, and its read never ends.
 */
import type { FromReader, ToReader } from '../../src/detection/reader/protocol.ts';

const kept: unknown[] = [];

async function fillBuffers(): Promise<never> {
  for (;;) {
    kept.push(Buffer.alloc(4 * 1024 * 1024, 1));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const FAULTS: Readonly<Record<string, () => unknown>> = {
  loop: () => {
    for (;;);
  },
  heap: () => {
    for (;;) kept.push(Array.from({ length: 100_000 }, () => 0));
  },
  buffers: fillBuffers,
  exit: () => process.exit(7),
  crash: () => process.nextTick(() => Promise.reject(new Error('a defect'))),
  sleep: () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  stuck: () => {},
};

const faults = new Map<number, () => unknown>();

process.on('message', (message: ToReader) => {
  if (message.type === 'read') {
    const name = /\/fault-([a-z]+)/.exec(message.request.reference)?.[1] ?? '';
    const fault = FAULTS[name];
    if (fault !== undefined) faults.set(message.id, fault);
  } else if (message.type === 'after-manifest' && message.answer === 'continue') faults.get(message.id)?.();
});

const send = process.send?.bind(process);
process.send = (message: FromReader, ...rest: never[]) =>
  message.type === 'done' && message.outcome.kind !== 'stopped' && faults.has(message.id)
    ? true
    : (send?.(message, ...rest) ?? false);

await import('../../src/reader.ts');
