import { fileURLToPath } from 'node:url';

import { afterEach, describe, expect, it } from 'vitest';

import { readerMemory, readerProgram, receiveEvents } from '../../src/app/reader.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { ImageReader } from '../../src/detection/reader/image-reader.ts';
import { createIsolatedReader } from '../../src/detection/reader/isolated-reader.ts';
import { canonicalName } from '../../src/registry/reference.ts';
import { systemClock } from '../../src/util/clock.ts';
import { elf } from '../support/elf-builder.ts';
import { image } from '../support/image-builder.ts';
import { layer } from '../support/layer-builder.ts';
import { recordingReporter } from '../support/recording-reporter.ts';
import { type RegistryServer, type RegistryServerOptions, startRegistry } from '../support/registry-server.ts';

const SOUND = fileURLToPath(new URL('../../src/reader.ts', import.meta.url));
const FAULTY = fileURLToPath(new URL('../support/faulty-reader.ts', import.meta.url));

const amd64 = { os: 'linux', architecture: 'amd64' };
const musl = image({
  layers: [layer([{ path: 'app', content: elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }) }], 'gzip')],
  config: { entrypoint: ['/app'] },
});

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface SetUpOptions {
  readonly path?: string;
  readonly server?: RegistryServerOptions;
  readonly registry?: object;
  readonly files?: object;
  readonly idleMs?: number;
  readonly environment?: NodeJS.ProcessEnv;
}

async function setUp({ path = SOUND, server, registry: more, files = {}, idleMs, environment }: SetUpOptions = {}) {
  const registry = await startRegistry(server);
  const config = configSchema.parse({ detection: { registry: { insecure: [registry.host], ...more } } });
  const recording = recordingReporter();
  const breakers: string[] = [];
  const problems: string[] = [];
  const reader = createIsolatedReader({
    program: readerProgram(path, { version: '1', config, files }, environment ?? process.env),
    canonical: canonicalName,
    clock: systemClock,
    reporter: recording.reporter,
    ...(idleMs !== undefined && { idleMs }),
    backoff: { first: 500, most: 500 },
    onEvent: receiveEvents({
      onBreaker: ({ host, state }) => void breakers.push(`${host} ${state}`),
      onProblem: (message) => void problems.push(message),
    }),
  });
  closing.push(registry.close, () => reader.close());
  return { registry, reader, recording, breakers, problems };
}

const read = async (
  reader: ImageReader,
  reference: string,
  more: object = {},
  signal = AbortSignal.timeout(50_000),
) => {
  const meter = { requests: 0, bytes: 0 };
  const { credentials, tenant, ...options } = more as { credentials?: never; tenant?: string };
  const logins = credentials !== undefined && { credentials };
  const context = { signal, meter, ...(tenant !== undefined && { tenant }), ...logins };
  const inspection = await reader.read({ reference, platform: amd64, command: [], args: [] }, context, options);
  return { ...inspection, meter };
};

const put = (registry: RegistryServer, name = 'team/app') => registry.put(`${name}:v1`, musl);

describe('images that are read in a process of their own', () => {
  it('are read as in this one, at the same cost', async () => {
    const { registry, reader } = await setUp();
    const { verdict, digest, meter, executable } = await read(reader, put(registry));
    expect({ resolver: verdict.resolver, executable }).toEqual({ resolver: 'musl', executable: '/app' });
    expect(digest).toBe(musl.digest);
    expect(meter.requests).toBe(registry.requests.length);
    expect(meter.bytes).toBeGreaterThan(100);
  });

  it('are waited for by a process that was woken before: it starts once, and ends if nothing comes', async () => {
    const { registry, reader, recording } = await setUp({ idleMs: 300 });
    const starts = () => recording.messages('debug').filter((message) => message.includes('was started')).length;
    const [[resident]] = recording.of('detection.readers') as [[() => number]];
    reader.wake();
    reader.wake();
    await expect.poll(starts, { timeout: 20_000 }).toBe(1);
    await expect.poll(resident, { timeout: 20_000 }).toBe(0);
    reader.wake();
    const { verdict } = await read(reader, put(registry));
    expect([verdict.resolver, starts()]).toEqual(['musl', 2]);
    await reader.close();
    reader.wake();
    expect(starts()).toBe(2);
  });

  it('are not read past the manifest if that is known', async () => {
    const { registry, reader } = await setUp();
    const seen: unknown[] = [];
    const onManifest = (digest: string, seenAt: number) => {
      seen.push(digest, Math.abs(seenAt - Date.now()) < 60_000);
      return 'stop';
    };
    await expect(read(reader, put(registry), { onManifest })).rejects.toThrow('the manifest is known');
    expect(seen).toEqual([musl.digest, true]);
    expect(registry.requests.length).toBeLessThan(3);
  });

  it('fail with the code and the words of the registry client', async () => {
    const { registry, reader } = await setUp();
    await expect(read(reader, `${registry.host}/team/none:v1`)).rejects.toMatchObject({
      name: 'ImageSourceError',
      code: 'not-found',
      message: expect.stringContaining(registry.host),
    });
    await expect(read(reader, '169.254.169.254/x:v1')).rejects.toMatchObject({ code: 'forbidden-host' });
  });

  it('are read with the logins of the Pod, and with those of the docker config', async () => {
    const basic = { username: 'robot', password: 'secret' };
    const server = { auth: { kind: 'basic', ...basic } } as unknown as RegistryServerOptions;
    const { registry, reader } = await setUp({ server });
    const reference = put(registry);
    await expect(read(reader, reference)).rejects.toMatchObject({ code: 'unauthorized' });
    const credentials = [{ host: registry.host, credential: basic }];
    expect((await read(reader, reference, { credentials })).verdict.resolver).toBe('musl');
  });

  it('are left when the deadline comes', async () => {
    const { registry, reader } = await setUp({ server: { delayMs: 20_000 } });
    const reference = put(registry);
    const deadline = new AbortController();
    const reading = read(reader, reference, {}, deadline.signal);
    await expect.poll(() => registry.requests.length).toBe(1);
    deadline.abort(new Error('over'));
    await expect(reading).rejects.toThrow('over');
  });

  it('are read with wider limits if that is asked for', async () => {
    const { registry, reader } = await setUp();
    expect((await read(reader, put(registry), { more: true })).verdict.resolver).toBe('musl');
  });

  it('tell of registries that keep failing', async () => {
    const { registry, reader, breakers } = await setUp({
      server: { fault: () => ({ kind: 'answer', status: 503 }) },
    });
    for (let at = 0; at < 8; at += 1) await read(reader, registry.put(`team/app:v${at}`, musl)).catch(() => {});
    expect(breakers).toEqual([`http://${registry.host} open`]);
  });
});

describe('the process that reads images', () => {
  it('is ended when there is no work, and started anew', async () => {
    const { registry, reader, recording } = await setUp({ idleMs: 50 });
    const started = () => recording.messages('debug').filter((message) => message.includes('was started')).length;
    await read(reader, put(registry));
    await expect.poll(() => recording.of('detection.readers').length).toBe(1);
    const [[resident]] = recording.of('detection.readers') as [[() => number]];
    await expect.poll(resident).toBe(0);
    await read(reader, put(registry));
    expect(started()).toBe(2);
    expect(recording.messages('warn')).toEqual([]);
  });

  it.each([
    ['cannot be set up', SOUND, { mirrors: { 'docker.io': ['ftp://x'] } }, 'could not be set up (detection.registry: '],
    ['has no program', `${SOUND}x`, {}, 'did not start (exit code 1: '],
  ])('that %s fails look-ups, and is not started again at once', async (_, path, registry, message) => {
    const { reader, recording } = await setUp({ path, registry });
    for (let at = 0; at < 3; at += 1) {
      await expect(read(reader, 'localhost:1/a')).rejects.toMatchObject({ name: 'ReaderUnavailable' });
    }
    expect(recording.of('detection.readerEnded')).toEqual([['start']]);
    expect(recording.lines.filter(({ level }) => level === 'warn')).toMatchObject([
      { fields: { error: expect.stringContaining(message.slice(0, 18)) } },
    ]);
  });

  it('that goes on with an image after the deadline is ended, and the others are read in another', async () => {
    const { registry, reader, recording } = await setUp({ path: FAULTY });
    const deadline = new AbortController();
    const stuck = read(reader, put(registry, 'team/fault-stuck'), {}, deadline.signal);
    const failure = stuck.catch((error: Error) => error);
    await expect.poll(() => registry.requests.length).toBeGreaterThan(2);
    deadline.abort(new Error('over'));
    expect(await failure).toMatchObject({ name: 'ReaderEnded', end: 'stuck' });
    expect(recording.of('detection.readerEnded')).toEqual([['stuck']]);
    expect((await read(reader, put(registry))).verdict.resolver).toBe('musl');
  });

  it('is no longer shared with a namespace whose new images keep ending it', async () => {
    const { registry, reader, recording } = await setUp({ path: FAULTY });
    const tenant = 'greedy';
    const ends = () => recording.of('detection.readerEnded').length;
    const attack = async (name: string): Promise<number> => {
      const before = ends();
      const reading = read(reader, put(registry, `${name}/fault-exit`), { tenant });
      await expect(reading).rejects.toMatchObject({ name: 'ReaderEnded' });
      return ends() - before;
    };
    // In the shared process, then alone.
    expect([await attack('one'), await attack('two')]).toEqual([2, 2]);
    expect([await attack('three'), await attack('four')]).toEqual([1, 1]);
    const said = recording.messages('warn').filter((message) => message.includes('images are read one by one'));
    expect(said.length).toBeGreaterThan(0);
    // Its sound images are read all the same, and those of others as ever.
    expect((await read(reader, put(registry), { tenant })).verdict.resolver).toBe('musl');
    expect(await attack('five')).toBe(1);
    await expect(read(reader, put(registry, 'other/fault-exit'), { tenant: 'other' })).rejects.toMatchObject({
      name: 'ReaderEnded',
    });
    expect(ends()).toBe(2 + 2 + 1 + 1 + 1 + 2);
  });

  it('is shared with a namespace whose image ends it again and again', async () => {
    const { registry, reader, recording } = await setUp({ path: FAULTY });
    const tenant = 'unlucky';
    const reference = put(registry, 'team/fault-exit');
    await expect(read(reader, reference, { tenant })).rejects.toMatchObject({ name: 'ReaderEnded' });
    for (let again = 0; again < 2; again += 1) {
      await expect(read(reader, reference, { tenant, alone: true, again: () => true })).rejects.toMatchObject({
        name: 'ReaderEnded',
      });
    }
    expect(recording.messages('warn').join()).not.toContain('one by one');
  });

  it('that an image ends is logged with what it said', async () => {
    const { registry, reader, recording } = await setUp({ path: FAULTY });
    await expect(read(reader, put(registry, 'team/fault-crash'))).rejects.toMatchObject({
      name: 'ReaderEnded',
      end: 'exit',
    });
    const warned = recording.lines.find(({ level }) => level === 'warn');
    expect(warned).toMatchObject({ fields: { cause: 'exit', reads: 1, said: expect.stringContaining('a defect') } });
    expect(String(warned?.fields['said']).length).toBeLessThanOrEqual(300);
    expect(recording.of('detection.suspected')).toEqual([[1]]);
  });

  it('rejects what is under way when it is closed', async () => {
    const { registry, reader } = await setUp({ server: { delayMs: 20_000 } });
    const reading = read(reader, put(registry)).catch((error: Error) => error);
    await expect.poll(() => registry.requests.length).toBe(1);
    await reader.close();
    expect(await reading).toMatchObject({ name: 'LookupEnded' });
    await expect(read(reader, put(registry))).rejects.toMatchObject({ name: 'LookupEnded' });
  });
});

describe('its program', () => {
  const programOf = (environment: NodeJS.ProcessEnv) =>
    readerProgram(SOUND, { version: '1', config: configSchema.parse({}), files: {} }, environment);

  it('has bounds of its own, not those of the server, and no debugger', () => {
    const { flags, environment } = programOf({
      NODE_OPTIONS: '--expose-gc --max-old-space-size-percentage=60 --inspect-port 9229 --use-openssl-ca',
      NODE_EXTRA_CA_CERTS: '/ca.pem',
    });
    expect(environment).toEqual({
      NODE_EXTRA_CA_CERTS: '/ca.pem',
      NODE_OPTIONS: '--use-openssl-ca',
      UV_THREADPOOL_SIZE: '16',
    });
    expect(flags.filter((flag) => flag.startsWith('--max-old-space-size'))).toHaveLength(1);
    expect(flags).toContain('--permission');
  });

  it('takes as many threads as it is given', () => {
    expect(programOf({ UV_THREADPOOL_SIZE: '4' }).environment).toEqual({ UV_THREADPOOL_SIZE: '4' });
  });

  it.each([
    [0, 160],
    [2 ** 63, 160],
    [256 * 2 ** 20, 128],
    [512 * 2 ** 20, 153],
    [1024 * 2 ** 20, 307],
    [8192 * 2 ** 20, 512],
  ])('in a container of %d bytes takes at most %d MiB', (limit, expected) => {
    expect(Math.floor(readerMemory(limit) / 2 ** 20)).toBe(expected);
  });
});
