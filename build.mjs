// Bundles src/main.ts and its dependencies into one file that Node runs alone: dist/main.js.
import { chmodSync } from 'node:fs';
import { build } from 'esbuild';

/** client-node's package.json does not say so: its 700 generated models do nothing but exist, and are left out unused. */
const unusedModels = {
  name: 'unused-models',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^(@kubernetes\/client-node$|\.)/ }, async ({ path, pluginData, ...place }) => {
      const concerns = path.startsWith('@') || place.importer.includes('@kubernetes/client-node');
      if (!concerns || pluginData === unusedModels) return undefined;
      const found = await resolve(path, { ...place, pluginData: unusedModels });
      return { ...found, sideEffects: false };
    });
  },
};

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
  // Cloud identities: loaded where they are configured, from a node_modules beside the bundle (docs/pull-secrets.md).
  external: ['@aws-sdk/client-ecr', 'google-auth-library', '@azure/identity'],
  legalComments: 'none',
  plugins: [unusedModels],
  // CommonJS dependencies call require().
  banner: {
    js: "import { createRequire as __require } from 'node:module'; const require = __require(import.meta.url);",
  },
  logLevel: 'warning',
});
chmodSync('dist/main.js', 0o755);
