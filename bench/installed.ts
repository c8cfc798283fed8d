import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

interface Values {
  readonly heapPercentage: number;
  readonly threads: number;
  readonly resources: { readonly limits: { readonly memory: string } };
}

/** Returns the environment that our image (`ENV` in the Dockerfile) and chart give a container, as far as it affects costs. */
export function installedEnvironment(): Record<string, string> {
  const lines = [...read('Dockerfile').matchAll(/^ENV ((?:.*\\\n)*.*)$/gm)].map(([, pairs]) => pairs).join('\n');
  const image = [...lines.matchAll(/([A-Z_]+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value]);
  const { heapPercentage, threads, resources } = parse(read('charts/libc-dns-webhook/values.yaml')) as Values;
  const limit = /^(\d+)Mi$/.exec(resources.limits.memory)?.[1];
  if (limit === undefined) throw new Error(`the memory limit of the chart is not in Mi: ${resources.limits.memory}`);
  return {
    ...Object.fromEntries(image),
    // The chart's percentage is of the container's memory limit; here it would be of the machine's memory.
    NODE_OPTIONS: `--expose-gc --max-old-space-size=${Math.round((Number(limit) * heapPercentage) / 100)}`,
    UV_THREADPOOL_SIZE: String(threads),
  };
}

/** Returns the Node flags of our image (`ENTRYPOINT` in the Dockerfile). */
export function installedFlags(): string[] {
  const entryPoint = /^ENTRYPOINT (\[.*\])$/m.exec(read('Dockerfile'))?.[1];
  if (entryPoint === undefined) throw new Error('the Dockerfile has no ENTRYPOINT of the form ["program", "flag"]');
  return (JSON.parse(entryPoint) as string[]).filter((word) => word.startsWith('-'));
}
