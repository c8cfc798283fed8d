import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, it } from 'vitest';

const RUN = fileURLToPath(new URL('../../../.ci/run', import.meta.url));

it('.ci/run needs neither HOME nor a locale, and no habits of its user: the first step has all of them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'libc-dns-ci-'));
  const stand = (name: string, text: string): void => {
    const file = join(folder, name);
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
  };
  try {
    for (const name of ['apt-get', 'go']) stand(name, 'exit 0');
    stand('npm', 'echo "$HOME $LANG $(umask)"; exit 7');
    const { stdout, stderr, status } = spawnSync('bash', ['-c', `umask 077; exec ${RUN}`], {
      env: { PATH: `${folder}:/usr/bin:/bin`, GOBIN: folder },
      encoding: 'utf8',
      timeout: 30_000,
    });
    expect(stderr).not.toContain('unbound variable');
    expect(stdout).toMatch(/^\/\S+ C\.UTF-8 0022$/mu);
    expect(status).toBe(7);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
