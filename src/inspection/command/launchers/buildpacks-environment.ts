import { compareText } from '../../../util/text.ts';
import { UNKNOWN } from '../../shell/run/values.ts';
import type { FileAt } from '../../shell/run/world.ts';
import { type Follower, listCost } from '../follower.ts';
import { baseName } from '../invocation.ts';

/** Where Buildpacks' launcher looks, and for which process. */
export interface LaunchPlace {
  /** `$CNB_LAYERS_DIR`: `/layers`. */
  readonly root: string;
  /** The buildpacks' directories in it, in the order of the build; others come last. */
  readonly buildpacks: readonly string[];
  /** Empty for a command line that is no process of the image. */
  readonly type: string;
  /** Bash runs a text, which may use all variables. */
  readonly isText: boolean;
}

/** What the launcher takes from the layers. */
export interface LaunchLayers {
  readonly env: ReadonlyMap<string, string>;
  /** Programs of `exec.d`, or files out of reach, may set other variables. */
  readonly isOpen: boolean;
  /** All layers are known, or the history names them: PATH has all their programs. */
  readonly isReached: boolean;
  /** Files of `profile.d`, which bash reads in this order. */
  readonly profiles: readonly string[];
}

/**
 * Reads the buildpacks' layers as the launcher does
 * (https://github.com/buildpacks/spec/blob/main/buildpack.md, "Launch" and "Environment Variable Modification Rules").
 */
export function launchLayers(follower: Follower, given: ReadonlyMap<string, string>, place: LaunchPlace): LaunchLayers {
  const files = (folder: string): readonly string[] =>
    place.type === '' ? [`${folder}/*`] : [`${folder}/*`, `${folder}/${place.type}/*`];
  const named = follower.buildpacks.layers.filter((layer) => layer.startsWith(`${place.root}/`));
  const roots = find(follower, place, ['bin'], [named.map((layer) => `${layer}/bin`)]);
  const variables = find(follower, place, ['env/*', ...files('env.launch')]);
  const profiles = find(follower, place, files('profile.d'));
  const programs = find(follower, place, files('exec.d'));
  const env = new Map(given);
  for (const buildpack of new Set([...roots.entries, ...variables.entries].toSorted(byOrder).map(({ rank }) => rank))) {
    const own = ({ entries }: Found): readonly Entry[] => entries.filter(({ rank }) => rank === buildpack);
    for (const { path } of own(roots)) change(env, 'PATH', 'prepend', path, ':');
    for (const { path } of own(variables)) setVariable(follower, env, path);
  }
  return {
    env,
    isReached: roots.isComplete || named.length > 0,
    isOpen: programs.entries.length > 0 || ![roots, variables, programs].every(({ isComplete }) => isComplete),
    profiles: profiles.entries.map(({ path }) => path),
  };
}

interface Entry {
  readonly path: string;
  /** The buildpack's place in the order, and its directory. */
  readonly rank: string;
  readonly layer: string;
  /** Which pattern it matches. */
  readonly turn: number;
}

interface Found {
  readonly entries: readonly Entry[];
  readonly isComplete: boolean;
}

const mostFiles = 256;

/** Returns what is in the layers at these places, in the order in which the launcher comes to it. */
function find(
  follower: Follower,
  { root, buildpacks, isText }: LaunchPlace,
  patterns: readonly string[],
  named: readonly (readonly string[])[] = [],
): Found {
  const found = patterns.map((pattern) => {
    follower.spend(listCost);
    return follower.files.matching(`${root}/*/*/${pattern}`, { most: mostFiles, wanted: isText });
  });
  const entries = found.flatMap(({ paths }, turn) =>
    [...new Set([...paths, ...(named[turn] ?? [])])].map((path): Entry => {
      const [buildpack = '', layer = ''] = path.slice(root.length + 1).split('/', 2);
      const at = buildpacks.indexOf(buildpack);
      const rank = `${String(at === -1 ? buildpacks.length : at).padStart(4, '0')} ${buildpack}`;
      return { path, rank, layer, turn };
    }),
  );
  return { entries: entries.toSorted(byOrder), isComplete: found.every(({ complete }) => complete) };
}

const byOrder = (one: Entry, other: Entry): number =>
  compareText(one.rank, other.rank) ||
  compareText(one.layer, other.layer) ||
  one.turn - other.turn ||
  compareText(one.path, other.path);

/** Follows a file `NAME` or `NAME.ACTION`. */
function setVariable({ files }: Follower, env: Map<string, string>, path: string): void {
  const file = files.at(path, true);
  if (file.type === 'directory') return;
  const [name = '', action = 'override'] = baseName(path).split('.', 2);
  const separator = files.at(`${path.slice(0, path.lastIndexOf('/'))}/${name}.delim`, true);
  change(env, name, action, textOf(file), separator.type === 'absent' ? '' : textOf(separator));
}

const textOf = (file: FileAt): string => (file.type === 'file' ? (file.text ?? UNKNOWN) : UNKNOWN);

function change(env: Map<string, string>, name: string, action: string, value: string, separator: string): void {
  const before = env.get(name) ?? '';
  const between = before === '' ? '' : separator;
  if (action === 'prepend') env.set(name, value + between + before);
  else if (action === 'append') env.set(name, before + between + value);
  else if (action === 'override' || (action === 'default' && before === '')) env.set(name, value);
}
