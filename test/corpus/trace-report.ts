import type { Corpus } from './build.ts';
import type { CorpusImage } from './corpus-image.ts';
import type { Sources } from './sources.ts';
import { trace, type Trace } from './trace.ts';

/** Images that run at a time: they mostly wait. */
const lanes = 6;

// The corpus' launchers and supervisors are stand-ins, which start nothing; so are these images' sudo, python, ruby.
const standIns = new Set(['launcher', 'supervisor']);
const withStandIn = new Set([
  'wrapped-by-sudo',
  'wrapped-by-systemd-cat',
  'sudo-secure-path',
  'sudo-with-joined-options',
  'python-execs-its-arguments',
  'ruby-execs-a-program',
]);
// readelf and `go version` do not know what GODEBUG makes a Go program do.
const chosenByVariable = /netdns-cgo/u;
// Nor that a Go program resolves by what is linked into it.
const withInterpreterInside = new Set(['frankenphp', 'datadog-agent']);

/** Returns why an image cannot be run here; undefined if it can be tried. */
function reasonNotTo({ name, kind, platform, truth }: CorpusImage): string | undefined {
  if ('error' in truth) return 'no image';
  if (truth.resolver === 'unknown') return 'nobody can tell what it runs';
  if (kind === 'platform' || (platform !== undefined && platform.architecture !== 'amd64')) {
    return 'of several platforms, or of another';
  }
  if (chosenByVariable.test(name)) return 'a variable chooses its resolver';
  if (withInterpreterInside.has(name)) return 'an interpreter inside the Go program resolves names';
  return standIns.has(kind) || withStandIn.has(name)
    ? 'its launcher, wrapper, supervisor or interpreter is a stand-in'
    : undefined;
}

/** Runs the images that can be run here. Returns false if a program that was left has another resolver than the truth. */
export async function traceAll(corpus: Corpus, sources: Sources, print: (line: string) => void): Promise<boolean> {
  const outcomes = new Map<string, number>();
  const queue = corpus.built.values();
  const lane = async (): Promise<void> => {
    for (const { entry, image } of queue) {
      const reason = reasonNotTo(entry);
      const outcome = reason ?? outcomeOf(entry, await trace(entry, image, sources), print);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  print('\nimages  outcome');
  for (const [outcome, count] of [...outcomes].toSorted(([, one], [, other]) => other - one)) {
    print(`${String(count).padEnd(8)}${outcome}`);
  }
  return !outcomes.has('differs');
}

function outcomeOf({ name, truth }: CorpusImage, seen: Trace, print: (line: string) => void): string {
  const { ran, left, ended, end = 'nothing started', resolvers } = seen;
  const names = left.length > 0 ? left : [ended ?? ''];
  const found = names.map((path, at) => `${path} (${resolvers[at] ?? 'not run'})`).join(', ');
  const agrees = 'resolver' in truth && resolvers.includes(truth.resolver);
  const isTold = resolvers.some((one) => one !== 'not told');
  const outcome = agrees
    ? 'agrees'
    : isTold
      ? 'differs'
      : resolvers.length > 0
        ? 'runs, but readelf and go version do not tell its resolver'
        : `does not run here: it ${end}`;
  const wanted = 'resolver' in truth ? truth.resolver : '';
  print(
    `${outcome.slice(0, 8).padEnd(9)}${name.padEnd(32)} truth ${wanted.padEnd(7)} left ${found}; ran ${ran.join(' ')}`,
  );
  return outcome;
}
