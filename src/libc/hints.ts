import type { ImageConfig, ImageManifest } from '../detection/image-source.ts';
import { shownName } from './image-path.ts';

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
