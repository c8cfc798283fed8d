import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Lints one file of one line at `path` with the project's own rules. */
async function lint(path: string, line: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-lint-'));
  try {
    const rules = JSON.parse(readFileSync(join(root, '.oxlintrc.json'), 'utf8')) as Record<string, unknown>;
    writeFileSync(join(folder, '.oxlintrc.json'), JSON.stringify({ ...rules, $schema: undefined, options: {} }));
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), `${line}\n`);
    const oxlint = join(root, 'node_modules', '.bin', 'oxlint');
    const { stdout } = await promisify(execFile)(oxlint, [path], { cwd: folder }).catch(
      (error: { stdout: string }) => error,
    );
    return stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('the lint rule that keeps the floors', () => {
  it.each([
    ['src/util/x.ts', "export { x } from '../policy/x.ts';"],
    ['src/policy/x.ts', "export { x } from '../detection/x.ts';"],
    ['src/policy/x.ts', "export { x } from '../util/x.ts';"],
    ['src/policy/x.ts', "export { readFile } from 'node:fs';"],
    ['src/policy/x.ts', "export { z } from 'zod';"],
    ['src/exposure/x.ts', "export { x } from '../kubernetes/x.ts';"],
    ['src/exposure/x.ts', "export type { X } from '../audit/x.ts';"],
    ['src/exposure/x.ts', "export { readFile } from 'node:fs';"],
    ['src/resolv-conf/x.ts', "export { x } from '../policy/x.ts';"],
    ['src/config/x.ts', "export { x } from '../detection/x.ts';"],
    ['src/telemetry/x.ts', "export { x } from '../admission/x.ts';"],
    ['src/kubernetes/x.ts', "export { x } from '../cluster/x.ts';"],
    ['src/kubernetes/x.ts', "export type { X } from '../config/x.ts';"],
    ['src/detection/x.ts', "export { x } from '../registry/x.ts';"],
    ['src/detection/x.ts', "export { x } from '../inspection/x.ts';"],
    ['src/inspection/x.ts', "export { x } from '../registry/x.ts';"],
    ['src/inspection/formats/x.ts', "export { x } from '../../admission/x.ts';"],
    ['src/registry/x.ts', "export { x } from '../cluster/x.ts';"],
    ['src/registry/auth/x.ts', "export type { X } from '../../image-libc/x.ts';"],
    ['src/image-libc/x.ts', "export { x } from '../warm-up/x.ts';"],
    ['src/warm-up/x.ts', "export { x } from '../cluster/x.ts';"],
    ['src/certificates/x.ts', "export { x } from '../admission/x.ts';"],
    ['src/cluster/x.ts', "export { x } from '../doctor/view/x.ts';"],
    ['src/terminal/x.ts', "export { x } from '../commands/x.ts';"],
    ['src/admission/x.ts', "export { x } from '../manifests/x.ts';"],
    ['src/admission/x.ts', "export type { X } from '../commands/x.ts';"],
    ['src/manifests/x.ts', "export { x } from '../admission/x.ts';"],
    ['src/archives/x.ts', "export { x } from '../manifests/x.ts';"],
    ['src/registry/x.ts', "export { x } from '../archives/x.ts';"],
    ['src/audit/x.ts', "export { x } from '../doctor/x.ts';"],
    ['src/audit/findings/x.ts', "export { x } from '../../commands/x.ts';"],
    ['src/doctor/dns/x.ts', "export type { X } from '../../app/x.ts';"],
    ['src/commands/x.ts', "export { x } from '../app/x.ts';"],
    ['src/commands/x.ts', "export { x } from '../main.ts';"],
    ['src/app/x.ts', "export { x } from '../main.ts';"],
  ])('bites: %s with %s', async (path, line) => {
    expect(await lint(path, line)).toContain('no-restricted-imports');
  });

  it.each([
    ['src/policy/x.ts', "export { x } from './y.ts';"],
    ['src/exposure/x.ts', "export { x } from '../util/x.ts';"],
    ['src/resolv-conf/x.ts', "export type { X } from '../policy/x.ts';"],
    ['src/kubernetes/x.ts', "export { x } from '../util/x.ts';"],
    ['src/kubernetes/x.ts', "export { x } from '../telemetry/x.ts';"],
    ['src/detection/x.ts', "export { x } from '../policy/x.ts';"],
    ['src/inspection/x.ts', "export { x } from '../detection/x.ts';"],
    ['src/registry/hosts/x.ts', "export { x } from '../http/x.ts';"],
    ['src/registry/x.ts', "export { request } from 'undici';"],
    ['src/cluster/x.ts', "export { x } from '../kubernetes/x.ts';"],
    ['src/terminal/x.ts', "export { x } from '../config/x.ts';"],
    ['src/admission/x.ts', "export type { X } from '../certificates/x.ts';"],
    ['src/audit/html/x.ts', "export { x } from '../../policy/x.ts';"],
    ['src/doctor/x.ts', "export { x } from '../audit/x.ts';"],
    ['src/app/x.ts', "export { x } from '../doctor/x.ts';"],
    ['src/main.ts', "export { x } from './app/x.ts';"],
  ])('lets through: %s with %s', async (path, line) => {
    expect(await lint(path, line)).not.toContain('no-restricted-imports');
  });
});

describe('a folder of src', () => {
  const MOST_FILES = 12;
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.ts'),
  );
  const folders = Map.groupBy(sources, (path) => join('src', path, '..'));

  it.each([...folders].map(([folder, files]) => [folder, files.length]))('%s has at most twelve files', (_, count) => {
    expect(count).toBeLessThanOrEqual(MOST_FILES);
  });
});
