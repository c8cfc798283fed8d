import { z } from 'zod';

import { type ImageSourceCode, ImageSourceError } from '../detection/image-source.ts';
import type { Answer } from './exchange.ts';
import { readWhole } from './follow.ts';
import type { RegistryLimits } from './limits.ts';

// OCI distribution-spec, "Error Codes". Others are not repeated: an answer may hold anything.
const codes = (
  'BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DENIED DIGEST_INVALID MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID ' +
  'MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID TOOMANYREQUESTS UNAUTHORIZED UNSUPPORTED'
).split(' ');
const errorSchema = z.object({
  errors: z.array(z.object({ code: z.enum(codes).optional().catch(undefined) })).max(100),
});

const meanings: Readonly<Record<number, [code: ImageSourceCode, message: string]>> = {
  401: ['unauthorized', 'wants a login that it accepts: check the credentials for it'],
  403: ['unauthorized', 'does not let this login read it: check the credentials for it'],
  404: ['not-found', 'has no such thing: check the name and the tag'],
  429: ['rate-limited', 'says that it is asked too often: log in to it, or set up a mirror'],
};

/**
 * The error that an answer other than the expected one is. `what` names the thing asked for, as in
 * `docker.io/library/nginx: manifest latest`. Reads the body, as far as `limits.errorBytes`.
 */
export async function statusError(answer: Answer, what: string, limits: RegistryLimits): Promise<ImageSourceError> {
  const detail = await readCode(answer, limits);
  const { status } = answer;
  const server = answer.url.host;
  const [code, message] = meanings[status] ?? unusual(status);
  return new ImageSourceError(code, `${what}: ${server} ${message} (${[status, ...detail].join(' ')})`);
}

function unusual(status: number): [code: ImageSourceCode, message: string] {
  if (status >= 500) return ['unavailable', 'failed'];
  return ['invalid-answer', 'gave an answer that is not in the distribution protocol'];
}

async function readCode(answer: Answer, limits: RegistryLimits): Promise<string[]> {
  try {
    const body = await readWhole(answer, limits.errorBytes, 'an error');
    const { errors } = errorSchema.parse(JSON.parse(body.toString('utf8')));
    return errors.slice(0, 1).flatMap(({ code }) => code ?? []);
  } catch {
    // The status says enough.
    return [];
  }
}
