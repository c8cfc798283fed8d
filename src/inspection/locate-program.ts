import { baseName, candidatePaths, type Invocation, isShell, joinPath, lookThrough } from './command/invocation.ts';
import { scriptInterpreter, scriptTarget, type ScriptTarget } from './command/script.ts';
import { type FileContent, type LayerIndex, type Resolution, resolvePath } from './overlay.ts';

/** Why another program than the one found may resolve names. */
type Reservation =
  /** It is one of several commands of a shell text. */
  | 'one-of-several'
  /** It is the shell of a script that starts other programs. */
  | 'script-body'
  /** It starts the services that its files name, and resolves nothing itself. */
  | 'supervisor';

/** Where a container's program is, as far as the layers are known. */
export type Located =
  | {
      readonly status: 'found';
      readonly path: string;
      readonly content: FileContent;
      readonly layer: number;
      /** The entry of the layer that has the bytes: another path if the program is a hard link. */
      readonly origin: string;
      /** Layers that may hold another file which hides this one. */
      readonly doubts: readonly number[];
      /** Paths of such a file. */
      readonly rivals: readonly string[];
      readonly reservations: readonly Reservation[];
      readonly loader?: string;
      /** Environment that it runs in. */
      readonly env: ReadonlyMap<string, string>;
      /** The first word of the command line alone names it: no wrapper, shell or script led to it. */
      readonly direct: boolean;
    }
  /** The program, or a script that leads to it, may be at one of `paths`, in one of `layers`. */
  | { readonly status: 'unseen'; readonly paths: readonly string[]; readonly layers: readonly number[] }
  | { readonly status: 'absent'; readonly name: string };

const maxHops = 8;
// s6-overlay ships static musl programs on every distribution, which says nothing about the services.
const supervisors = /^(?:execlineb|s6-[\w-]+|runsvdir|runsv|runit|runit-init|svscan)$/u;

type Found = Extract<Located, { status: 'found' }>;

/** Finds the program that an invocation ends up in; follows wrappers, shells, scripts, PATH and links. Pure. */
export function locateProgram(
  layers: readonly LayerIndex[],
  first: Invocation,
  reservations: readonly Reservation[] = [],
  hops = 0,
): Located {
  const invocation = lookThrough(first);
  const noted = withReservations(reservations, invocation);
  const target = hops > 0 ? undefined : shellScript(layers, invocation);
  if (target?.status === 'unseen') return target;
  if (target?.status === 'found' && target.content.kind === 'script') {
    return throughScript(layers, invocation, { ...target, reservations: noted }, hops);
  }
  const found = findOne(layers, candidatePaths(invocation));
  if (found.status !== 'found') return found;
  const here: Found = {
    ...found,
    reservations: noted,
    env: invocation.env,
    direct: hops === 0 && invocation === first && !runsShell(first),
    ...(invocation.loader !== undefined && { loader: invocation.loader }),
  };
  return found.content.kind === 'script' ? throughScript(layers, invocation, here, hops) : here;
}

function throughScript(layers: readonly LayerIndex[], invocation: Invocation, script: Found, hops: number): Located {
  if (hops >= maxHops || script.content.kind !== 'script') return { status: 'absent', name: script.path };
  const words = argumentsOf(invocation, script);
  const target = scriptTarget(script.content.script, `/${script.path}`, words, invocation.env);
  if (target.kind === 'program') {
    const next = { ...invocation, argv: target.argv };
    const located = addDoubts(locateProgram(layers, next, script.reservations, hops + 1), script);
    if (located.status !== 'absent') return located;
  }
  const argv =
    target.kind === 'interpreter'
      ? target.argv
      : scriptInterpreter(script.content.script, `/${script.path}`, words).argv;
  const reservations = isOpaque(target) ? withReservation(script.reservations, 'script-body') : script.reservations;
  return addDoubts(locateProgram(layers, { ...invocation, argv }, reservations, hops + 1), script);
}

function isOpaque(target: ScriptTarget): boolean {
  return target.kind === 'program' || target.opaque;
}

/** Finds the script file that a shell is given; undefined if the invocation names none. */
function shellScript(layers: readonly LayerIndex[], invocation: Invocation): Located | undefined {
  const path = shellScriptPath(invocation);
  return path === undefined ? undefined : findOne(layers, [path]);
}

const runsShell = ({ argv: [program = ''] }: Invocation): boolean => isShell(baseName(program));

/** Returns the file that a shell reads its commands from: `/entrypoint.sh` of `sh /entrypoint.sh ARGS`. */
function shellScriptPath(invocation: Invocation): string | undefined {
  if (!runsShell(invocation)) return undefined;
  const [, ...words] = invocation.argv;
  const script = words.find((word) => !/^[-+]/u.test(word));
  const isText = words.some((word) => /^-[a-z]*c/u.test(word));
  return script === undefined || script === '' || isText ? undefined : joinPath(invocation.directory, script);
}

function argumentsOf(invocation: Invocation, script: Found): readonly string[] {
  const named = shellScriptPath(invocation);
  const [, ...words] = invocation.argv;
  if (named === undefined || script.loader !== undefined) return words;
  return words.slice(words.findIndex((word) => !/^[-+]/u.test(word)) + 1);
}

function findOne(layers: readonly LayerIndex[], candidates: readonly string[]): Located {
  const unseen: Extract<Resolution, { status: 'unseen' }>[] = [];
  for (const candidate of candidates) {
    const resolved = resolvePath(layers, candidate);
    if (resolved.status === 'unseen') unseen.push(resolved);
    if (resolved.status !== 'found' || resolved.node.type !== 'file') continue;
    const before = unseen.flatMap((earlier) => earlier.layers).filter((layer) => layer !== resolved.layer);
    return {
      status: 'found',
      path: resolved.path,
      content: resolved.node.content,
      layer: resolved.layer,
      origin: resolved.origin,
      doubts: [...new Set([...resolved.doubts, ...before])],
      rivals: [...unseen.map((earlier) => earlier.path), resolved.path],
      reservations: [],
      env: new Map(),
      direct: false,
    };
  }
  const [first = '', ...others] = candidates;
  if (unseen.length === 0) return { status: 'absent', name: others.length === 0 ? first : baseName(first) };
  return {
    status: 'unseen',
    paths: unseen.map(({ path }) => path),
    layers: [...new Set(unseen.flatMap((one) => one.layers))],
  };
}

function addDoubts(located: Located, script: Found): Located {
  if (located.status !== 'found') return located;
  const doubts = [...new Set([...located.doubts, ...script.doubts])];
  return { ...located, doubts, rivals: [...new Set([...located.rivals, ...script.rivals])] };
}

function withReservation(reservations: readonly Reservation[], added: Reservation): readonly Reservation[] {
  return reservations.includes(added) ? reservations : [...reservations, added];
}

function withReservations(before: readonly Reservation[], invocation: Invocation): readonly Reservation[] {
  const several = invocation.oneOfSeveral ? withReservation(before, 'one-of-several') : before;
  const isSupervisor = supervisors.test(baseName(invocation.argv[0] ?? ''));
  return isSupervisor ? withReservation(several, 'supervisor') : several;
}
