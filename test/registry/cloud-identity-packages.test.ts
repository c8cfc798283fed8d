import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { cloudPackages } from '../../src/registry/cloud/identities.ts';

let directory: string;
let bundled: readonly string[];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bundle-'));
  const { metafile } = await build({
    entryPoints: ['src/main.ts'],
    outfile: join(directory, 'main.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    external: Object.values(cloudPackages),
    banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
    metafile: true,
    logLevel: 'silent',
  });
  bundled = Object.keys(metafile.inputs);
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

/** Runs the bundle where nothing is installed, or what is installed here. */
async function detect(identities: string) {
  const config = join(directory, 'config.yaml');
  // The look-up itself ends at once: nothing is asked.
  await writeFile(config, JSON.stringify({ detection: { registry: { identities: [identities], deny: ['*'] } } }));
  const args = [join(directory, 'main.mjs'), 'detect', 'registry.example/app', '--config', config];
  return await promisify(execFile)(process.execPath, args, { env: { PATH: '' } }).then(
    ({ stderr }) => ({ code: 0, stderr }),
    (error: { code: number; stderr: string }) => error,
  );
}

describe("a cloud's package", () => {
  it('is no part of the bundle', () => {
    const names = Object.values(cloudPackages).map((name) => `node_modules/${name}/`);
    expect(bundled.filter((path) => names.some((name) => path.includes(name)))).toEqual([]);
  });

  it.each(Object.entries(cloudPackages))('that %s needs is asked for at the start: %s', async (cloud, name) => {
    const { code, stderr } = await detect(cloud);
    expect(code).toBe(2);
    expect(stderr).toContain(`detection.registry.identities: ${cloud}: not installed: ${name}`);
    expect(stderr).toContain(`npm install ${name}`);
    expect(stderr).not.toContain('    at ');
  });

  it('is found beside the bundle', async () => {
    await symlink(resolve('node_modules'), join(directory, 'node_modules'));
    for (const cloud of Object.keys(cloudPackages)) {
      const { stderr } = await detect(cloud);
      expect(stderr).not.toContain('not installed');
    }
  });
});
