import { buildpacksOf } from '../../src/inspection/command/launchers/buildpacks.ts';
import { follow } from '../../src/inspection/command/follow.ts';
import { imageFiles } from '../../src/inspection/command/image-files.ts';
import { firstInvocation, type PodRun } from '../../src/inspection/command/invocation.ts';
import type { Program } from '../../src/inspection/command/outcome.ts';
import { type LayerIndex, layerIndex } from '../../src/inspection/overlay.ts';

/** Programs of the image by path: `elf`, `go`, the text of a script, or `->target`. */
export type Files = Readonly<Record<string, string>>;

export const elf = 'elf';
/** A program made by Go. */
export const go = 'go';
const base: Files = {
  'bin/sh': '->dash',
  'bin/dash': elf,
  'bin/bash': elf,
  'usr/bin/env': elf,
  'bin/sleep': elf,
  'bin/cat': elf,
  'usr/bin/tail': elf,
  'usr/bin/curl': elf,
  'usr/bin/nc': elf,
  'usr/bin/python3': elf,
  'usr/local/bin/gosu': elf,
  'app/server': elf,
  'app/other': elf,
  'app/migrate': elf,
};

export function layerOf(files: Files): LayerIndex {
  const layer = layerIndex();
  for (const [path, value] of Object.entries(files)) {
    if (value.startsWith('->')) layer.add(path, { type: 'symlink', target: value.slice(2) });
    else {
      const content =
        value === elf
          ? ({ kind: 'elf', finding: { kind: 'static', runtime: 'glibc', why: '', codeSeen: true } } as const)
          : value === go
            ? ({ kind: 'elf', finding: { kind: 'static', runtime: 'go', libc: 'none', why: '' } } as const)
            : value.startsWith('#!')
              ? ({ kind: 'script', text: value, whole: true } as const)
              : ({ kind: 'plain', text: value } as const);
      layer.add(path, { type: 'file', executable: true, content });
    }
  }
  layer.complete = true;
  return layer;
}

export interface Setting {
  readonly files?: Files;
  readonly env?: readonly string[];
  readonly workingDir?: string;
  readonly user?: string;
  readonly pod?: Partial<PodRun>;
  readonly mounts?: readonly string[];
  /** The label of Buildpacks. */
  readonly processes?: string;
}

const name = ({ located }: Program): string =>
  located.status === 'found' ? located.path : located.status === 'unseen' ? `?${located.paths.join()}` : located.status;

/** Returns what a command line leads to: what stays, what runs beside after `&`, what has passed after `<`. */
export function leads(argv: readonly string[], setting: Setting = {}): string {
  const { files = {}, env = [], workingDir = '/', user, pod, mounts = [], processes = '' } = setting;
  const path = 'PATH=/usr/local/bin:/usr/bin:/bin';
  const config = { entrypoint: argv, cmd: [], env: [path, ...env], workingDir, ...(user !== undefined && { user }) };
  const first = firstInvocation(config, { command: [], args: [], ...pod });
  const layers = [layerOf({ ...base, ...files })];
  const given = {
    buildpacks: { ...buildpacksOf({ 'io.buildpacks.build.metadata': processes }), layers: [] },
    architecture: 'amd64',
  };
  const { stays, beside, passing } = follow(imageFiles(layers, mounts), first, given, { left: 1_000_000 });
  const list = (mark: string, programs: readonly Program[]): string =>
    programs.length === 0 ? '' : ` ${mark} ${programs.map(name).join(' ')}`;
  return stays.map(name).join(' ') + list('&', beside) + list('<', passing);
}
