import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import { buildCorpus } from '../test/corpus/build.ts';
import { corpusImages } from '../test/corpus/images.ts';
import { lookUp } from '../test/corpus/look-up.ts';
import { serve } from '../test/corpus/run.ts';
import { CACHE_DIRECTORY, openSources } from '../test/corpus/sources.ts';
import type { Part } from './part.ts';
import { digits, type Table } from './report.ts';
import { median } from './statistics.ts';

const BIN = join(homedir(), '.cache/libc-dns-webhook/bin');
const MODULES: Readonly<Record<string, string>> = {
  crane: 'github.com/google/go-containerregistry/cmd/crane@v0.22.1',
  syft: 'github.com/anchore/syft/cmd/syft@v1.57.1',
};
/** syft takes two minutes of processor time, a quiet machine's minute and a half. */
const BUILD_MS = 15 * 60_000;
/** Every so manieth image: syft takes seconds for each. */
const EACH = 8;

/**
 * Returns the path of a program on the PATH or in `bin`; builds it there from its Go module if it is nowhere. undefined, after a warning,
 * if that fails.
 */
export function findProgram(name: string, bin: string = BIN, go = 'go'): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), bin];
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  const module = MODULES[name];
  if (found !== undefined) return found;
  const why = module === undefined ? undefined : build(module, bin, go);
  if (module !== undefined && why === undefined) return join(bin, name);
  process.stderr.write(
    `!! ${name} is not here${why === undefined ? '' : ` and was not built: ${why}`}; it has no row\n`,
  );
  return undefined;
}

/** Builds a program into a folder, on one processor and after everything else. Returns why it could not, undefined if it did. */
function build(module: string, bin: string, go: string): string | undefined {
  const env = { ...process.env, GOBIN: bin, CGO_ENABLED: '0', GOFLAGS: '-p=1' };
  const { status, error, stderr } = spawnSync('nice', ['-n', '19', go, 'install', module], {
    env,
    timeout: BUILD_MS,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (status === 0) return undefined;
  return error?.message ?? stderr.trim().split('\n').at(-1);
}

/** A line to a server that counts what a client is sent. */
interface CountedLine {
  readonly host: string;
  /** Bytes since the last call, headers included. */
  taken(): number;
  close(): void;
}

async function countedLine(target: string): Promise<CountedLine> {
  const { hostname, port } = new URL(target);
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect({ host: hostname, port: Number(port) });
    client.pipe(upstream).pipe(client);
    // What the server sent before it closed is still on its way.
    upstream.on('error', () => client.destroy());
    client.on('error', () => {}).on('close', () => upstream.destroy());
    clients.add(client);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    taken() {
      const bytes = [...clients].reduce((sum, client) => sum + client.bytesWritten - client.writableLength, 0);
      clients.clear();
      return bytes;
    },
    close: () => void server.close(),
  };
}

const run = promisify(execFile);
const quietly = { maxBuffer: 512 << 20, timeout: 120_000 };

/** Programs that tell, or help to tell, what runs in an image; each gets its reference and the path of its program. */
const OTHERS: readonly {
  readonly name: string;
  readonly shown: string;
  readonly run: (path: string, reference: string, executable: string) => Promise<unknown>;
}[] = [
  {
    name: 'crane',
    shown: '`crane export` up to the program',
    run: async (path, reference, executable) => {
      const script =
        '"$0" export --insecure --platform linux/amd64 "$1" - | tar -xO --occurrence=1 "$2" | head -c 8192';
      const { stdout } = await run('bash', ['-c', script, path, reference, executable.slice(1)], quietly);
      if (stdout === '') throw new Error(`${executable} of ${reference} was not found`);
    },
  },
  {
    name: 'skopeo',
    shown: '`skopeo copy`',
    run: async (path, reference) => {
      const folder = mkdtempSync(join(tmpdir(), 'bench-skopeo-'));
      const from = ['copy', '--quiet', '--src-tls-verify=false', `docker://${reference}`, `dir:${folder}`];
      await run(path, from, quietly).finally(() => rmSync(folder, { recursive: true, force: true }));
    },
  },
  {
    name: 'syft',
    shown: '`syft`',
    run: async (path, reference) => {
      const env = { ...process.env, SYFT_REGISTRY_INSECURE_USE_HTTP: 'true', SYFT_CHECK_FOR_APP_UPDATE: 'false' };
      await run(path, [`registry:${reference}`, '--platform', 'linux/amd64', '-q', '-o', 'json'], { ...quietly, env });
    },
  },
];

const ALL = 'ours, all of the corpus';

interface Cost {
  readonly bytes: number;
  readonly ms: number;
}

/** Measures what other programs read of some of the corpus. */
export const othersRead: Part = async ({ progress }) => {
  const sources = await openSources(CACHE_DIRECTORY);
  const corpus = await buildCorpus(corpusImages, sources, (name) => progress(`others: building ${name}`));
  const registry = await serve(corpus);
  const line = await countedLine(registry.url);
  const costs = new Map<string, Cost[]>([['ours', []]]);
  const paths = new Map(OTHERS.map(({ name }) => [name, findProgram(name)]));
  const measured = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    const started = performance.now();
    try {
      await work();
      const ms = performance.now() - started;
      costs.set(name, [...(costs.get(name) ?? []), { bytes: line.taken(), ms }]);
    } catch (error) {
      process.stderr.write(`!! ${name}: ${(error as Error).message}\n`);
      line.taken();
    }
  };
  let images = 0;
  try {
    for (const [at, { entry }] of corpus.built.entries()) {
      if (at % EACH !== 0) continue;
      const known = await lookUp(registry.host, entry);
      if ('error' in known.outcome || known.outcome.executable === undefined || entry.platform !== undefined) continue;
      const { executable } = known.outcome;
      progress(`others: ${entry.name}`);
      images += 1;
      await measured('ours', async () => await lookUp(line.host, entry));
      for (const { name, shown, run: read } of OTHERS) {
        const path = paths.get(name);
        if (path === undefined) continue;
        await measured(shown, async () => await read(path, `${line.host}/${entry.name}:latest`, executable));
      }
    }
    // The few images that cost most are seldom among each eighth.
    for (const { entry } of corpus.built) await measured(ALL, async () => await lookUp(line.host, entry));
  } finally {
    line.close();
    await registry.close();
  }
  return { tables: [tableOf(costs, images)], data: Object.fromEntries(costs) };
};

function tableOf(costs: ReadonlyMap<string, readonly Cost[]>, images: number): Table {
  return {
    title: 'What others read of the same images',
    note:
      `${images} images of the corpus, each eighth that is for one platform and whose program was found; KiB on the wire, headers included; ours with the second look where the first was not sure. crane stops ` +
      'at the program, which it was told: what was on its way then counts. syft and a copy read all of an image. ' +
      'Milliseconds include the start of a program, but for ours, which runs in the bench.',
    columns: ['', 'images', 'KiB, median', 'KiB, most', 'ms, median', 'ms, most'],
    rows: [...costs].map(([name, all]) => {
      const [bytes, ms] = [all.map((one) => one.bytes / 1024), all.map((one) => one.ms)];
      return [
        name,
        String(all.length),
        digits(median(bytes)),
        digits(Math.max(...bytes)),
        digits(median(ms)),
        digits(Math.max(...ms)),
      ];
    }),
  };
}
