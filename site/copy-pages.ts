import { cpSync, globSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { PAGES, SITE_FILES } from './addresses.ts';

/** Copies the pages of the site, and their pictures, from the repository: they become modules that import Vue, which is installed here alone. */
const ROOT = join(import.meta.dirname, '..');

rmSync(PAGES, { recursive: true, force: true });
for (const file of globSync(SITE_FILES, { cwd: ROOT })) cpSync(join(ROOT, file), join(PAGES, file));
