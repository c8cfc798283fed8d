/** One package of package-lock.json, as far as it is judged. */
export interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}

export interface Lockfile {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export interface PackageJson {
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}

/** Licences that ask for no more than their text, in what we ship. */
const SHIPPED = [
  'Apache-2.0',
  'MIT',
  'ISC',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'BlueOak-1.0.0',
  'Unlicense',
  'PSF-2.0',
];

/** In tools, of which nothing is shipped, also those that ask for changes to be published. */
const TOOLS = [...SHIPPED, 'MIT/X11', '(Apache-2.0 AND BSD-3-Clause)', 'MPL-2.0', 'CC0-1.0', 'CC-BY-4.0'];

/** The registry that all packages come from, where the lock file names one. */
const REGISTRY = 'https://registry.npmjs.org/';

/** `fastify` of `node_modules/a/node_modules/fastify`. */
export const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

function problemsOfPackage(
  path: string,
  entry: LockedPackage,
  { shipped, allowScripts }: { readonly shipped: readonly string[]; readonly allowScripts: readonly string[] },
): string[] {
  const problems: string[] = [];
  const allowed = shipped.includes(path) ? SHIPPED : TOOLS;
  if (entry.license === undefined) problems.push('no licence');
  else if (!allowed.includes(entry.license)) problems.push(`licence ${entry.license}`);
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(entry.integrity ?? '')) problems.push('no SHA-512 of what is installed');
  if (entry.link === true) problems.push('a link to a folder');
  if (entry.resolved !== undefined && !entry.resolved.startsWith(REGISTRY)) problems.push(`from ${entry.resolved}`);
  if (entry.hasInstallScript === true && !allowScripts.includes(nameOf(path))) problems.push('an install script');
  return problems.map((problem) => `${nameOf(path)} ${entry.version ?? ''}: ${problem}`);
}

/** Returns what is wrong with the packages that a lock file names; offline. `shipped`: paths of the packages in the bundle. */
export function problemsOf(
  { lockfileVersion, packages }: Lockfile,
  packageJson: PackageJson,
  shipped: readonly string[],
): string[] {
  const allowScripts = Object.entries(packageJson.allowScripts ?? {})
    .filter(([, allowed]) => allowed)
    .map(([name]) => name);
  return [
    ...(lockfileVersion === 3 ? [] : [`lockfileVersion ${lockfileVersion}, not 3`]),
    ...Object.entries(packageJson.devDependencies).flatMap(([name, wanted]) => {
      const locked = packages[`node_modules/${name}`]?.version;
      if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(wanted)) return [`${name}: ${wanted} is not one version`];
      return locked === wanted ? [] : [`${name}: ${wanted} is wanted, ${locked ?? 'nothing'} is locked`];
    }),
    ...Object.entries(packages).flatMap(([path, entry]) =>
      path === '' ? [] : problemsOfPackage(path, entry, { shipped, allowScripts }),
    ),
  ];
}
