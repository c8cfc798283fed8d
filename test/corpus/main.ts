import { parseArgs } from 'node:util';
import { buildCorpus } from './build.ts';
import { corpusImages } from './images.ts';
import { jsonReport, summarise, textReport } from './report.ts';
import { measureCorpus } from './run.ts';
import { traceAll } from './trace-report.ts';
import { CACHE_DIRECTORY, openSources } from './sources.ts';

/**
 * Measures detection's accuracy and cost on images with known truth: `node test/corpus/main.ts [--json] [NAME...]`.
 * `--trace` runs the images instead, and shows which programs ran and were left. Exits with 1 for a wrong verdict, too few right ones or an exceeded budget, with 2 if there is no such image.
 */
const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean' }, trace: { type: 'boolean' } },
  allowPositionals: true,
});
const unknownNames = positionals.filter((name) => !corpusImages.some((entry) => entry.name === name));
if (unknownNames.length > 0) {
  console.error(`the corpus has no image ${unknownNames.join(', ')}`);
  process.exit(2);
}

const chosen = corpusImages.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const sources = await openSources(CACHE_DIRECTORY);
const corpus = await buildCorpus(chosen, sources, (name) => {
  if (process.stderr.isTTY) process.stderr.write(`\u001B[2K\rbuilding ${name}`);
});
if (process.stderr.isTTY) process.stderr.write('\u001B[2K\r');
if (values.trace === true) {
  process.exit((await traceAll(corpus, sources, (line) => console.log(line))) ? 0 : 1);
}
const measurements = await measureCorpus(corpus, sources);
const summary = summarise(corpus, measurements);
console.log(
  values.json === true
    ? JSON.stringify(jsonReport(corpus, measurements, summary), null, 2)
    : textReport(corpus, measurements, summary),
);
process.exitCode = summary.failures.length === 0 ? 0 : 1;
