import type { Corpus } from './build.ts';
import type { Sources } from './sources.ts';
import { trace } from './trace.ts';

// The corpus' launchers and supervisors are stand-ins, which start nothing; programs of other kinds may lack their interpreter.
const runnable = new Set(['everyday', 'wrapper', 'shell text', 'entry script', 'interpreter', 'the Pod', 'layers']);

/** Runs the images that can be run here. Returns false if a program that was left has another resolver than the truth. */
export async function traceAll(corpus: Corpus, sources: Sources, print: (line: string) => void): Promise<boolean> {
  const counts = { agree: 0, differ: 0, 'not run': 0 };
  for (const { entry, image } of corpus.built) {
    if (!runnable.has(entry.kind) || 'error' in entry.truth) continue;
    const { ran, left, resolvers } = await trace(entry, image, sources);
    const agrees = resolvers.includes(entry.truth.resolver);
    const verdict = left.length === 0 ? 'not run' : agrees ? 'agree' : 'differ';
    counts[verdict] += 1;
    const found = left.map((path, index) => `${path} (${resolvers[index]})`).join(', ');
    print(
      `${verdict.padEnd(8)} ${entry.name.padEnd(32)} truth ${entry.truth.resolver.padEnd(6)} left ${found}; ran ${ran.join(' ')}`,
    );
  }
  print(`${counts.agree} agree, ${counts.differ} differ, ${counts['not run']} could not be run here`);
  return counts.differ === 0;
}
