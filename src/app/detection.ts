import { existsSync } from 'node:fs';

import { isLocal, withLocalImages } from '../archives/local-images.ts';
import { registryProxy } from '../config/registry-proxy.ts';
import type { Config } from '../config/schema.ts';
import { LookupEnded, type OpenDetector } from '../detection/detector.ts';
import { createImageDetector } from '../detection/image-detector.ts';
import { createImageReader, type ImageReader } from '../detection/reader/image-reader.ts';
import { createIsolatedReader } from '../detection/reader/isolated-reader.ts';
import type { VerdictStore } from '../detection/verdict-store.ts';
import type { RegistryClientOptions } from '../registry/client.ts';
import { canonicalName } from '../registry/reference.ts';
import type { Reporter } from '../telemetry/reporter.ts';
import { CommandError } from '../terminal/io.ts';
import { systemClock } from '../util/clock.ts';
import { inspectors, readerProgram, receiveEvents } from './reader.ts';
import { openRegistries, readRegistryFiles } from './registries.ts';

interface DetectionOptions {
  readonly version: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly reporter: Reporter;
  /** Verdicts shared with other replicas. Its creator closes it. */
  readonly store?: VerdictStore;
  /**
   * Set for a person at a command line: allows their own docker config and its helpers, images on this disk, and the registries on
   * this machine that `images` names. Absent for the server, where others choose the images.
   */
  readonly person?: { readonly images: readonly string[] };
  /** Images are read no further where a first look is uncertain: for an audit, which looks at many and waits for none. */
  readonly firstLooksOnly?: true;
  /** Path of the program that reads images in a process of its own. Absent: they are read in this one. */
  readonly readerPath?: string;
}

/** Opens the detector that a configuration describes. Rejects with `CommandError` if a list, file or mirror in it is invalid. */
export async function openDetector(config: Config, options: DetectionOptions): Promise<OpenDetector> {
  const reader = await openReader(config, options);
  if (reader === undefined) return { close: async () => {} };
  const { entries, tagTtl, failureTtl } = config.detection.cache;
  const detector = createImageDetector({
    reader,
    entries,
    tagTtlMs: tagTtl,
    failureTtlMs: failureTtl,
    clock: systemClock,
    ...(options.store && { store: options.store }),
    reporter: options.reporter,
  });
  return {
    detector,
    stats: () => detector.stats(),
    close: async () => {
      await detector.close();
      await reader.close();
    },
  };
}

/** Opens what reads images; undefined if nothing may be read and no verdict is shared. */
async function openReader(config: Config, options: DetectionOptions): Promise<ImageReader | undefined> {
  const { person, readerPath, reporter } = options;
  const { enabled } = config.detection.registry;
  const files = await readRegistryFiles(config, options);
  // Opened in any case, for it checks the configuration.
  const onBreaker = reportBreaker(reporter);
  // One for this process and the others: what is wrong with a file is told once.
  const onProblem = reporter.warnings();
  const client = openRegistries(config, { ...options, files, onBreaker, onProblem });
  const hasLocal = person?.images.some(isLocal) ?? false;
  if (!enabled && !hasLocal && options.store === undefined) {
    await client.close();
    return undefined;
  }
  if (enabled && readerPath !== undefined) {
    await client.close();
    if (!existsSync(readerPath))
      throw new CommandError('failed', `${readerPath} is missing: it belongs beside the program`);
    const { version, environment } = options;
    const program = readerProgram(readerPath, { version, config, files }, environment);
    const onEvent = receiveEvents({ onBreaker, onProblem });
    return createIsolatedReader({ program, canonical: canonicalName, onEvent, clock: systemClock, reporter });
  }
  const registries = enabled ? client : { open: offline, canonical: canonicalName };
  // Only image names that a person typed may read their disk: names in manifests and clusters come from others.
  const local = hasLocal ? withLocalImages(registries) : undefined;
  const inspect = inspectors();
  const reader = createImageReader({
    sources: local ?? registries,
    inspect: inspect.inspect,
    ...(options.firstLooksOnly !== true && { inspectMore: inspect.inspectMore }),
    tagTtlMs: config.detection.cache.tagTtl,
    clock: systemClock,
  });
  return {
    ...reader,
    close: async () => {
      await local?.close();
      await client.close();
    },
  };
}

/** Refuses every image: used in place of the registries if the registry look-up is off. */
function offline(reference: string): never {
  throw new LookupEnded('disabled', `${reference} is not looked up: the registry look-up is off (--offline)`);
}

/** Reports registries that are left alone. Their names go to the log only, not into metrics, for Pods choose them. */
function reportBreaker({ metrics, warnings }: Reporter): NonNullable<RegistryClientOptions['onBreaker']> {
  const warn = warnings();
  return ({ host, repository, leadsTo, state }) => {
    const name = [repository === undefined ? host : `${host}/${repository}`, leadsTo]
      .filter(Boolean)
      .join(' by way of ');
    metrics.detection.breaker(name, state);
    if (state === 'open') warn(`${name} keeps failing and is left alone for a while`);
  };
}

/** Logs the proxy for registries: the environment may set one unexpectedly. */
export function reportProxy(config: Config, environment: NodeJS.ProcessEnv, { log }: Reporter): void {
  const proxy = registryProxy(config, environment);
  if (proxy === undefined) return;
  const { address, noProxy, origin } = proxy;
  log.info({ proxy: address, noProxy, from: origin }, 'registries are asked through a proxy');
}
