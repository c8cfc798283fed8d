import type { ImageConfig, ImageManifest } from '../detection/image-source.ts';
import { baseName } from './command/invocation.ts';
import { normalizePath, parentOf, shownName } from './overlay.ts';

/** How likely it is that a layer holds a program; higher is likelier. */
export const likelihood = { no: -1, unlikely: 0, possible: 1, mentioned: 2, likely: 3, named: 4 } as const;

// Characters of one line, and of all lines of an image: official images have a few thousand.
const maxLine = 16 * 1024;
const maxText = 128 * 1024;
const maxLines = 1024;
// A gzip layer of an empty tar takes 32 bytes, one with a single small file more than 100.
const emptyBytes = 64;
const systemDirectories = new Set(['bin', 'sbin', 'usr/bin', 'usr/sbin', 'usr/lib', 'lib', 'lib64', 'usr/lib64']);
const installs =
  /\b(?:apk|apt-get|apt|dnf|yum|microdnf|zypper|pip3?|npm|gem|curl|wget|make|cargo|go (?:build|install)|tar)\b/u;

const fetching = /(?:^|RUN|-c|[;&|(])\s{0,20}(?:curl|wget|unzip|dpkg|rpm|go|cargo)\b/u;

/** What made a layer, in words: prepared once, for it is asked about many paths. */
export interface HistoryLine {
  /** What a COPY or ADD brings; undefined for any other line. */
  readonly copy: Copy | undefined;
  readonly text: string;
  /** Paths in the line, without the slash at the beginning and the end. */
  readonly places: ReadonlySet<string>;
  /** The last component of each word. */
  readonly names: ReadonlySet<string>;
  /** It installs something. */
  readonly installs: boolean;
  /** It installs with the distribution's package manager. */
  readonly installsPackage: boolean;
  /** It builds and installs with make. */
  readonly makes: boolean;
  /** It fetches something ready-made, or builds with Go or Rust. What `make` builds is linked to the image's C library. */
  readonly fetches: boolean;
  /** It deletes, moves, links or copies something. */
  readonly changes: boolean;
  /** It starts a script of its own, which may write anything. */
  readonly runsScript: boolean;
}

/** Prepares a history line. */
export function historyLine(text: string): HistoryLine {
  const words = new Set(text.split(/[\s;&|"'()=]/u).map((word) => word.replace(/\/\*?$/u, '')));
  return {
    copy: copyOf(text),
    text,
    places: new Set([...words].filter((word) => word.startsWith('/')).map((word) => word.slice(1))),
    names: new Set([...words].map(baseName)),
    installs: installs.test(text),
    installsPackage: packageInstall.test(text),
    makes: /\bmake\b[^;&|]{0,200}\binstall\b/u.test(text),
    fetches: fetching.test(text) && !/\b(?:make|gcc)\b/u.test(text),
    changes: /\b(?:rm|mv|ln|cp|install|unlink)\b/u.test(text),
    runsScript: ownScript.test(text.replace(/^(?:RUN )?\/bin\/(?:ba)?sh -\w+ /u, 'RUN ')),
  };
}

/**
 * Returns the history line that made each layer, base first; undefined for one without words or after the first 128 Ki
 * characters, and for all if their numbers differ.
 */
export function layerHistory(manifest: ImageManifest, config: ImageConfig): readonly (HistoryLine | undefined)[] {
  // Builders that make one layer of several lines (buildah) call the others empty.
  if (
    config.history.some(({ createdBy, emptyLayer }) => emptyLayer && copyOf(createdBy.slice(0, maxLine)) !== undefined)
  )
    return manifest.layers.map(() => undefined);
  const made = config.history.filter((entry) => !entry.emptyLayer);
  if (made.length !== manifest.layers.length) return manifest.layers.map(() => undefined);
  const texts = boundedTexts(made.map(({ createdBy }) => createdBy));
  return made.map((_, layer) => {
    const text = texts[layer]?.trim() ?? '';
    return text === '' || (layer > 0 && !isBuilders(text)) ? undefined : historyLine(text);
  });
}

// Dockerfile instructions, as Docker, BuildKit, Kaniko and buildah write them; a shell's text; jib, ko, Bazel, Buildpacks, apko.
const builders =
  /^(?:RUN|COPY|ADD|ENV|ARG|LABEL|USER|WORKDIR|VOLUME|EXPOSE|SHELL|CMD|ENTRYPOINT|HEALTHCHECK|STOPSIGNAL|ONBUILD|FROM)\b|(?:^|\s)-\w{0,8}c\s|^(?:jib|ko|bazel|buildpacks?|apko|umoci|crane|nix\w{0,8})\b|\bbuildpacks?\b|^Layer:|^#/iu;

/** Reports whether a builder wrote a history line. That of `docker commit` is the container's command, whatever was changed. */
const isBuilders = (text: string): boolean => builders.test(text) || buildpacksDestination(text) !== undefined;

/** Returns the texts, each cut, as far as the bound on all of them allows. */
function boundedTexts(texts: readonly string[]): readonly string[] {
  const bounded: string[] = [];
  let left = maxText;
  for (const text of texts) {
    left -= Math.min(text.length, maxLine);
    if (left < 0) break;
    bounded.push(text.slice(0, maxLine));
  }
  return bounded;
}

/** Wanted paths: prepared once, for many lines are asked about them. */
interface Wanted {
  readonly names: ReadonlySet<string>;
  /** The folders that hold them. */
  readonly folders: ReadonlySet<string>;
}

const prepared = new WeakMap<readonly string[], Wanted>();
// No history line names a longer one.
const maxFolder = 256;

function wantedOf(paths: readonly string[]): Wanted {
  const known = prepared.get(paths);
  if (known !== undefined) return known;
  const folders = new Set<string>();
  for (const path of paths) {
    for (let folder = parentOf(path.slice(0, maxFolder)); folder !== ''; folder = parentOf(folder)) folders.add(folder);
  }
  const wanted = { names: new Set(paths.map(baseName)), folders };
  prepared.set(paths, wanted);
  return wanted;
}

/** Reports whether distributions put their programs at such a path. */
function isSystemPath(path: string): boolean {
  return systemDirectories.has(parentOf(path)) || path.startsWith('usr/lib/') || path === 'etc/profile';
}

/** Returns how likely the layer made by `line` holds one of `paths`. `isBase`: it is the oldest layer. */
export function layerLikelihood(
  line: HistoryLine | undefined,
  size: number,
  paths: readonly string[],
  isBase: boolean,
): number {
  if (size > 0 && size < emptyBytes) return likelihood.no;
  if (isBase) return paths.some(isSystemPath) ? likelihood.possible : likelihood.unlikely;
  if (line === undefined) return likelihood.possible;
  const isMentioned = mentions(line, paths);
  if (line.copy !== undefined) {
    return Math.max(copyLikelihood(line.copy, paths), isMentioned ? likelihood.mentioned : likelihood.no);
  }
  if (isMentioned) return likelihood.mentioned;
  if (namesFolder(line, paths)) return likelihood.possible;
  return line.installs || line.runsScript ? likelihood.possible : likelihood.unlikely;
}

// What a RUN line starts that is no well-known tool may write anywhere: a script of its own, a shell.
const ownScript = /(?:^|[;&|(]|RUN|-c|-x|\bset -\w+)\s{0,20}(?:[\w.-]{0,40}\/\S|[\w.-]{1,40}\.sh\b|(?:ba|da|a)?sh\s)/u;

/**
 * Reports whether a layer may hold files of a directory that no package of a distribution fills, such as a supervisor's services.
 */
export function mayFill(line: HistoryLine | undefined, size: number, directory: string, isBase: boolean): boolean {
  if (size > 0 && size < emptyBytes) return false;
  if (line === undefined) return true;
  if (line.copy !== undefined) return copyLikelihood(line.copy, [endOf(directory)]) >= likelihood.possible;
  if (isBase) return !historyMarks.some(([mark]) => mark.test(line.text));
  const namesFile = [...line.places].some((place) => place.startsWith(`${directory}/`));
  return namesFile || namesFolder(line, [endOf(directory)]) || line.runsScript;
}

/** Reports whether a RUN line installs one of the programs with the distribution's package manager. */
export function installsPackage(line: HistoryLine | undefined, paths: readonly string[]): boolean {
  return line?.installsPackage === true && mentions(line, paths);
}

/** Reports whether a RUN line fetches one of the programs, so that it need not be the distribution's. */
export function fetchesProgram(line: HistoryLine | undefined, paths: readonly string[]): boolean {
  return line?.fetches === true && mentions(line, paths);
}

/** Reports whether a RUN line may well replace or delete one of the files. */
export function mayReplace(line: HistoryLine | undefined, paths: readonly string[]): boolean {
  if (line === undefined || line.copy !== undefined) return false;
  if (line.makes) return true;
  return line.changes && (namesFolder(line, paths) || overlap(wantedOf(paths).names, line.names));
}

// Repetitions are bounded: without that, a line of nothing but beginnings would take quadratic time.
const packageInstall =
  /\b(?:apk (?:--[\w-]{1,40} ){0,8}add|(?:apt-get|apt|dnf|microdnf|tdnf|yum|zypper) (?:-\S{1,80} ){0,8}install)\b/u;

interface Copy {
  /** The last component of each source. */
  readonly names: ReadonlySet<string>;
  readonly destination: string;
}

/**
 * Reads a COPY or ADD line as the classic builder (`#(nop) COPY file:… in /app`) and BuildKit (`COPY a /app #
 * buildkit`) write them.
 */
function copyOf(line: string): Copy | undefined {
  const exported = buildpacksDestination(line);
  if (exported !== undefined) return { names: new Set(), destination: exported };
  const classic = /^\/bin\/sh -c #\(nop\) {1,8}(?:COPY|ADD) /u.exec(line);
  if (classic !== null) {
    const at = line.lastIndexOf(' in ');
    if (at < classic[0].length) return undefined;
    return { names: namesOf(line.slice(classic[0].length, at).split(' ')), destination: line.slice(at + 4).trim() };
  }
  if (!/^(?:COPY|ADD) /u.test(line)) return undefined;
  const words = line.split(' ').filter((word) => word !== '');
  const comment = words.indexOf('#');
  const operands = words.slice(1, comment === -1 ? undefined : comment).filter((word) => !word.startsWith('--'));
  const destination = operands.at(-1);
  return destination === undefined ? undefined : { names: namesOf(operands.slice(0, -1)), destination };
}

// https://github.com/buildpacks/lifecycle/blob/main/layers/factory.go
const exportedTo: Readonly<Record<string, string>> = {
  'Application Layer': '/workspace',
  'Buildpacks Application Launcher': '/cnb/lifecycle',
  'Buildpacks Launcher Config': '/layers/config',
  'Buildpacks Process Types': '/cnb/process',
  'Software Bill-of-Materials': '/layers/sbom',
};

/** Returns the directory of a layer that Buildpacks made. */
function buildpacksDestination(line: string): string | undefined {
  const [, layer = '', id] =
    /^Layer: '([\w.-]{1,200})', Created by buildpack: ([\w./-]{1,200})(?:@|$)/u.exec(line) ?? [];
  if (id !== undefined) return `/layers/${id.replaceAll('/', '_')}/${layer}`;
  if (/^Application Slice: \d+$/u.test(line)) return exportedTo['Application Layer'];
  return Object.hasOwn(exportedTo, line) ? exportedTo[line] : undefined;
}

/** Returns the directories of Buildpacks' layers below `/layers` that the history names, in its order. */
export function buildpacksLayers(history: readonly (HistoryLine | undefined)[]): readonly string[] {
  const found = history.map(
    (line) => /^\/layers\/(?!config|sbom)[^/]+\/[^/]+/u.exec(line?.copy?.destination ?? '')?.[0],
  );
  return [...new Set(found.filter((path) => path !== undefined))];
}

const namesOf = (words: readonly string[]): ReadonlySet<string> => new Set(words.map(baseName));

// Sorts behind the names of files.
const endName = '~';

/** Returns a path behind all that a directory may hold. A search for it reads the whole directory. */
export const endOf = (directory: string): string => `${directory}/${endName}`;

/** Reports whether a path is one of `endOf`. */
export const isEndOf = (path: string): boolean => path.endsWith(`/${endName}`);

const isBelow = (target: string, end: string): boolean => target.startsWith(end.slice(0, -endName.length));

function copyLikelihood({ names, destination }: Copy, paths: readonly string[]): number {
  const target = normalizePath(destination);
  // A relative destination depends on a working directory that the history line does not give.
  if (!destination.startsWith('/')) return likelihood.possible;
  if (paths.includes(target) || paths.some((path) => isEndOf(path) && isBelow(target, path))) return likelihood.named;
  const folder = target === '' ? '' : `${target}/`;
  const inside = paths.filter((path) => path.startsWith(folder));
  if (inside.length === 0) return likelihood.no;
  if (inside.some((path) => names.has(baseName(path)))) return likelihood.named;
  // `COPY rootfs/ /` brings files for many places, and seldom the program.
  return target === '' ? likelihood.possible : likelihood.likely;
}

// `rm -r /opt/tools` deletes /opt/tools/bin/server too.
function namesFolder({ places }: HistoryLine, paths: readonly string[]): boolean {
  return overlap(wantedOf(paths).folders, places);
}

function overlap(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  const [small, large] = one.size < other.size ? [one, other] : [other, one];
  return [...small].some((text) => large.has(text));
}

function mentions({ text }: HistoryLine, paths: readonly string[]): boolean {
  return [...wantedOf(paths).names].some((given) => {
    const name = given.replaceAll(/[^\w.-]/gu, '');
    if (name.length < 2) return false;
    const at = text.indexOf(name);
    return at !== -1 && !/\w/u.test(text[at - 1] ?? ' ') && !/\w/u.test(text[at + name.length] ?? ' ');
  });
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
  [/alpine-minirootfs|\bapk (?:--[\w-]{1,40} ){0,8}(?:add|upgrade)\b/u, 'musl'],
  [/BusyBox [\d.]+ \(uclibc\)/u, 'other'],
  [/BusyBox [\d.]+ \(musl\)/u, 'musl'],
  [/BusyBox [\d.]+ \(glibc\)/u, 'glibc'],
  [
    /debian\.sh --arch|debuerreotype|ubuntu-[\w.-]{0,40}(?:base|oci|rootfs)|\bapt-get (?:-\w{1,40} ){0,8}(?:install|update)\b/u,
    'glibc',
  ],
  [/\b(?:(?:micro|t)?dnf|yum) (?:-\w{1,40} ){0,8}install\b|\bzypper\b/u, 'glibc'],
];

const nameMarks: readonly (readonly [RegExp, Hint['libc']])[] = [
  [/alpine/u, 'musl'],
  [
    /debian|ubuntu|bookworm|trixie|bullseye|wolfi|fedora|rockylinux|almalinux|amazonlinux|\bubi\d|centos|opensuse/u,
    'glibc',
  ],
];

const nameLabels = ['org.opencontainers.image.base.name', 'org.opencontainers.image.ref.name'];

/** Returns all hints of an image: from its history, oldest line first, then from its labels. */
export function hintsOf(manifest: ImageManifest, config: ImageConfig): readonly Hint[] {
  const hints: Hint[] = [];
  for (const line of linesOf(config)) {
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
  const lines = linesOf(config);
  if (lines.some((line) => /\b(?:gcompat|libc6-compat)\b/u.test(line))) return 'shim';
  return lines.some((line) => /\bglibc-\d|\bglibc\.apk|alpine-pkg-glibc/u.test(line)) ? 'glibc' : undefined;
}

const linesOf = ({ history }: ImageConfig): readonly string[] =>
  boundedTexts(history.slice(0, maxLines).map(({ createdBy }) => createdBy));

function excerpt(line: string, mark: RegExp): string {
  const at = mark.exec(line)?.index ?? 0;
  return shownName(line.slice(Math.max(0, at - 20), at + 100).trim());
}
