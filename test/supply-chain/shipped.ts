import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { nameOf, type Lockfile } from './lockfile.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A CycloneDX list of components, as far as it is read. */
interface Sbom {
  readonly metadata: { readonly component: { readonly 'bom-ref': string } };
  readonly components: readonly { readonly 'bom-ref': string; readonly properties?: readonly unknown[] }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** Builds the bundle, and returns the paths of the packages that have a part in it: `node_modules/undici`. */
export function shippedPackages(): readonly string[] {
  execFileSync(process.execPath, ['build.mjs'], { cwd: ROOT });
  return JSON.parse(readFileSync(new URL('../../dist/packages.json', import.meta.url), 'utf8')) as string[];
}

/** Returns what `npm sbom` lists of all packages without those that are not shipped. `shipped`: `undici@8.12.4`. */
export function shippedSbom(all: Sbom, shipped: readonly string[]): Sbom {
  const components = all.components
    .filter((component) => shipped.includes(component['bom-ref']))
    // npm marks them as development dependencies, which they are only until they are bundled.
    .map(({ properties: _marks, ...component }) => component);
  const refs = [all.metadata.component['bom-ref'], ...shipped];
  const dependencies = all.dependencies
    .filter(({ ref }) => refs.includes(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => refs.includes(other)) }));
  return { ...all, components, dependencies };
}

/** Lists what is in the bundle. Throws if `npm sbom` fails, or does not know one of the packages. */
export function sbom({ packages }: Lockfile): Sbom {
  const args = ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx'];
  const all = execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  const shipped = shippedPackages().map((path) => `${nameOf(path)}@${packages[path]?.version}`);
  const list = shippedSbom(JSON.parse(all) as Sbom, shipped);
  const listed = list.components.map((component) => component['bom-ref']);
  const missing = shipped.filter((ref) => !listed.includes(ref));
  if (missing.length > 0) throw new Error(`npm sbom does not list ${missing.join(', ')}`);
  return list;
}
