import { isUtf8 } from 'node:buffer';

import { z } from 'zod';

import { endOfString, exceeds, type JsonBounds } from '../util/json-bounds.ts';
import { isObject } from '../util/json.ts';
import { printable } from '../util/text.ts';

/** admission.k8s.io/v1 GroupVersionKind and GroupVersionResource, as far as they are read. */
const reviewSchema = z.object({
  apiVersion: z.literal('admission.k8s.io/v1'),
  kind: z.literal('AdmissionReview'),
  request: z.object({
    uid: z.string().min(1).max(256),
    resource: z.object({ group: z.string(), version: z.string(), resource: z.string() }),
    subResource: z.string().nullish(),
    name: z.string().nullish(),
    namespace: z.string().nullish(),
    operation: z.string(),
    dryRun: z.boolean().nullish(),
    object: z.unknown(),
  }),
});

export type AdmissionRequest = z.output<typeof reviewSchema>['request'];

/** Thrown if the body is not an AdmissionReview v1. The message says what is wrong with it. */
export class ReviewError extends Error {
  override readonly name = 'ReviewError';
  readonly code = 'bad-review';
  readonly statusCode = 400;
}

const isText = (value: unknown): boolean => typeof value === 'string';

const mayBe = (type: 'string' | 'boolean', value: unknown): boolean =>
  value === undefined || value === null || typeof value === type;

/** Reports whether the schema accepts it: faster than zod, which is asked only what is wrong. */
function isRequest(request: unknown): request is AdmissionRequest {
  if (!isObject(request) || !isObject(request['resource'])) return false;
  const { uid, resource, operation, name, namespace, subResource, dryRun } = request;
  const isNamed = typeof uid === 'string' && uid !== '' && uid.length <= 256;
  const isOfResource = isText(resource['group']) && isText(resource['version']) && isText(resource['resource']);
  const optional = [name, namespace, subResource].every((value) => mayBe('string', value));
  return isNamed && isOfResource && isText(operation) && optional && mayBe('boolean', dryRun);
}

/** Returns the request of an AdmissionReview v1. Throws {@link ReviewError} for anything else. */
export function readReview(body: unknown): AdmissionRequest {
  if (isObject(body) && body['apiVersion'] === 'admission.k8s.io/v1' && body['kind'] === 'AdmissionReview') {
    const { request } = body;
    if (isRequest(request)) return request;
  }
  const result = reviewSchema.safeParse(body);
  if (result.success) return result.data.request;
  const issues = result.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`);
  throw new ReviewError(`expected an AdmissionReview of admission.k8s.io/v1: ${issues.join('; ')}`);
}

/** Bytes that a parser reads within a few milliseconds, whatever they hold. */
const SMALL = 64 * 1024;

/** What slows a parser down. A Pod of 3 MiB has ten levels, and as many values only where each is a few bytes long. */
const BOUNDS: JsonBounds = { depth: 500, values: 32_000 };

function checkBounds(bytes: Buffer): void {
  // A decoder takes long to replace bytes that are not UTF-8.
  if (!isUtf8(bytes)) throw new ReviewError('the body is not UTF-8');
  if (!exceeds(bytes, BOUNDS)) return;
  throw new ReviewError(`the body has more than ${BOUNDS.depth} levels or ${BOUNDS.values} values`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ReviewError(`the body is not JSON: ${(error as SyntaxError).message}`, { cause: error });
  }
}

function parsed(body: Buffer): unknown {
  const text = withoutManagedFields(body);
  try {
    return parseJson(text);
  } catch (error) {
    if (body.length > SMALL) throw error;
    // For a message that names the place in the body.
    return parseJson(body.toString());
  }
}

/**
 * Returns the request of an AdmissionReview v1 from the bytes of a body, the Pod without its `managedFields`. Throws
 * {@link ReviewError} for anything else.
 */
export const parseReview = (body: Buffer): AdmissionRequest => readReview(parsed(body));

/** Reports whether the request creates a Pod: CREATE of pods, no subresource. DNS settings can be set in no other. */
export function isPodCreation(request: AdmissionRequest): boolean {
  const { group, version, resource } = request.resource;
  const pods = group === '' && version === 'v1' && resource === 'pods' && !request.subResource;
  return pods && request.operation === 'CREATE';
}

/** The response of an AdmissionReview v1 without its `uid`. No Pod is ever refused: `allowed` is always true. */
interface ResponseBody {
  readonly allowed: true;
  readonly patchType?: 'JSONPatch';
  /** Base64 of a JSON Patch. */
  readonly patch?: string;
  readonly auditAnnotations?: Readonly<Record<string, string>>;
  readonly warnings?: readonly string[];
}

interface Answer {
  readonly patch: readonly unknown[];
  readonly auditAnnotations?: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
}

/** The API server cuts a warning at 256 characters and all of them at 4096. Ours begin with our name. */
const WARNING_LENGTH = 245;
const MOST_WARNINGS = 10;

/** Prepares the text of an AdmissionReview v1 response for all requests that get the same answer. Call the result with each `uid`. */
export function prepareResponse({ patch, auditAnnotations, warnings }: Answer): (uid: string) => string {
  const body: ResponseBody = {
    allowed: true,
    ...(patch.length > 0 && {
      patchType: 'JSONPatch',
      patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
    }),
    ...(auditAnnotations !== undefined && { auditAnnotations }),
    ...(warnings.length > 0 && {
      warnings: warnings.slice(0, MOST_WARNINGS).map((warning) => `libc-dns: ${printable(warning, WARNING_LENGTH)}`),
    }),
  };
  const rest = `,${JSON.stringify(body).slice(1)}}`;
  return (uid) =>
    `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":${JSON.stringify(uid)}${rest}`;
}

/** Managed fields say who set which field. They are many small objects that are slow to parse, and nothing here reads them. */
const MANAGED_FIELDS = Buffer.from(',"managedFields":[');

const code = (character: string): number => character.charCodeAt(0);
const QUOTE = code('"');
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [code('['), code(']'), code('{'), code('}')];

/** Returns the place after the list that begins at `from`; undefined if the list does not end. */
function afterList(body: Buffer, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < body.length; at += 1) {
    const byte = body[at];
    if (byte === QUOTE) at = endOfString(body, at + 1);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth += 1;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth -= 1;
    if (depth === 0) return at + 1;
  }
  return undefined;
}

/**
 * Returns the text of a review without the first list called `managedFields`: the Pod's, or one in the caller's `extra`. Nothing reads
 * a field of that name. Within a string a quote has a backslash before it, so a quote after a comma begins a name, and the
 * rest is JSON if the body was. The contents of the list are not checked. Throws {@link ReviewError} if the rest would be slow to parse.
 */
export function withoutManagedFields(body: Buffer): string {
  const from = body.indexOf(MANAGED_FIELDS);
  const to = from === -1 ? undefined : afterList(body, from + MANAGED_FIELDS.length - 1);
  if (body.length > SMALL) {
    const rest = to === undefined ? body : Buffer.concat([body.subarray(0, from), body.subarray(to)]);
    checkBounds(rest);
    return rest.toString();
  }
  return to === undefined ? body.toString() : body.toString('utf8', 0, from) + body.toString('utf8', to);
}
