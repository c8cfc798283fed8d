import { baseName } from './command/invocation.ts';
import { type FileContent, type LayerIndex, type LayerNode, resolvePath } from './overlay.ts';

/** Which C library a dynamic loader belongs to. */
type LoaderLibc = 'glibc' | 'musl' | 'other';

/**
 * Returns the C library that a PT_INTERP path names by its file name. musl's loader is `ld-musl-<arch>.so.1` (musl
 * ldso); glibc's is `ld-linux*.so.N`, `ld64.so.N` or `ld.so.1` (glibc wiki, ABIList), `ld-2.NN.so` in old releases. All
 * others (klibc, uClibc, Android's linker) are `other`. The file at the path may be something else: see
 * `resolveLoader`.
 */
export function loaderLibc(interpreter: string): LoaderLibc {
  const name = baseName(interpreter);
  if (/^ld-musl-[\w.-]+$/u.test(name) || /^libc\.musl-[\w.-]+$/u.test(name)) return 'musl';
  if (/^ld-linux[\w.-]*\.so\.\d+$/u.test(name) || /^ld64\.so\.\d+$/u.test(name)) return 'glibc';
  return /^(?:ld-2\.\d+\.so|ld\.so\.1)$/u.test(name) ? 'glibc' : 'other';
}

/** The file at a loader's path in an image. */
export type LoaderState =
  | {
      readonly status: 'seen';
      readonly libc: LoaderLibc;
      readonly why: string;
      /** Only a table of contents lists it: its bytes may say something else. */
      readonly unread?: { readonly layer: number; readonly path: string };
    }
  | { readonly status: 'absent' }
  | { readonly status: 'unseen'; readonly paths: readonly string[]; readonly layers: readonly number[] };

/**
 * Resolves an interpreter's path in the image. gcompat and libc6-compat put musl at the path of glibc's loader: as a
 * link to musl's loader, or a program that musl's loader runs (gcompat libgcompat/loader.c). glibc's own loader has no
 * interpreter. `muslImage`: the image's distribution uses musl, so that an uncertain static program counts as musl.
 */
export function resolveLoader(layers: readonly LayerIndex[], interpreter: string, muslImage: boolean): LoaderState {
  const found = resolvePath(layers, interpreter);
  const place = found.status === 'found' ? found.origin : found.path;
  const why = `which is /${place}`;
  // A link's target tells by its name, even if the file was not seen.
  if (found.status !== 'absent' && isMuslName(baseName(place))) return { status: 'seen', libc: 'musl', why };
  if (found.status === 'unseen') return { status: 'unseen', paths: [found.path], layers: found.layers };
  if (found.status === 'absent' || found.node.type !== 'file') return { status: 'absent' };
  const { content } = found.node;
  if (content.kind === 'unread') {
    const unread = { layer: found.layer, path: found.origin };
    return { status: 'seen', libc: loaderLibc(interpreter), why, unread };
  }
  return loaderOfContent(content, muslImage) ?? { status: 'seen', libc: loaderLibc(interpreter), why };
}

function loaderOfContent(content: FileContent, muslImage: boolean): LoaderState | undefined {
  if (content.kind !== 'elf') return undefined;
  const { finding, judgement } = content;
  if (finding.kind === 'dynamic') {
    return { status: 'seen', libc: loaderLibc(finding.interpreter), why: `run by ${finding.interpreter}` };
  }
  if (judgement?.libc !== 'musl' || !(judgement.sure || muslImage)) return undefined;
  return { status: 'seen', libc: 'musl', why: 'which is a static program of musl' };
}

function isMuslName(name: string): boolean {
  return /^(?:ld-musl-|libc\.musl-|libc\.so$)|gcompat/u.test(name);
}

/** Reports whether a file of the image shows that its distribution uses musl. */
export function showsMusl(layers: readonly LayerIndex[]): boolean {
  return layers.some((layer) => {
    if (layer.get('etc/alpine-release') !== undefined) return true;
    const shell = layer.get('bin/busybox');
    return (shell !== undefined && isMuslProgram(shell)) || hasMuslLoader(layer);
  });
}

function hasMuslLoader(layer: LayerIndex): boolean {
  return ['x86_64', 'aarch64', 'armhf', 'i386', 'ppc64le', 's390x', 'riscv64'].some(
    (machine) => layer.get(`lib/ld-musl-${machine}.so.1`) !== undefined,
  );
}

function isMuslProgram(node: LayerNode): boolean {
  if (node.type !== 'file' || node.content.kind !== 'elf') return false;
  const { finding } = node.content;
  return finding.kind === 'dynamic' && loaderLibc(finding.interpreter) === 'musl';
}
