import { baseName } from './command-line.ts';
import type { LayerIndex, LayerNode } from './layer-index.ts';
import { resolvePath } from './layered-view.ts';
import { loaderLibc, type LoaderLibc } from './loader.ts';

/** What stands in an image at a loader's path. */
export type LoaderState =
  | {
      readonly status: 'seen';
      readonly libc: LoaderLibc;
      readonly why: string;
      /** Only a table of contents names it: its bytes may yet say something else. */
      readonly unread?: { readonly layer: number; readonly path: string };
    }
  | { readonly status: 'absent' }
  | { readonly status: 'unseen'; readonly paths: readonly string[]; readonly layers: readonly number[] };

/**
 * Resolves an interpreter's path in the image. gcompat and libc6-compat put musl behind glibc's loader's name: a link to
 * musl's loader, or a program that musl's loader runs (gcompat libgcompat/loader.c). glibc's own loader has no interpreter.
 */
export function resolveLoader(layers: readonly LayerIndex[], interpreter: string): LoaderState {
  const found = resolvePath(layers, interpreter);
  if (found.status === 'unseen') return { status: 'unseen', paths: [found.path], layers: found.layers };
  if (found.status === 'absent' || found.node.type !== 'file') return { status: 'absent' };
  const name = baseName(found.path);
  const why = `which is /${found.path}`;
  if (/gcompat/u.test(name)) return { status: 'seen', libc: 'musl', why };
  const { content } = found.node;
  if (content.kind === 'elf' && content.finding.kind === 'dynamic') {
    return {
      status: 'seen',
      libc: loaderLibc(content.finding.interpreter),
      why: `run by ${content.finding.interpreter}`,
    };
  }
  if (/^(?:ld-musl-|libc\.musl-|libc\.so$)/u.test(name)) return { status: 'seen', libc: 'musl', why };
  const unread = content.kind === 'unread' ? { unread: { layer: found.layer, path: found.path } } : {};
  return { status: 'seen', libc: loaderLibc(interpreter), why, ...unread };
}

/** Whether something in the image shows that musl is its distribution's C library. */
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
