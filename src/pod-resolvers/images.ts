import type { Detection, DetectRequest } from '../detection/detector.ts';
import { isAlone, isDataFolder, isBare } from '../detection/keys.ts';
import { resolverName } from '../policy/verdict.ts';

/**
 * Returns the key under which the API server's policy finds what a container runs, and its resolvers (`go+musl`). The policy reads an
 * image's name and a word, so there is a key only where these alone decide:
 *
 * | key                  | for containers                                                                    |
 * |----------------------|-----------------------------------------------------------------------------------|
 * | `IMAGE`              | without `command`, whatever their `args`                                          |
 * | `IMAGE bare`         | with nothing of their own: command, args, variables, mounts, user, folder         |
 * | `IMAGE command WORD` | whose `command` begins with it                                                    |
 * | `IMAGE args WORD`    | without `command`, whose `args` begin with it                                     |
 * | `IMAGE unknown`      | none: the image was looked up, and the verdict is unknown or needs more           |
 *
 * A container without one of the first four keys is unknown. The last one tells it from one that came before its image was looked up.
 */
export function imageEntry(
  request: DetectRequest,
  detection: Detection,
): { readonly key: string; readonly resolvers: string } {
  const resolvers = resolverName(detection.verdict);
  const isUsable = resolvers !== 'unknown' && !isDataFolder(detection.executable ?? '');
  const suffix = isUsable ? suffixOf(request, detection) : undefined;
  return suffix === undefined
    ? { key: `${request.reference} unknown`, resolvers: 'unknown' }
    : { key: `${request.reference}${suffix}`, resolvers };
}

function suffixOf(request: DetectRequest, { decidedBy, digest }: Detection): string | undefined {
  const { command, args } = request;
  // Declared by a person: of the image, whatever the container runs.
  const isDeclared = digest === undefined;
  if (isBare(request) && decidedBy === undefined && !isDeclared) return ' bare';
  if (!isAlone(request) || (decidedBy === undefined && !isDeclared)) return undefined;
  const [word] = command.length > 0 ? command : args;
  if (command.length === 0 && (decidedBy === 'entrypoint' || isDeclared)) return '';
  if (word === undefined) return undefined;
  return ` ${command.length > 0 ? 'command' : 'args'} ${word}`;
}
