import { z } from 'zod';

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

/** The body is not an AdmissionReview v1 that can be answered; the message says what is wrong with it. */
export class ReviewError extends Error {
  override readonly name = 'ReviewError';
  readonly code = 'bad-review';
  readonly statusCode = 400;
}

const isText = (value: unknown): boolean => typeof value === 'string';

const mayBe = (type: 'string' | 'boolean', value: unknown): boolean =>
  value === undefined || value === null || typeof value === type;

/** Whether the schema takes it. Nearly all are taken, and zod costs more than it takes to see that; what is wrong zod tells. */
function isRequest(request: unknown): request is AdmissionRequest {
  if (!isObject(request) || !isObject(request['resource'])) return false;
  const { uid, resource, operation, name, namespace, subResource, dryRun } = request;
  const isNamed = typeof uid === 'string' && uid !== '' && uid.length <= 256;
  const isOfResource = isText(resource['group']) && isText(resource['version']) && isText(resource['resource']);
  const optional = [name, namespace, subResource].every((value) => mayBe('string', value));
  return isNamed && isOfResource && isText(operation) && optional && mayBe('boolean', dryRun);
}

/** The request of an AdmissionReview v1. Throws {@link ReviewError} for anything else. */
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

function wholeOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch (error) {
    throw new ReviewError(`the body is not JSON: ${(error as SyntaxError).message}`, { cause: error });
  }
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(withoutManagedFields(body));
  } catch {
    return wholeOf(body);
  }
}

/**
 * The request of an AdmissionReview v1, from the bytes of a body: its Pod without `managedFields`. Throws {@link ReviewError} for
 * anything else.
 */
export const parseReview = (body: Buffer): AdmissionRequest => readReview(parsed(body));

/** Whether the request is one that Pods' DNS settings can be set in: CREATE of pods, no subresource. */
export function isPodCreation(request: AdmissionRequest): boolean {
  const { group, version, resource } = request.resource;
  const pods = group === '' && version === 'v1' && resource === 'pods' && !request.subResource;
  return pods && request.operation === 'CREATE';
}

/** The response of an AdmissionReview v1, all but its `uid`. A Pod is never refused: `allowed` is always true. */
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

/** The API server cuts warnings at 256 characters, and all of them at 4096; ours begin with our name. */
const WARNING_LENGTH = 245;
const MOST_WARNINGS = 10;

/** The text of an AdmissionReview v1 response to requests that get the same answer, all but their `uid` made beforehand. */
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

/** Who has set which field: many small objects, which cost a parser more than their length, and nobody reads them. */
const MANAGED_FIELDS = Buffer.from(',"managedFields":[');

const code = (character: string): number => character.charCodeAt(0);
const [QUOTE, BACKSLASH] = [code('"'), code('\\')];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [code('['), code(']'), code('{'), code('}')];

/** Where the string ends that begins before `at`: at its quote, or at the end of the body. */
function endOfString(body: Buffer, at: number): number {
  while (at < body.length && body[at] !== QUOTE) at += body[at] === BACKSLASH ? 2 : 1;
  return at;
}

/** What follows the list that begins at `from`; undefined where it does not end. */
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
 * The text of a review but for the first list called `managedFields`: the Pod's, or one of the caller's `extra`; nothing of that
 * name is read. A quote after a comma is never one within a string, where it has a backslash before it, so that what is found is a
 * name, and what is left is JSON where the body was. What stands in the list is not looked at.
 */
export function withoutManagedFields(body: Buffer): string {
  const from = body.indexOf(MANAGED_FIELDS);
  const to = from === -1 ? undefined : afterList(body, from + MANAGED_FIELDS.length - 1);
  return to === undefined ? body.toString() : body.toString('utf8', 0, from) + body.toString('utf8', to);
}
