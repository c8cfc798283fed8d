// Builds src/audit/html/page-assets.json from the page's script and style, so that the program needs no bundler and no extra
// files at run time. Run it after each change in this folder; a unit test fails if the file is out of date.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Not minified, so that readers of a report can read what it runs. */
async function lines(entry) {
  const { outputFiles } = await build({
    entryPoints: [here(entry)],
    bundle: true,
    write: false,
    format: 'iife',
    target: ['chrome123', 'firefox120', 'safari17.5'],
    charset: 'utf8',
    legalComments: 'none',
  });
  return outputFiles[0].text
    .split('\n')
    .filter((line) => line !== '' && !/^\s*(\/\/|\/\*.*\*\/$)/.test(line))
    .map((line) => line.replace(/^ +/, (indent) => ' '.repeat(indent.length / 2)));
}

const assets = `${JSON.stringify({ style: await lines('page.css'), script: await lines('main.ts') }, null, 2)}\n`;
if (process.argv[2] === '--print') process.stdout.write(assets);
else writeFileSync(here('../page-assets.json'), assets);
