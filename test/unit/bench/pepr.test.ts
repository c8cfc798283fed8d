import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { installPepr, startStoreServer, type StoreServer } from '../../../bench/pepr.ts';

const folder = mkdtempSync(join(tmpdir(), 'bench-pepr-'));
afterEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
});

/** Writes a program in the place of npm, which notes that it was called. */
function npm(body: string): string {
  const path = join(folder, 'npm');
  writeFileSync(path, `#!/bin/sh\necho "$@" >> ${join(folder, 'calls')}\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe('Pepr', () => {
  const cache = (): string => join(folder, 'cache');
  const said: string[] = [];
  beforeEach(() => {
    said.length = 0;
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => said.push(String(text)) > 0);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('is installed once, in a version that is pinned', () => {
    const command = npm('touch "$3/package.json"');
    const installed = installPepr(cache(), command);
    expect(installed).toBe(join(cache(), 'pepr-1.1.4'));
    expect(readdirSync(installed ?? '')).toEqual(['package.json']);
    expect(installPepr(cache(), command)).toBe(installed);
    expect(readFileSync(join(folder, 'calls'), 'utf8')).toMatch(/^install --prefix \S+ .*pepr@1\.1\.4\n$/);
    expect(said).toEqual([]);
  });

  it.each([
    ['npm fails', 'echo "npm error code E404" >&2; touch "$3/half"; exit 1', 'npm ended with 1: npm error code E404'],
    ['npm is not there', undefined, 'ENOENT'],
  ])('is left out, with the reason, if %s', (_, body, why) => {
    const command = body === undefined ? join(folder, 'nothing') : npm(body);
    expect(installPepr(cache(), command)).toBeUndefined();
    expect(said).toEqual([expect.stringContaining(why)]);
    expect(readdirSync(cache())).toEqual([]);
  });
});

describe("the stand-in for Pepr's API server", () => {
  let stores: StoreServer;
  beforeEach(async () => {
    stores = await startStoreServer();
  });
  afterEach(async () => {
    await stores.close();
  });
  const path = '/apis/pepr.dev/v1/namespaces/pepr-system/peprstores';
  const store = expect.objectContaining({
    metadata: expect.objectContaining({ name: 'pepr-bench-store' }),
    data: {},
  });

  it.each(['GET', 'PATCH'])('has an empty store of each name: %s', async (method) => {
    const answer = await fetch(`${stores.url}${path}/pepr-bench-store`, { method });
    expect(await answer.json()).toEqual(store);
  });

  it('lists the store that is asked for', async () => {
    const answer = await fetch(`${stores.url}${path}?fieldSelector=metadata.name%3Dpepr-bench-store`);
    expect(await answer.json()).toEqual({ metadata: { resourceVersion: '1' }, items: [store] });
  });

  it('answers a watch at once, and tells of no change', async () => {
    const { ok, body } = await fetch(`${stores.url}${path}?watch=true`);
    expect(ok).toBe(true);
    const reader = body?.getReader();
    const silence = new Promise((resolve) => {
      setTimeout(resolve, 50, 'silence');
    });
    const told = reader?.read().catch(() => 'closed');
    expect(await Promise.race([told, silence])).toBe('silence');
  });

  it('has nothing else', async () => {
    expect((await fetch(`${stores.url}/api/v1/pods`)).status).toBe(404);
  });
});
