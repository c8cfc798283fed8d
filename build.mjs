// Bundles src/main.ts and its dependencies into one file that Node runs alone: dist/main.js.
import { chmodSync } from 'node:fs';
import { build } from 'esbuild';

await build({
  entryPoints: ['src/main.ts'],
  outfile: 'dist/main.js',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  minify: true,
  // Names in stack traces are worth their bytes.
  keepNames: true,
  legalComments: 'none',
  // CommonJS dependencies call require().
  banner: {
    js: "import { createRequire as __require } from 'node:module'; const require = __require(import.meta.url);",
  },
  logLevel: 'warning',
});
chmodSync('dist/main.js', 0o755);
