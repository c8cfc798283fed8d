import { normalizePath, shownName } from '../overlay.ts';
import { isKnown } from '../shell/run/values.ts';
import type { FileAt, World } from '../shell/run/world.ts';
import { folderOf, type ImageFiles } from './image-files.ts';
import { baseName, candidatePaths, type Invocation, isCommonWord, joinPath, type Place } from './invocation.ts';
import { interpreterOf, isAppletName, isUtilityCall } from './known-programs.ts';
import type { Found, Located, Outcome, Program } from './outcome.ts';

/** A process of an image, as Buildpacks' label lists it. */
export interface Process {
  readonly type: string | undefined;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly direct: boolean;
  readonly isDefault: boolean;
  /** Undefined for the application's. */
  readonly workingDir: string | undefined;
}

/** What an image tells of its Buildpacks. */
export interface Buildpacks {
  readonly processes: readonly Process[];
  /** Their directories below `/layers`, in the order of the build. */
  readonly directories: readonly string[];
  /** Directories of layers that the history names, such as `/layers/paketo-buildpacks_node-engine/node`. */
  readonly layers: readonly string[];
}

/** What is followed for one container. */
export interface Follower extends World {
  readonly files: ImageFiles;
  readonly buildpacks: Buildpacks;
  /** Files that running commands may have written. */
  readonly touched: ReadonlySet<string>;
  /** What running commands copied, moved or linked: from the new path to the old one. */
  readonly copies: ReadonlyMap<string, string>;
}

/** Reports whether a word names an executable of the image. */
export function isProgram(follower: Follower, invocation: Invocation, word: string): boolean {
  if (!isKnown(word) || word === '' || /^[\w-]*$/u.test(word) === word.includes('/')) return false;
  follower.spend(1);
  const located = locate(follower, { ...invocation, argv: [word] });
  return located.status === 'found' && (located.content.kind === 'elf' || located.content.kind === 'script');
}

export function locate({ files, copies }: Pick<Follower, 'files' | 'copies'>, invocation: Place): Located {
  const paths = candidatePaths(invocation);
  const copied = paths.map((path) => sourceOf(copies, path)).find((path) => path !== undefined);
  const [name = ''] = invocation.argv;
  const located: Located =
    paths.length === 0
      ? { status: 'absent', name }
      : files.locate(paths.map((path) => `${invocation.root ?? ''}${path}`));
  const source = copied !== undefined && located.status !== 'found' ? files.locate([copied]) : undefined;
  if (source?.status === 'found') return source;
  const isOpen = !name.includes('/') && !isKnown(invocation.env.get('PATH') ?? '');
  if (located.status !== 'absent' || !isOpen) return located;
  return { status: 'hidden', why: `${shownName(name)}, for which PATH is known only while it runs` };
}

/** Returns the path that a path, or a directory above it, was copied from or links to; undefined if it was not. */
function sourceOf(copies: Follower['copies'], path: string): string | undefined {
  if (copies.size === 0) return undefined;
  let at = `/${normalizePath(path)}`;
  const whole = at;
  for (; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
    const source = copies.get(at);
    if (source !== undefined) return source + whole.slice(at.length);
  }
  return undefined;
}

/** Looks at a file, also at one that a running command copied there. */
export function fileAt({ files, copies }: Pick<Follower, 'files' | 'copies'>, path: string, wanted?: boolean): FileAt {
  const file = files.at(path, wanted);
  const source = file.type === 'file' ? undefined : sourceOf(copies, path);
  const copied = source === undefined ? undefined : files.at(source, wanted);
  return copied?.type === 'file' ? { ...copied, linked: false, path: `/${normalizePath(path)}` } : file;
}

/** Returns the path by which a script is called: that is its `$0`. */
export function askedPath(follower: Follower, invocation: Invocation): string {
  const paths = candidatePaths(invocation);
  return (
    paths.find((path) => follower.files.locate([`${invocation.root ?? ''}${path}`]).status === 'found') ??
    paths[0] ??
    ''
  );
}

/** Reports whether a program only has the name of a tool: those with a common word as their name are not made by Go. */
export function isNamesake(follower: Follower, invocation: Invocation): boolean {
  if (!isCommonWord(baseName(invocation.argv[0] ?? ''))) return false;
  const located = locate(follower, invocation);
  // It is looked for first.
  if (located.status === 'unseen' && located.paths.length === 1 && follower.files.isNamed(located)) return true;
  const finding = located.status === 'found' && located.content.kind === 'elf' ? located.content.finding : undefined;
  return finding?.kind === 'static' ? finding.runtime === 'go' : finding?.kind === 'dynamic' && finding.go;
}

/** Steps of going over the names of all files. */
export const listCost = 500;

const isTouched = ({ touched }: Follower, folder: string): boolean =>
  [...touched].some((path) => path.startsWith(folder));

export function filesMatching(follower: Follower, pattern: string): readonly string[] | undefined {
  follower.spend(listCost);
  if (isTouched(follower, folderOf(pattern))) return undefined;
  const { paths, complete } = follower.files.matching(pattern);
  return complete ? paths : undefined;
}

export function filesBelow(follower: Follower, directory: string, end: string): readonly string[] | undefined {
  follower.spend(listCost);
  const path = `/${normalizePath(directory)}`;
  // It has more than the image's own files.
  if (path === '/') return undefined;
  const there = follower.files.at(path);
  if (there.type === 'absent') return [];
  // A link is not gone into.
  if (there.type !== 'directory' || there.path !== path || isTouched(follower, `${path}/`)) return undefined;
  const { paths, complete } = follower.files.list(directory, end);
  return complete ? paths : undefined;
}

export function whichPath(files: ImageFiles, invocation: Place): string | undefined {
  return candidatePaths(invocation).find((path) => files.at(path).type === 'file');
}

// The variables by which a Go program chooses its resolver (net/conf.go).
const choosing = ['GODEBUG', 'RES_OPTIONS', 'HOSTALIASES', 'LOCALDOMAIN'];

export function programOf(follower: Follower, invocation: Invocation, at: Located): Program {
  const [name = '', ...words] = invocation.argv;
  const located = writtenMeanwhile(follower, invocation, at);
  const isBusybox = baseName(name) === 'busybox';
  const isUtility = isUtilityCall(isBusybox ? (words[0] ?? '') : baseName(name), isBusybox ? words.slice(1) : words);
  const runBy = located.status === 'unseen' ? runnerOf(follower, invocation) : undefined;
  const variables = choosing.map((variable) => invocation.env.get(variable));
  const place = located.status === 'found' ? located.path : JSON.stringify(located);
  return {
    key: JSON.stringify([located.status, place, invocation.loader, variables, isUtility]),
    located,
    env: invocation.env,
    isUtility,
    direct: invocation.direct === true,
    ...(invocation.loader !== undefined && { loader: invocation.loader }),
    ...(runBy !== undefined && { runBy }),
  };
}

/** Returns what runs a program of this name that was not seen; undefined if its name does not tell. */
function runnerOf(follower: Follower, invocation: Invocation): Located | undefined {
  const name = baseName(invocation.argv[0] ?? '');
  const interpreter = interpreterOf(name);
  if (interpreter !== undefined) return locate(follower, { ...invocation, argv: [interpreter] });
  if (!isAppletName(name)) return undefined;
  const shell = locate(follower, { ...invocation, argv: ['/bin/sh'] });
  const isBusybox = shell.status === 'found' && baseName(shell.path) === 'busybox';
  return isBusybox || shell.status === 'unseen' ? shell : undefined;
}

function writtenMeanwhile({ touched }: Follower, { directory, argv }: Invocation, located: Located): Located {
  if (located.status !== 'absent') return located;
  const path = joinPath(directory, argv[0] ?? '');
  return touched.has(path)
    ? { status: 'hidden', why: `${shownName(path)}, which is made while the container runs` }
    : located;
}

/** Returns an outcome that is as doubtful as the script that led to it. */
export function addDoubts(outcome: Outcome, script: Found): Outcome {
  const add = (program: Program): Program => {
    const { located } = program;
    if (located.status !== 'found') return program;
    const doubts = [...new Set([...located.doubts, ...script.doubts])];
    const rivals = script.doubts.length === 0 ? located.rivals : [...new Set([...located.rivals, ...script.rivals])];
    const entries = [...new Set([...located.entries, ...script.entries])];
    return { ...program, located: { ...located, entries, doubts, rivals } };
  };
  return { ...outcome, stays: outcome.stays.map(add), beside: outcome.beside.map(add) };
}
