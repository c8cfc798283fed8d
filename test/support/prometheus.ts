import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';

/** A scrape job of Prometheus' configuration. */
export type ScrapeJob = Readonly<Record<string, unknown>>;

export interface Prometheus {
  /** Runs an instant query. Rejects with Prometheus' error. */
  readonly query: (expression: string) => Promise<readonly { readonly value: readonly [number, string] }[]>;
  /** Returns all rules with the error of their last evaluation. */
  readonly rules: () => Promise<
    readonly { readonly name: string; readonly health: string; readonly lastError?: string }[]
  >;
  readonly stop: () => Promise<void>;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** Starts Prometheus with a scrape interval of a second and the rules of the file `rules`. */
export async function startPrometheus(jobs: readonly ScrapeJob[], rules: string): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'libc-dns-prometheus-'));
  const [port, config] = [await freePort(), join(folder, 'prometheus.yaml')];
  const global = { scrape_interval: '1s', evaluation_interval: '1s' };
  await writeFile(config, stringify({ global, rule_files: [rules], scrape_configs: jobs }));
  const flags = [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`];
  const child = spawn('prometheus', [...flags, `--web.listen-address=127.0.0.1:${port}`], { stdio: 'ignore' });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const get = async <T>(path: string): Promise<T> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    const { status, error, data } = (await answer.json()) as { status: string; error?: string; data: T };
    if (status !== 'success') throw new Error(error);
    return data;
  };
  const isUp = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await isUp())) {
    if (child.exitCode !== null) throw new Error(`prometheus ended with ${child.exitCode}`);
    await sleep(100);
  }
  return {
    query: async (expression) => {
      const path = `/api/v1/query?query=${encodeURIComponent(expression)}`;
      return (await get<{ result: { value: [number, string] }[] }>(path)).result;
    },
    rules: async () => {
      const { groups } = await get<{ groups: { rules: { name: string; health: string; lastError?: string }[] }[] }>(
        '/api/v1/rules',
      );
      return groups.flatMap((group) => group.rules);
    },
    stop: async () => {
      kill();
      process.off('exit', kill);
      await ended;
      await rm(folder, { recursive: true, maxRetries: 5 });
    },
  };
}
