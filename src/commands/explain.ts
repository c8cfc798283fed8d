import { type Command, Option } from 'commander';

import { type DetectingCommand, painter } from '../terminal/io.ts';
import { addManifestFlags, type Explained, explainFiles, type ManifestFlags } from './offline.ts';
import { decisionText } from './report-text.ts';

interface ExplainFlags extends ManifestFlags {
  readonly output: 'text' | 'json';
}

/** An entry of `explain -o json`: docs/cli.md describes it. */
function entry({ template, namespace, evaluation }: Explained): Record<string, unknown> {
  const { mode, containers, remedy, reason, message } = evaluation.decision;
  return {
    kind: template.kind,
    namespace,
    name: template.name,
    mode,
    containers: containers.map(({ name, image, resolver, libc, evidence }) => ({
      name,
      image,
      resolver,
      libc,
      evidence,
    })),
    remedy,
    reason,
    message,
    resolvConf: evaluation.resolvConf(),
    patch: evaluation.patch,
  };
}

const HELP = `
Examples:
  libc-dns explain -f deployment.yaml
  kubectl get deployment web -o yaml | libc-dns explain --node-local on --cluster-dns 10.96.0.10
  libc-dns explain -f manifests/ -o json | jq '.[] | {name, reason}'`;

/** `libc-dns explain`: what the webhook would decide for each Pod of a manifest, and why. */
export function explainCommand(program: Command, parts: DetectingCommand): void {
  const { io } = parts;
  const command = program
    .command('explain')
    .description('say for each Pod of a manifest what would be done, and why')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
    .addHelpText('after', HELP);
  addManifestFlags(command).action(async (flags: ExplainFlags) => {
    const { explained } = await explainFiles(parts, flags);
    if (flags.output === 'json') {
      io.out(`${JSON.stringify(explained.map(entry), null, 2)}\n`);
      return;
    }
    const paint = painter(io, flags.color);
    const texts = explained.map(({ template, namespace, evaluation }) =>
      decisionText(`${template.kind} ${namespace}/${template.name}`, evaluation, paint),
    );
    io.out(texts.length === 0 ? 'No Pods and no Pod templates in the input.\n' : texts.join('\n'));
  });
}
