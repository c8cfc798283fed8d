// Bundles src/main.ts and its dependencies into one file that Node runs alone, dist/main.js, and beside it the program that the
// server reads images with, dist/reader.js: that starts for each new need, and so holds nothing else. dist/otlp.js is loaded where
// traces are sent. `node build.mjs executable` bundles src/executable.ts instead, which is all of them. dist/packages.json lists the packages that have a part in it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { build } from 'esbuild';

/**
 * What dependencies bring that is never called, and what stands in its place: a bundler cannot leave it out by itself, and V8 keeps
 * in memory what was loaded. Names that are missing from a stand-in fail the build, calls of what is missing fail loudly.
 */
const STAND_INS = [
  // Of client-node's 700 generated files KubeConfig needs two.
  [
    /client-node\/dist\/gen\/index\.js$/,
    `export { createConfiguration } from './configuration.js'; export { ServerConfiguration } from './servers.js';`,
  ],
  // Requests go over connections of our own (src/kubernetes/kubeconfig.ts).
  [
    /client-node\/dist\/gen\/http\/isomorphic-fetch\.js$/,
    `export class IsomorphicFetchHttpLibrary { send() { throw new Error('fetch is not in this bundle: build.mjs'); } }`,
  ],
  // Error messages in English alone, of 50 languages.
  [/zod\/v4\/locales\/index\.js$/, `export { default as en } from './en.js';`],
  // The parts of undici that send requests; fetch, WebSocket, mocks and caches are others.
  [
    /undici\/index\.js$/,
    `import Dispatcher from './lib/dispatcher/dispatcher.js';
     import api from './lib/api/index.js';
     Object.assign(Dispatcher.prototype, api);
     export { default as Agent } from './lib/dispatcher/agent.js';
     export { default as Client } from './lib/dispatcher/client.js';
     export { default as Pool } from './lib/dispatcher/pool.js';
     export { default as ProxyAgent } from './lib/dispatcher/proxy-agent.js';
     export { default as Socks5ProxyAgent } from './lib/dispatcher/socks5-proxy-agent.js';
     export { default as buildConnector } from './lib/core/connect.js';
     export { default as errors } from './lib/core/errors.js';`,
  ],
  // HTTP/2 is never offered (allowH2).
  [/undici\/lib\/dispatcher\/client-h2\.js$/, `module.exports = ${missing('HTTP/2')};`],
  // No route of ours has a JSON schema.
  [/@fastify\/ajv-compiler\/index\.js$/, `module.exports = () => ${missing('validation by JSON schema')};`],
  [
    /@fastify\/fast-json-stringify-compiler\/index\.js$/,
    `module.exports = () => ${missing('serialization by JSON schema')};`,
  ],
];

/** A function that throws, as text. */
function missing(what) {
  return `() => { throw new Error('${what} is not in this bundle: build.mjs'); }`;
}

/** The filters that have matched in one of the programs. */
const used = new Set();

const standIns = {
  name: 'stand-ins',
  setup({ onResolve, onLoad, resolve }) {
    const config = '@kubernetes/client-node/dist/config.js';
    onResolve({ filter: /^@kubernetes\/client-node$/ }, ({ resolveDir, kind }) =>
      resolve(config, { resolveDir, kind }),
    );
    // Node's HTTP/2 is as large as its HTTP/1; fastify asks for it whether or not it is wanted.
    onResolve({ filter: /^node:http2$/ }, ({ importer, path }) =>
      importer.endsWith('/fastify/lib/server.js') ? { path, namespace: 'absent' } : undefined,
    );
    onLoad({ filter: /./, namespace: 'absent' }, () => ({ contents: 'module.exports = {};' }));
    // An import reads all that a module of Node exports, and so has node:http load the whole of fetch; require() does not.
    onResolve({ filter: /^(node:)?http$/ }, ({ kind, path }) =>
      kind === 'import-statement' ? { path, namespace: 'required' } : undefined,
    );
    onLoad({ filter: /./, namespace: 'required' }, ({ path }) => ({
      contents: `module.exports = require('${path}');`,
    }));
    for (const [filter, contents] of STAND_INS) {
      onLoad({ filter }, () => {
        used.add(filter);
        return { contents };
      });
    }
  },
};

/** Most never send traces: what does is in a file of its own, which is read only then. */
const tracing = {
  name: 'tracing',
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/otlp\.ts$/ }, () => ({ path: './otlp.js', external: true }));
  },
};

/** V8 keeps the whole source in memory, two bytes a character where one of them is beyond Latin-1. */
const inAscii = (text) =>
  text.replaceAll(/[^\0-\x7f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

const single = process.argv.slice(2);
const programs = single.length > 0 ? single : ['main', 'reader', 'telemetry/otlp'];

const { outputFiles, metafile } = await build({
  entryPoints: programs.map((program) => `src/${program}.ts`),
  metafile: true,
  outdir: 'dist',
  entryNames: '[name]',
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
  // Undici's own mark for a bundle without its experimental parser.
  define: { esbuildDetection: 'true' },
  plugins: single.length > 0 ? [standIns] : [standIns, tracing],
  write: false,
  // CommonJS dependencies call require().
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
const unused = STAND_INS.filter(([filter]) => !used.has(filter));
if (unused.length > 0) throw new Error(`these match nothing any more: ${unused.map(([filter]) => filter).join(' ')}`);
for (const { path, text } of outputFiles) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, inAscii(text), { mode: 0o755 });
}

/** The folders, `node_modules/undici`, of which a byte is in a bundle. */
const inside = Object.values(metafile.outputs).flatMap(({ inputs }) =>
  Object.entries(inputs).flatMap(([path, { bytesInOutput }]) => {
    const [folder] = /node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(path) ?? [];
    return folder !== undefined && bytesInOutput > 0 ? [folder] : [];
  }),
);
writeFileSync('dist/package.json', '{ "type": "module" }\n');
writeFileSync('dist/packages.json', `${JSON.stringify([...new Set(inside)].toSorted(), undefined, 2)}\n`);
