import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { findProgram } from '../../../bench/others.ts';

describe('a program to compare with', () => {
  let folder: string;
  const said: string[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'bench-others-'));
    said.length = 0;
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => said.push(String(text)) > 0);
    // Without what this machine may have, but with the shell's tools.
    vi.stubEnv('PATH', '/usr/bin:/bin');
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.restoreAllMocks();
    rmSync(folder, { recursive: true });
  });

  /** Writes a program in the place of go. */
  function go(body: string): string {
    const path = join(folder, 'go');
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
    return path;
  }

  it('is taken from the folder of what was built', () => {
    writeFileSync(join(folder, 'syft'), '');
    expect(findProgram('syft', folder, go('exit 1'))).toBe(join(folder, 'syft'));
    expect(said).toEqual([]);
  });

  it('is built there from its module, with a version that is pinned', () => {
    const command = go('echo "$@" > "$GOBIN/called"');
    expect(findProgram('syft', folder, command)).toBe(join(folder, 'syft'));
    expect(readFileSync(join(folder, 'called'), 'utf8')).toMatch(
      /^install github\.com\/anchore\/syft\/cmd\/syft@v[\d.]+\n$/,
    );
  });

  it('has no row if it cannot be built, and the reason is told', () => {
    expect(findProgram('syft', folder, go('echo first >&2; echo "no space left" >&2; exit 1'))).toBeUndefined();
    expect(said).toEqual(['!! syft is not here and was not built: no space left; it has no row\n']);
  });

  it('has no row if nothing says how to build it', () => {
    expect(findProgram('no-such-program', folder)).toBeUndefined();
    expect(said).toEqual(['!! no-such-program is not here; it has no row\n']);
  });
});
