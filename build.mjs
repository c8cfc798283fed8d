// Bundles src/main.ts and its dependencies into one file that Node runs alone: dist/main.js.
import { chmodSync } from 'node:fs';
import { build } from 'esbuild';

/**
 * Of client-node only KubeConfig is used, and of its 700 generated files two: a bundler cannot leave out the rest by itself.
 * The build fails where KubeConfig needs more.
 */
const onlyKubeConfig = {
  name: 'only-kube-config',
  setup({ onResolve, onLoad, resolve }) {
    const config = '@kubernetes/client-node/dist/config.js';
    onResolve({ filter: /^@kubernetes\/client-node$/ }, ({ resolveDir, kind }) =>
      resolve(config, { resolveDir, kind }),
    );
    onLoad({ filter: /client-node\/dist\/gen\/index\.js$/ }, () => ({
      contents: `export { createConfiguration } from './configuration.js'; export { ServerConfiguration } from './servers.js';`,
    }));
  },
};

await build({
  entryPoints: ['src/main.ts'],
  outfile: 'dist/main.js',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  // Names stay: they are worth their bytes in stack traces, and giving them back at run time (keepNames) costs 12 MB and time.
  minifyWhitespace: true,
  minifySyntax: true,
  // Cloud identities: loaded where they are configured, from a node_modules beside the bundle (docs/pull-secrets.md).
  external: ['@aws-sdk/client-ecr', 'google-auth-library', '@azure/identity'],
  legalComments: 'none',
  plugins: [onlyKubeConfig],
  // CommonJS dependencies call require().
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
chmodSync('dist/main.js', 0o755);
