import { type Command, InvalidArgumentError } from 'commander';

import type { Detection, Detector } from '../detection/detector.ts';
import type { Platform } from '../detection/image-source.ts';
import { normalizePlatform, parsePlatform, platformName } from '../detection/platform.ts';
import { candidatesOf, type Resolver } from '../policy/verdict.ts';
import { helpText } from '../terminal/help.ts';
import { addFlags, type ColorFlag, type CommonFlags, outputFlag, readSettings } from '../terminal/flags.ts';
import { CommandError, type DetectingCommand, type Io, type Paint, painter, textWidth } from '../terminal/io.ts';
import { evidenceText, wrappedTable } from '../terminal/layout.ts';
import { openProgress, shownLookUps } from '../terminal/progress.ts';
import { structuredText } from '../terminal/structured.ts';
import { systemClock } from '../util/clock.ts';
import { counted, printable } from '../util/text.ts';

interface DetectFlags extends CommonFlags, ColorFlag {
  readonly command?: string[];
  readonly output: 'table' | 'json' | 'yaml';
}

const HELP = `
Examples:
  libc-dns detect nginx:1.29-alpine python:3.14-slim ghcr.io/acme/app:v2
  libc-dns detect --platform linux/arm64 --command "node server.js" registry.example/app
  libc-dns detect oci:./image-layout:latest -o json
  libc-dns detect docker-archive:app.tar    of docker save app:v2 >app.tar

A few kilobytes of each image are read, as the webhook reads them, and more where these are not sure.
Logins come from the docker configuration.
Exit status 1 where an image could not be read.`;

/** Adds `libc-dns detect`, which reports the resolver in images. */
export function detectCommand(program: Command, { io, openDetector }: DetectingCommand): void {
  const command = program
    .command('detect')
    .argument('<image...>', 'image references, or images on this disk: oci:DIR, docker-archive:FILE, oci-archive:FILE')
    .description('show which resolver and libc images have, and the evidence')
    .option('--command <words>', 'what the container runs instead of its entrypoint', words)
    .addOption(outputFlag(['table', 'json', 'yaml']))
    .addHelpText('after', helpText(HELP));
  addFlags(command, ['config', 'offline', 'platform', 'color']).action(async (images: string[], flags: DetectFlags) => {
    for (const image of images) refuseFile(image);
    const { config } = await readSettings(io, flags);
    const { detector, close } = await openDetector(config, { images });
    if (detector === undefined) {
      const how = flags.offline === true ? 'leave --offline out' : 'set detection.registry.enabled: true';
      throw new CommandError('usage', `detect needs a registry: ${how}`);
    }
    try {
      const platform = parsePlatform(config.detection.platform);
      const results = await detectAll(images, platform, flags.command ?? [], { detector, io });
      const entries = results.map((result) => entry(result, platform));
      for (const { image, detection } of results) warnOfPlatform(io, image, detection.platform, platform);
      if (flags.output === 'table') io.out(asTable(results, painter(io, flags.color), textWidth(io)), 'styled');
      else io.out(structuredText(entries, flags.output));
      const failed = results.filter(({ detection }) => detection.failure !== undefined);
      if (failed.length > 0) {
        throw new CommandError('failed', `${failed.length} of ${counted(images.length, 'image')} could not be read`);
      }
    } finally {
      await close();
    }
  });
}

/** Throws a `CommandError` for a path: no image reference begins with a slash or a dot, and `app.tar` is hardly an image of Docker Hub. */
function refuseFile(image: string): void {
  if (!/^\.{0,2}\/|^[^/:]+\.(tar|tgz|ya?ml|json)(\.gz)?$/.test(image)) return;
  const how = /\.(ya?ml|json)$/.test(image)
    ? `for manifests: libc-dns explain ${image}`
    : `say what is in it: docker-archive:${image}, oci-archive:${image} or oci:${image}`;
  throw new CommandError('usage', `${printable(image)} is a file or a folder; ${printable(how)}`);
}

/** Warns of an image for another platform than was asked for: a node would run it all the same. */
function warnOfPlatform(io: Io, image: string, found: Platform | undefined, asked: Platform): void {
  if (found === undefined) return;
  const [has, wanted] = [normalizePlatform(found), normalizePlatform(asked)];
  if (has.os === wanted.os && has.architecture === wanted.architecture) return;
  const text = `${image}: the image is for ${platformName(found)}, not for ${platformName(asked)} (--platform)`;
  io.err(`libc-dns: warning: ${printable(text)}\n`);
}

function words(text: string): string[] {
  const list: unknown = text.startsWith('[') ? parseJson(text) : shellWords(text);
  if (Array.isArray(list) && list.length > 0 && list.every((word) => typeof word === 'string')) return list;
  throw new InvalidArgumentError('Expected words, quoted as in a shell, or a JSON list of strings.');
}

/** Splits words as a shell does, without expansions: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02. */
function shellWords(text: string): string[] | undefined {
  const part = /'[^']*'|"(?:\\[^]|[^"\\])*"|\\[^]|[^\s'"\\]/;
  if (!new RegExp(`^(?:\\s|${part.source})*$`).test(text)) return undefined;
  return (text.match(new RegExp(`(?:${part.source})+`, 'g')) ?? []).map((word) =>
    word.replaceAll(new RegExp(part, 'g'), unquoted),
  );
}

function unquoted(part: string): string {
  if (part.startsWith("'")) return part.slice(1, -1);
  if (part.startsWith('"'))
    return part
      .slice(1, -1)
      .replaceAll(/\\([$`"\\])/g, '$1')
      .replaceAll('\\\n', '');
  return part.startsWith('\\') ? part.slice(1) : part;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface Detected {
  readonly image: string;
  readonly detection: Detection;
  readonly durationMs: number;
}

/** A user waits longer than an API server. */
const LOOKUP_MS = 60_000;

/** Images looked up at a time. */
const AT_ONCE = 4;

async function detectAll(
  images: readonly string[],
  platform: Platform,
  command: readonly string[],
  { detector, io }: { detector: Detector; io: Io },
): Promise<Detected[]> {
  const results: Detected[] = [];
  let next = 0;
  const progress = openProgress(io, systemClock);
  const shown = shownLookUps(detector, progress, images.length);
  const worker = async (): Promise<void> => {
    for (let index = next; index < images.length; index = next) {
      next += 1;
      const image = images[index] ?? '';
      const started = performance.now();
      const request = { reference: image, platform, command, args: [] };
      const detection = await shown.detect(request, AbortSignal.timeout(LOOKUP_MS));
      results[index] = { image, detection, durationMs: performance.now() - started };
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, images.length) }, worker));
  progress.done();
  return results;
}

/** Returns an entry of `detect -o json`: see docs/cli.md. */
function entry({ image, detection, durationMs }: Detected, asked: Platform): Record<string, unknown> {
  const { verdict, digest, platform, executable, meter, failure } = detection;
  const { resolver, libc, evidence } = verdict;
  return {
    image,
    digest: digest ?? null,
    platform: platformName(platform ?? asked),
    executable: executable ?? null,
    resolver,
    libc,
    evidence,
    resolvers: verdict.resolvers ?? [{ resolver, libc, executable: executable ?? null, evidence }],
    ...meter,
    durationMs: Math.round(durationMs * 10) / 10,
    ...(failure !== undefined && { error: `${failure.code}: ${failure.message}` }),
  };
}

const STYLES = { glibc: 'green', go: 'green', musl: 'yellow', other: 'cyan', unknown: 'red' } as const;

/** A line of the table: one for each program that may run. */
interface Line {
  readonly resolver: Resolver;
  readonly cells: string[];
}

function shownCandidates({ image, detection, durationMs }: Detected): Line[] {
  const { verdict, meter } = detection;
  return candidatesOf(verdict).map(({ resolver, libc, evidence }, index) => {
    const first = [
      printable(image),
      resolver,
      libc,
      String(meter.requests),
      String(meter.bytes),
      durationMs.toFixed(0),
    ];
    const cells = index === 0 ? first : ['', resolver, libc, '', '', ''];
    return {
      resolver,
      cells: [...cells, evidenceText(evidence)],
    };
  });
}

function asTable(all: readonly Detected[], paint: Paint, width: number): string {
  const lines = all.flatMap((one) => shownCandidates(one));
  const rows = [
    ['IMAGE', 'RESOLVER', 'LIBC', 'REQUESTS', 'BYTES', 'MS', 'EVIDENCE'],
    ...lines.map(({ cells }) => cells),
  ];
  const style = (text: string, row: number, column: number): string => {
    const resolver = column === 1 ? lines[row - 1]?.resolver : undefined;
    return resolver === undefined ? text : paint(STYLES[resolver], text);
  };
  return wrappedTable(rows, width, { indent: '', style });
}
