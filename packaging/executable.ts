import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { NODE_VERSION, PLATFORMS } from './platforms.ts';

/** The platform of this machine, `linux-x64`. */
export const THIS_PLATFORM = `${process.platform}-${process.arch}`;

const CACHE = join(homedir(), '.cache', 'libc-dns-webhook');

/** Returns the SRI hash of a file. */
const integrityOf = (content: Buffer): string => `sha512-${createHash('sha512').update(content).digest('base64')}`;

/** Fetches Node for another platform from the npm registry. Throws if it is not the one that we know. */
function fetchNode(platform: string): string {
  const found = PLATFORMS[platform];
  if (found === undefined) throw new Error(`${platform}: expected one of ${Object.keys(PLATFORMS).join(', ')}`);
  const cached = join(CACHE, `node-${NODE_VERSION}-${platform}`);
  if (existsSync(cached)) return cached;
  const { name, integrity } = found;
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-node-'));
  try {
    execFileSync('npm', ['pack', '--silent', `${name}@${NODE_VERSION}`, '--pack-destination', folder]);
    const archive = join(folder, `${name}-${NODE_VERSION}.tgz`);
    const got = integrityOf(readFileSync(archive));
    if (got !== integrity) throw new Error(`${name} ${NODE_VERSION}: the hash is ${got}, expected ${integrity}`);
    execFileSync('tar', ['-xzf', archive, '-C', folder, 'package/bin/node']);
    mkdirSync(CACHE, { recursive: true });
    renameSync(join(folder, 'package/bin/node'), cached);
  } finally {
    rmSync(folder, { recursive: true });
  }
  return cached;
}

/**
 * Builds the executable of a platform at `output`: Node with the bundle inside
 * (https://nodejs.org/api/single-executable-applications.html). Throws if Node for the platform cannot be had.
 */
export function buildExecutable(bundle: string, platform: string, output: string): void {
  if (process.versions.node !== NODE_VERSION) {
    throw new Error(
      `this is Node ${process.versions.node}, and ${NODE_VERSION} goes into the executable: npm run package`,
    );
  }
  mkdirSync(dirname(output), { recursive: true });
  const config = `${output}.json`;
  writeFileSync(
    config,
    JSON.stringify({
      main: bundle,
      mainFormat: 'module',
      output,
      executable: platform === THIS_PLATFORM ? process.execPath : fetchNode(platform),
      disableExperimentalSEAWarning: true,
    }),
  );
  execFileSync(process.execPath, ['--build-sea', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  rmSync(config);
  chmodSync(output, 0o755);
  if (!platform.startsWith('darwin-')) return;
  // macOS starts nothing unsigned on arm64; what was written into the file has broken Node's own signature.
  if (process.platform === 'darwin') execFileSync('codesign', ['--force', '--sign', '-', output], { stdio: 'inherit' });
  else
    console.error(
      `\n!! ${output} IS NOT SIGNED, so macOS will not start it: build it on macOS, or codesign it there\n`,
    );
}
