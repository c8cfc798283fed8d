import { StringDecoder } from 'node:string_decoder';

import { KubeError } from './kube-error.ts';

/** No object in etcd is larger than 3 MiB by default; in JSON some are twice that. */
const MOST_LINE = 16 * 1024 * 1024;

/**
 * The lines of a stream of UTF-8, without their ends and without empty ones: those that end in one chunk at a time, for each step of
 * a generator costs as much as a line. Throws {@link KubeError} (malformed) at a line of more than 16 Mi characters.
 */
export async function* readLines(
  stream: AsyncIterable<Buffer>,
  most: number = MOST_LINE,
): AsyncGenerator<readonly string[]> {
  const decoder = new StringDecoder('utf8');
  let begun = '';
  for await (const chunk of stream) {
    const [first = '', ...others] = decoder.write(chunk).split('\n');
    const lines = [begun + first, ...others];
    begun = lines.pop() ?? '';
    if (begun.length > most) throw new KubeError('malformed', `a line of a watch is longer than ${most} characters`);
    const whole = lines.filter((line) => line !== '');
    if (whole.length > 0) yield whole;
  }
  const last = begun + decoder.end();
  if (last !== '') yield [last];
}
