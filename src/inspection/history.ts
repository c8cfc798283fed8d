import type { ImageConfig, ImageManifest } from '../detection/image-source.ts';
import { baseName } from './command/invocation.ts';
import { normalizePath, parentOf, shownName } from './overlay.ts';

/** How likely a layer holds a program: higher is likelier. */
export const likelihood = { no: -1, unlikely: 0, possible: 1, mentioned: 2, likely: 3, named: 4 } as const;

const maxWords = 16_384;
// A gzip layer of an empty tar has 32 bytes, one with a single small file more than 100.
const emptyBytes = 64;
const systemDirectories = new Set(['bin', 'sbin', 'usr/bin', 'usr/sbin', 'usr/lib', 'lib', 'lib64', 'usr/lib64']);
const installs =
  /\b(?:apk|apt-get|apt|dnf|yum|microdnf|zypper|pip3?|npm|gem|curl|wget|make|cargo|go (?:build|install)|tar)\b/u;

/** The history line that made each layer, base first; undefined where history and layers do not match. */
export function layerHistory(manifest: ImageManifest, config: ImageConfig): readonly (string | undefined)[] {
  const made = config.history.filter((entry) => !entry.emptyLayer).map((entry) => entry.createdBy.slice(0, maxWords));
  return manifest.layers.map((_, index) => (made.length === manifest.layers.length ? made[index] : undefined));
}

/** Whether the path is where distributions put their programs. */
export function isSystemPath(path: string): boolean {
  return systemDirectories.has(parentOf(path)) || path.startsWith('usr/lib/');
}

/** How likely the layer made by `line` holds one of `paths`. `isBase`: it is the oldest. */
export function layerLikelihood(
  line: string | undefined,
  size: number,
  paths: readonly string[],
  isBase: boolean,
): number {
  if (size > 0 && size < emptyBytes) return likelihood.no;
  if (line === undefined) return isBase ? likelihood.unlikely : likelihood.possible;
  const copied = copyOf(line);
  const isMentioned = !isBase && paths.some((path) => mentions(line, path));
  if (copied !== undefined && !isBase) {
    return Math.max(copyLikelihood(copied, paths), isMentioned ? likelihood.mentioned : likelihood.no);
  }
  if (isBase) return paths.some(isSystemPath) ? likelihood.possible : likelihood.unlikely;
  if (isMentioned) return likelihood.mentioned;
  if (namesFolder(line, paths)) return likelihood.possible;
  return installs.test(line) ? likelihood.possible : likelihood.unlikely;
}

/** Whether a RUN line installs one of the programs by the distribution's package manager. */
export function installsPackage(line: string | undefined, paths: readonly string[]): boolean {
  if (line === undefined || !packageInstall.test(line)) return false;
  return paths.some((path) => mentions(line, path));
}

/** Whether a RUN line may well put another file in a path's place, or take it away. */
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

/** Reads a COPY or ADD line as the classic builder (`#(nop) COPY file:… in /app`) and BuildKit (`COPY a /app # buildkit`) write them. */
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
  // Relative to a working directory that the history does not tell.
  if (!destination.startsWith('/')) return likelihood.possible;
  if (paths.includes(target)) return likelihood.named;
  const inside = paths.filter((path) => target === '' || path.startsWith(`${target}/`));
  if (inside.length === 0) return likelihood.no;
  const names = new Set(sources.map(baseName));
  if (inside.some((path) => names.has(baseName(path)))) return likelihood.named;
  // `COPY rootfs/ /` brings files for everywhere, and seldom the program.
  return target === '' ? likelihood.possible : likelihood.likely;
}

function wordsOf(line: string): readonly string[] {
  return line.split(/[\s;&|"'()=]/u).map((word) => word.replace(/\/\*?$/u, ''));
}

// `rm -r /opt/tools` takes /opt/tools/bin/server with it.
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

/** What an image's own words say about its distribution's C library. Words can lie: a hint is no knowledge. */
export interface Hint {
  readonly libc: 'glibc' | 'musl' | 'other';
  readonly source: 'history' | 'label';
  /** The words. */
  readonly text: string;
}

// Lines as the official images' builds leave them (docker-library, debuerreotype, apko).
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

/** All hints of an image, those of the oldest history lines first. */
export function hintsOf(manifest: ImageManifest, config: ImageConfig): readonly Hint[] {
  const hints: Hint[] = [];
  for (const { createdBy } of config.history.slice(0, maxLines)) {
    const line = createdBy.slice(0, maxLine);
    const match = historyMarks.find(([mark]) => mark.test(line));
    if (match !== undefined) hints.push({ libc: match[1], source: 'history', text: shown(line, match[0]) });
  }
  for (const label of nameLabels) {
    const value = (manifest.annotations[label] ?? config.labels[label] ?? '').slice(0, maxLine);
    const match = nameMarks.find(([mark]) => mark.test(value));
    if (match !== undefined) hints.push({ libc: match[1], source: 'label', text: shownName(`${label}=${value}`) });
  }
  return hints;
}

/** The one C library that all hints agree on; undefined where they do not, or there are none. */
export function agreedHint(hints: readonly Hint[]): Hint | undefined {
  const [first] = hints;
  return hints.every((hint) => hint.libc === first?.libc) ? first : undefined;
}

/** Whether some RUN line installs what lets glibc programs run beside musl, and which it is. */
export function glibcOnMusl(config: ImageConfig): 'shim' | 'glibc' | undefined {
  const lines = config.history.slice(0, maxLines).map(({ createdBy }) => createdBy.slice(0, maxLine));
  if (lines.some((line) => /\b(?:gcompat|libc6-compat)\b/u.test(line))) return 'shim';
  return lines.some((line) => /\bglibc-\d|\bglibc\.apk|alpine-pkg-glibc/u.test(line)) ? 'glibc' : undefined;
}

function shown(line: string, mark: RegExp): string {
  const at = mark.exec(line)?.index ?? 0;
  return shownName(line.slice(Math.max(0, at - 20), at + 100).trim());
}
