import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

import type { Corpus } from '../test/corpus/build.ts';
import { lookUp } from '../test/corpus/look-up.ts';
import { serve } from '../test/corpus/run.ts';
import { digits, type Table } from './report.ts';
import { median } from './statistics.ts';

const BIN = join(homedir(), '.cache/libc-dns-webhook/bin');
const MODULES: Readonly<Record<string, string>> = {
  crane: 'github.com/google/go-containerregistry/cmd/crane@v0.22.1',
  syft: 'github.com/anchore/syft/cmd/syft@v1.57.1',
};
const BUILD_MS = 4 * 60_000;
/** Every so manieth image: syft takes seconds for each. */
const EACH = 8;

/** Returns the path of a program; builds it from its Go module if it is nowhere. undefined, after a warning, if that fails. */
function find(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), BIN];
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  const module = MODULES[name];
  if (found !== undefined || module === undefined) return found ?? missing(name);
  const options = { env: { ...process.env, GOBIN: BIN }, timeout: BUILD_MS, stdio: 'ignore' } as const;
  return spawnSync('go', ['install', module], options).status === 0 ? join(BIN, name) : missing(name);
}

function missing(name: string): undefined {
  process.stderr.write(`!! ${name} is not here and was not built: it has no row\n`);
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
      await run('bash', ['-c', script, path, reference, executable.slice(1)], quietly);
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

interface Cost {
  readonly bytes: number;
  readonly ms: number;
}

/** Reads some of the corpus with other programs. */
export async function othersTable(
  corpus: Corpus,
  progress: (text: string) => void,
): Promise<{ table: Table; data: unknown }> {
  const registry = await serve(corpus);
  const line = await countedLine(registry.url);
  const costs = new Map<string, Cost[]>([['ours', []]]);
  const paths = new Map(OTHERS.map(({ name }) => [name, find(name)]));
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
      progress(`cold path: others read ${entry.name}`);
      images += 1;
      await measured('ours', async () => await lookUp(line.host, entry));
      for (const { name, shown, run: read } of OTHERS) {
        const path = paths.get(name);
        if (path === undefined) continue;
        await measured(shown, async () => await read(path, `${line.host}/${entry.name}:latest`, executable));
      }
    }
  } finally {
    line.close();
    await registry.close();
  }
  return { table: tableOf(costs, images), data: Object.fromEntries(costs) };
}

function tableOf(costs: ReadonlyMap<string, readonly Cost[]>, images: number): Table {
  return {
    title: 'What others read of the same images',
    note:
      `${images} images of the corpus, each eighth that is for one platform and whose program was found; KiB on the wire, headers included; ours with the second look where the first was not sure. crane stops ` +
      'at the program, which it was told: what was on its way then counts. syft and a copy read all of an image.',
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
