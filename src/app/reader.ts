import type { Config } from '../config/schema.ts';
import { createImageReader, type LocalReader } from '../detection/reader/image-reader.ts';
import type { ReaderProgram } from '../detection/reader/reader-process.ts';
import type { Inspect } from '../detection/detector.ts';
import { createInspector } from '../inspection/inspect.ts';
import { admissionLimits, backgroundScanLimits, createSharedResources } from '../inspection/limits.ts';
import type { RegistryClientOptions } from '../registry/client.ts';
import { systemClock } from '../util/clock.ts';
import { openRegistries, type RegistryFiles } from './registries.ts';

/**
 * What a reader process works with. Main sends it instead of letting the process read it again: both then have the same
 * configuration, flags included, although the files may have changed since.
 */
interface ReaderSetUp {
  readonly version: string;
  readonly config: Config;
  readonly files: RegistryFiles;
}

type BreakerEvent = Parameters<NonNullable<RegistryClientOptions['onBreaker']>>[0];

/** What a reader process tells main besides what it has read. */
type ReaderEvent =
  | ({ readonly kind: 'breaker' } & BreakerEvent)
  | { readonly kind: 'problem'; readonly message: string };

interface EventReceiver {
  readonly onBreaker: (event: BreakerEvent) => void;
  readonly onProblem: (message: string) => void;
}

/** Returns the inspections of one process, which share its memory and its thread. */
export function inspectors(): { readonly inspect: Inspect; readonly inspectMore: Inspect } {
  const shared = createSharedResources();
  return {
    inspect: createInspector(admissionLimits, shared),
    inspectMore: createInspector(backgroundScanLimits, shared),
  };
}

/** Opens the reader in its process. Throws `CommandError` if the configuration cannot be carried out. */
export function openReaderHere(setUp: unknown, tell: (event: unknown) => void): LocalReader {
  const { version, config, files } = setUp as ReaderSetUp;
  const send = (event: ReaderEvent): void => tell(event);
  const sources = openRegistries(config, {
    version,
    files,
    environment: process.env,
    onBreaker: (event) => send({ kind: 'breaker', ...event }),
    onProblem: (message) => send({ kind: 'problem', message }),
  });
  return createImageReader({
    sources,
    ...inspectors(),
    tagTtlMs: config.detection.cache.tagTtl,
    clock: systemClock,
  });
}

/** Returns the function that takes a reader process's events to where main reports them. */
export function receiveEvents({ onBreaker, onProblem }: EventReceiver): (event: unknown) => void {
  return (given) => {
    const event = given as ReaderEvent;
    if (event.kind === 'breaker') onBreaker(event);
    else onProblem(event.message);
  };
}

const MiB = 2 ** 20;

/** Resident memory that one of the two reader processes may take, besides program files, of the memory that a container has. */
const MEMORY = { share: 0.3, least: 128 * MiB, most: 512 * MiB, unlimited: 160 * MiB };

/** Returns the bytes that a reader process may take. `constrained`: the container's limit; 0 or very large if it has none. */
export function readerMemory(constrained: number): number {
  if (constrained === 0 || constrained > 2 ** 46) return MEMORY.unlimited;
  return Math.min(MEMORY.most, Math.max(MEMORY.least, Math.floor(constrained * MEMORY.share)));
}

/** Flags of main that must not reach a reader process: a debugger's port can be opened once, and its memory has bounds of its own. */
const OURS_ALONE = /^--(?:inspect|debug|initial-|max-|min-|semi-space|heap|cpu-prof|expose-gc)/u;

/** Returns Node's flags without those that are meant for main alone, and their values. */
function inherited(flags: readonly string[]): string[] {
  let isDropped = false;
  return flags.filter((flag) => {
    // What is no flag is the value of the one before.
    if (flag.startsWith('-')) isDropped = OURS_ALONE.test(flag);
    return !isDropped;
  });
}

/** Flags that keep the process from writing files, from other programs and from native code. Node 24 knows no permission for the network. */
const restricted = (): string[] => {
  const network = process.allowedNodeEnvironmentFlags.has('--allow-net') ? ['--allow-net'] : [];
  return ['--permission', '--allow-fs-read=*', ...network];
};

/** Returns the program of a reader process: its path, its flags, and what it works with. */
export function readerProgram(path: string, setUp: ReaderSetUp, environment: NodeJS.ProcessEnv): ReaderProgram {
  const memoryBytes = readerMemory(process.constrainedMemory());
  const { NODE_OPTIONS = '', UV_THREADPOOL_SIZE = '16', ...others } = environment;
  // Main alone sends traces: a collector's password has no business beside strangers' bytes.
  const rest = Object.fromEntries(Object.entries(others).filter(([name]) => !name.startsWith('OTEL_')));
  const options = inherited(NODE_OPTIONS.split(' ').filter(Boolean)).join(' ');
  return {
    path,
    flags: [
      ...inherited(process.execArgv),
      `--max-old-space-size=${Math.floor((memoryBytes * 0.75) / MiB)}`,
      '--max-semi-space-size=4',
      '--disable-warning=ExperimentalWarning',
      ...restricted(),
    ],
    environment: { ...rest, UV_THREADPOOL_SIZE, ...(options !== '' && { NODE_OPTIONS: options }) },
    setUp,
    memoryBytes,
  };
}
