/** One package of package-lock.json, as far as it is judged. */
export interface LockedPackage {
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
  readonly optional?: boolean;
  readonly peer?: boolean;
  readonly hasInstallScript?: boolean;
}

export interface Lockfile {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export interface PackageJson {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
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
const TOOLS = [...SHIPPED, 'MPL-2.0', 'CC0-1.0', 'CC-BY-4.0'];

/** The registry that all packages come from, where the lock file names one. */
const REGISTRY = 'https://registry.npmjs.org/';

/** `fastify` of `node_modules/a/node_modules/fastify`. */
export const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

/** Whether a package comes with the product, and not with its tools alone. */
export const isShipped = ({ dev, devOptional, optional }: LockedPackage): boolean => !dev && !devOptional && !optional;

function problemsOfPackage(path: string, entry: LockedPackage, allowScripts: readonly string[]): string[] {
  const problems: string[] = [];
  const allowed = isShipped(entry) ? SHIPPED : TOOLS;
  if (entry.license === undefined) problems.push('no licence');
  else if (!allowed.includes(entry.license)) problems.push(`licence ${entry.license}`);
  if (!/^sha512-[A-Za-z0-9+/]{86}==$/.test(entry.integrity ?? '')) problems.push('no SHA-512 of what is installed');
  if (entry.link === true) problems.push('a link to a folder');
  if (entry.resolved !== undefined && !entry.resolved.startsWith(REGISTRY)) problems.push(`from ${entry.resolved}`);
  if (entry.hasInstallScript === true && !allowScripts.includes(nameOf(path))) problems.push('an install script');
  return problems.map((problem) => `${nameOf(path)} ${entry.version ?? ''}: ${problem}`);
}

/** What is wrong with the packages that a lock file names; offline. */
export function problemsOf({ lockfileVersion, packages }: Lockfile, packageJson: PackageJson): string[] {
  const allowScripts = Object.entries(packageJson.allowScripts ?? {})
    .filter(([, allowed]) => allowed)
    .map(([name]) => name);
  const direct = { ...packageJson.dependencies, ...packageJson.devDependencies, ...packageJson.optionalDependencies };
  return [
    ...(lockfileVersion === 3 ? [] : [`lockfileVersion ${lockfileVersion}, not 3`]),
    ...Object.entries(direct).flatMap(([name, wanted]) => {
      const locked = packages[`node_modules/${name}`]?.version;
      if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(wanted)) return [`${name}: ${wanted} is not one version`];
      return locked === wanted ? [] : [`${name}: ${wanted} is wanted, ${locked ?? 'nothing'} is locked`];
    }),
    ...Object.entries(packages).flatMap(([path, entry]) =>
      path === '' ? [] : problemsOfPackage(path, entry, allowScripts),
    ),
  ];
}
