import type { LookupContext, Meter, Platform } from '../../src/detection/image-source.ts';
import { listedCredentials } from '../../src/registry/auth/credentials.ts';
import { createRegistryClient, type RegistryClient, type RegistryClientOptions } from '../../src/registry/client.ts';
import { systemClock } from '../../src/util/clock.ts';
import { type BuiltImage, image, type ImageConfigOptions } from './image-builder.ts';
import { layer } from './layer-builder.ts';

export const amd64: Platform = { os: 'linux', architecture: 'amd64' };

/** Creates a client for tests: default rules, no logins, the system's clock. */
export function testClient(options: Partial<RegistryClientOptions> = {}): RegistryClient {
  return createRegistryClient({
    allow: [],
    deny: [],
    insecure: [],
    mirrors: {},
    allowPrivateAddresses: true,
    concurrency: 8,
    credentials: listedCredentials([]),
    userAgent: 'libc-dns-test',
    clock: systemClock,
    ...options,
  });
}

/** Returns the context of a look-up with a new meter. */
export function lookupContext(
  credentials: NonNullable<LookupContext['credentials']> = [],
  signal: AbortSignal = AbortSignal.timeout(20_000),
): LookupContext & { readonly meter: Meter } {
  return { signal, meter: { requests: 0, bytes: 0 }, credentials };
}

/** Reads a stream to its end. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Builds a small image with one incompressible layer of about `size` bytes. */
export function sampleImage(size = 200_000, config: ImageConfigOptions = {}): BuiltImage {
  const noise = Buffer.alloc(size);
  let seed = size;
  for (let index = 0; index < size; index += 1) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    noise[index] = seed >> 16;
  }
  return image({
    layers: [layer([{ path: 'bin/app', content: noise }], 'none')],
    config: { entrypoint: ['/bin/app'], cmd: ['--serve'], env: ['PATH=/bin'], workingDir: '/srv', ...config },
  });
}

/** Returns a clock that tests advance by hand. */
export function manualClock() {
  let at = 1_000_000;
  return {
    now: () => at,
    monotonic: () => at,
    advance(ms: number) {
      at += ms;
    },
  };
}
