import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { isShipped, nameOf, problemsOf, type Lockfile, type PackageJson } from './lockfile.ts';
import { npmAudit } from './npm-audit.ts';

/**
 * `node test/supply-chain/main.ts [--audit] [--notices]`: licences, hashes and install scripts of all packages; offline. `--audit` also
 * asks the registry for known vulnerabilities, and says so where it cannot. `--notices` prints the licences of what is shipped.
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
  const shipped = Object.entries(lockfile.packages).filter(([folder, entry]) => folder !== '' && isShipped(entry));
  return shipped
    .map(([folder, { version, license }]) => `${nameOf(folder)} ${version} (${license})\n\n${licenceText(folder)}\n`)
    .join(`\n${'-'.repeat(80)}\n\n`);
}

/** `428 packages, 92 of them shipped, …`. */
function checked(): string {
  const packages = Object.entries(lockfile.packages).filter(([folder]) => folder !== '');
  const shipped = packages.filter(([, entry]) => isShipped(entry)).length;
  return `supply chain: ${packages.length} packages, ${shipped} of them shipped; origin, hash, licence and install scripts of each`;
}

async function vulnerabilities(): Promise<boolean> {
  const result = await npmAudit();
  if (result.outcome === 'unknown') {
    console.error(`\n!! KNOWN VULNERABILITIES WERE NOT CHECKED: ${result.why}\n`);
    return true;
  }
  for (const one of result.found) console.error(`VULNERABLE ${one}`);
  if (result.outcome === 'clean') console.error('supply chain: no known vulnerability of high or critical severity');
  return result.outcome === 'clean';
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { audit: { type: 'boolean' }, notices: { type: 'boolean' } } });
  if (values.notices) {
    console.log(notices());
    return 0;
  }
  const problems = problemsOf(lockfile, read('package.json') as PackageJson);
  for (const problem of problems) console.error(`WRONG ${problem}`);
  console.error(`${checked()}: ${problems.length} problems`);
  if (!values.audit) console.error('known vulnerabilities: not asked for (--audit)');
  const clean = values.audit ? await vulnerabilities() : true;
  return problems.length === 0 && clean ? 0 : 1;
}

process.exitCode = await main();
