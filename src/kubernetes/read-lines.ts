import { KubeError } from './kube-error.ts';

/** No object in etcd is larger than 3 MiB by default; in JSON some are twice that. */
const MOST_LINE = 16 * 1024 * 1024;

/** The lines of a stream, without their ends. Throws {@link KubeError} (malformed) at a line of more than 16 MiB. */
export async function* readLines(stream: AsyncIterable<Buffer>, most: number = MOST_LINE): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      // Most lines lie in one chunk: they need no copy.
      const line =
        begun.length === 0
          ? chunk.toString('utf8', from, end)
          : Buffer.concat([...begun, chunk.subarray(from, end)]).toString('utf8');
      from = end + 1;
      if (size > 0) [begun, size] = [[], 0];
      if (line !== '') yield line;
    }
    size += chunk.length - from;
    if (size > most) throw new KubeError('malformed', `a line of a watch is longer than ${most} bytes`);
    if (from < chunk.length) begun.push(chunk.subarray(from));
  }
  if (size > 0) yield Buffer.concat(begun).toString('utf8');
}
