import type { ImageConfig, ImageManifest } from '../detection/image-source.ts';
import { baseName } from './command/invocation.ts';
import { normalizePath, parentOf, shownName } from './overlay.ts';

/** How likely it is that a layer holds a program; higher is likelier. */
export const likelihood = { no: -1, unlikely: 0, possible: 1, mentioned: 2, likely: 3, named: 4 } as const;

const maxWords = 16_384;
// A gzip layer of an empty tar takes 32 bytes, one with a single small file more than 100.
const emptyBytes = 64;
const systemDirectories = new Set(['bin', 'sbin', 'usr/bin', 'usr/sbin', 'usr/lib', 'lib', 'lib64', 'usr/lib64']);
const installs =
  /\b(?:apk|apt-get|apt|dnf|yum|microdnf|zypper|pip3?|npm|gem|curl|wget|make|cargo|go (?:build|install)|tar)\b/u;

/**
 * Returns the history line that made each layer, base first; undefined for one without words, and for all if their numbers
 * differ.
 */
export function layerHistory(manifest: ImageManifest, config: ImageConfig): readonly (string | undefined)[] {
  const made = config.history.filter((entry) => !entry.emptyLayer).map((entry) => entry.createdBy.slice(0, maxWords));
  return manifest.layers.map((_, index) => {
    const line = made.length === manifest.layers.length ? made[index]?.trim() : undefined;
    return line === '' ? undefined : line;
  });
}

/** Reports whether distributions put their programs at such a path. */
export function isSystemPath(path: string): boolean {
  return systemDirectories.has(parentOf(path)) || path.startsWith('usr/lib/');
}

/** Returns how likely the layer made by `line` holds one of `paths`. `isBase`: it is the oldest layer. */
export function layerLikelihood(
  line: string | undefined,
  size: number,
  paths: readonly string[],
  isBase: boolean,
): number {
  if (size > 0 && size < emptyBytes) return likelihood.no;
  if (isBase) return paths.some(isSystemPath) ? likelihood.possible : likelihood.unlikely;
  if (line === undefined) return likelihood.possible;
  const copied = copyOf(line);
  const isMentioned = paths.some((path) => mentions(line, path));
  if (copied !== undefined) {
    return Math.max(copyLikelihood(copied, paths), isMentioned ? likelihood.mentioned : likelihood.no);
  }
  if (isMentioned) return likelihood.mentioned;
  if (namesFolder(line, paths)) return likelihood.possible;
  return installs.test(line) ? likelihood.possible : likelihood.unlikely;
}

/** Reports whether a RUN line installs one of the programs with the distribution's package manager. */
export function installsPackage(line: string | undefined, paths: readonly string[]): boolean {
  if (line === undefined || !packageInstall.test(line)) return false;
  return paths.some((path) => mentions(line, path));
}

/** Reports whether a RUN line may well replace or delete one of the files. */
export function mayReplace(line: string | undefined, paths: readonly string[]): boolean {
  if (line === undefined || copyOf(line) !== undefined) return false;
  if (/\bmake\b[^;&|]{0,200}\binstall\b/u.test(line)) return true;
  if (!/\b(?:rm|mv|ln|cp|install|unlink)\b/u.test(line)) return false;
  const names = new Set(paths.map(baseName));
  return namesFolder(line, paths) || wordsOf(line).some((word) => names.has(baseName(word)));
}

const packageInstall = /\b(?:apk (?:--[\w-]+ )*add|(?:apt-get|apt|dnf|microdnf|tdnf|yum|zypper) (?:-\S+ )*install)\b/u;

interface Copy {
  readonly sources: readonly string[];
  readonly destination: string;
}

/**
 * Reads a COPY or ADD line as the classic builder (`#(nop) COPY file:… in /app`) and BuildKit (`COPY a /app #
 * buildkit`) write them.
 */
function copyOf(line: string): Copy | undefined {
  const classic = /^\/bin\/sh -c #\(nop\) {1,8}(?:COPY|ADD) /u.exec(line);
  if (classic !== null) {
    const at = line.lastIndexOf(' in ');
    if (at < classic[0].length) return undefined;
    return { sources: line.slice(classic[0].length, at).split(' '), destination: line.slice(at + 4).trim() };
  }
  if (!/^(?:COPY|ADD) /u.test(line)) return undefined;
  const words = line.split(' ').filter((word) => word !== '');
  const comment = words.indexOf('#');
  const operands = words.slice(1, comment === -1 ? undefined : comment).filter((word) => !word.startsWith('--'));
  const destination = operands.at(-1);
  return destination === undefined ? undefined : { sources: operands.slice(0, -1), destination };
}

function copyLikelihood({ sources, destination }: Copy, paths: readonly string[]): number {
  const target = normalizePath(destination);
  // A relative destination depends on a working directory that the history line does not give.
  if (!destination.startsWith('/')) return likelihood.possible;
  if (paths.includes(target)) return likelihood.named;
  const inside = paths.filter((path) => target === '' || path.startsWith(`${target}/`));
  if (inside.length === 0) return likelihood.no;
  const names = new Set(sources.map(baseName));
  if (inside.some((path) => names.has(baseName(path)))) return likelihood.named;
  // `COPY rootfs/ /` brings files for many places, and seldom the program.
  return target === '' ? likelihood.possible : likelihood.likely;
}

function wordsOf(line: string): readonly string[] {
  return line.split(/[\s;&|"'()=]/u).map((word) => word.replace(/\/\*?$/u, ''));
}

// `rm -r /opt/tools` deletes /opt/tools/bin/server too.
function namesFolder(line: string, paths: readonly string[]): boolean {
  const words = new Set(wordsOf(line));
  return paths.some((path) => {
    for (let folder = parentOf(path); folder !== ''; folder = parentOf(folder)) {
      if (words.has(`/${folder}`)) return true;
    }
    return false;
  });
}

function mentions(line: string, path: string): boolean {
  const name = baseName(path).replaceAll(/[^\w.-]/gu, '');
  if (name.length < 2) return false;
  const at = line.indexOf(name);
  return at !== -1 && !/\w/u.test(line[at - 1] ?? ' ') && !/\w/u.test(line[at + name.length] ?? ' ');
}

/** What an image's metadata suggests about its distribution's C library. Metadata can lie: a hint proves nothing. */
export interface Hint {
  readonly libc: 'glibc' | 'musl' | 'other';
  readonly source: 'history' | 'label';
  /** The history line or label, shortened. */
  readonly text: string;
}

// Written by the builds of official images (docker-library, debuerreotype, apko).
const historyMarks: readonly (readonly [RegExp, Hint['libc']])[] = [
  [/alpine-minirootfs|\bapk (?:--[\w-]+ )*(?:add|upgrade)\b/u, 'musl'],
  [/BusyBox [\d.]+ \(uclibc\)/u, 'other'],
  [/BusyBox [\d.]+ \(musl\)/u, 'musl'],
  [/BusyBox [\d.]+ \(glibc\)/u, 'glibc'],
  [
    /debian\.sh --arch|debuerreotype|ubuntu-[\w.-]*(?:base|oci|rootfs)|\bapt-get (?:-\w+ )*(?:install|update)\b/u,
    'glibc',
  ],
  [/\b(?:micro)?dnf (?:-\w+ )*install\b|\byum (?:-\w+ )*install\b|\bzypper\b|\btdnf (?:-\w+ )*install\b/u, 'glibc'],
];

const nameMarks: readonly (readonly [RegExp, Hint['libc']])[] = [
  [/alpine/u, 'musl'],
  [
    /debian|ubuntu|bookworm|trixie|bullseye|wolfi|fedora|rockylinux|almalinux|amazonlinux|\bubi\d|centos|opensuse/u,
    'glibc',
  ],
];

const nameLabels = ['org.opencontainers.image.base.name', 'org.opencontainers.image.ref.name'];
const maxLines = 256;
const maxLine = 8192;

/** Returns all hints of an image: from its history, oldest line first, then from its labels. */
export function hintsOf(manifest: ImageManifest, config: ImageConfig): readonly Hint[] {
  const hints: Hint[] = [];
  for (const { createdBy } of config.history.slice(0, maxLines)) {
    const line = createdBy.slice(0, maxLine);
    const match = historyMarks.find(([mark]) => mark.test(line));
    if (match !== undefined) hints.push({ libc: match[1], source: 'history', text: excerpt(line, match[0]) });
  }
  for (const label of nameLabels) {
    const value = (manifest.annotations[label] ?? config.labels[label] ?? '').slice(0, maxLine);
    const match = nameMarks.find(([mark]) => mark.test(value));
    if (match !== undefined) hints.push({ libc: match[1], source: 'label', text: shownName(`${label}=${value}`) });
  }
  return hints;
}

/** Returns a hint if all of them name the same C library; undefined if they differ or none is given. */
export function agreedHint(hints: readonly Hint[]): Hint | undefined {
  const [first] = hints;
  return hints.every((hint) => hint.libc === first?.libc) ? first : undefined;
}

/** Returns what a RUN line installed to run glibc programs beside musl; undefined if nothing. */
export function glibcOnMusl(config: ImageConfig): 'shim' | 'glibc' | undefined {
  const lines = config.history.slice(0, maxLines).map(({ createdBy }) => createdBy.slice(0, maxLine));
  if (lines.some((line) => /\b(?:gcompat|libc6-compat)\b/u.test(line))) return 'shim';
  return lines.some((line) => /\bglibc-\d|\bglibc\.apk|alpine-pkg-glibc/u.test(line)) ? 'glibc' : undefined;
}

function excerpt(line: string, mark: RegExp): string {
  const at = mark.exec(line)?.index ?? 0;
  return shownName(line.slice(Math.max(0, at - 20), at + 100).trim());
}
