import { visible, type Io } from './io.ts';
import type { Explained } from './offline.ts';

/** Prints on stderr what is wrong with our labels and annotations in the manifests. */
export function warnAbout(io: Io, explained: readonly Explained[]): void {
  for (const { template, namespace, evaluation } of explained) {
    for (const warning of evaluation.decision.warnings) {
      io.err(`libc-dns: warning: ${visible(`${template.kind} ${namespace}/${template.name}: ${warning}`)}\n`);
    }
  }
}
