import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { nameOf, problemsOf, type Lockfile, type PackageJson } from './lockfile.ts';
import { npmAudit } from './npm-audit.ts';
import { sbom, shippedPackages } from './shipped.ts';

/**
 * `node test/supply-chain/main.ts [--audit] [--notices | --sbom]`: licences, hashes and install scripts of all packages; offline. `--audit` also
 * asks the registry for known vulnerabilities, and says so where it cannot. `--notices` prints the licences of what is in the bundle, `--sbom` lists it
 * (CycloneDX).
 * Exit status 1: something is wrong.
 */

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const read = (name: string): unknown => JSON.parse(readFileSync(path(name), 'utf8'));

const lockfile = read('package-lock.json') as Lockfile;

function licenceText(folder: string): string {
  const file =
    existsSync(path(folder)) && readdirSync(path(folder)).find((name) => /^(licen[cs]e|copying)/i.test(name));
  return file ? readFileSync(path(`${folder}/${file}`), 'utf8').trim() : '(no text in the package)';
}

function notices(): string {
  return shippedPackages()
    .map((folder) => {
      const { version, license } = lockfile.packages[folder] ?? {};
      return `${nameOf(folder)} ${version} (${license})\n\n${licenceText(folder)}\n`;
    })
    .join(`\n${'-'.repeat(80)}\n\n`);
}

/** `428 packages, 92 of them shipped, …`. */
function checked(shipped: readonly string[]): string {
  const packages = Object.keys(lockfile.packages).length - 1;
  return `supply chain: ${packages} packages, ${shipped.length} of them shipped; origin, hash, licence and install scripts of each`;
}

async function vulnerabilities(shipped: readonly string[]): Promise<boolean> {
  const result = await npmAudit(shipped);
  if (result.outcome === 'unknown') {
    console.error(`\n!! KNOWN VULNERABILITIES WERE NOT CHECKED: ${result.why}\n`);
    return true;
  }
  for (const one of result.found) console.error(`VULNERABLE ${one}`);
  if (result.outcome === 'clean') console.error('supply chain: no known vulnerability of high or critical severity');
  return result.outcome === 'clean';
}

async function main(): Promise<number> {
  const isFlag = { type: 'boolean' } as const;
  const { values } = parseArgs({ options: { audit: isFlag, notices: isFlag, sbom: isFlag } });
  if (values.notices || values.sbom) {
    console.log(values.notices ? notices() : JSON.stringify(sbom(lockfile), undefined, 2));
    return 0;
  }
  const shipped = shippedPackages();
  const problems = problemsOf(lockfile, read('package.json') as PackageJson, shipped);
  for (const problem of problems) console.error(`WRONG ${problem}`);
  console.error(`${checked(shipped)}: ${problems.length} problems`);
  if (!values.audit) console.error('known vulnerabilities: not asked for (--audit)');
  const clean = values.audit ? await vulnerabilities(shipped.map(nameOf)) : true;
  return problems.length === 0 && clean ? 0 : 1;
}

process.exitCode = await main();
