import { readFileSync } from 'node:fs';
import jsonPatch, { type Operation } from 'fast-json-patch';

import type { Reply } from './webhook-process.ts';

type Json = Record<string, unknown>;

export interface Review {
  apiVersion: string;
  kind: string;
  request: Json & { uid: string; object: Json & { metadata: Json; spec: Json } };
}

/** Reads a captured request of an API server from test/fixtures/admission-reviews. */
export function fixture(name: string): Review {
  const file = new URL(`../fixtures/admission-reviews/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as Review;
}

export interface Answer {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patch: Operation[];
  readonly warnings: string[];
  readonly audit: {
    mode?: string;
    message: string;
    decision: { reason: string; remedy: string[]; resolvers: Record<string, string> };
  };
}

/** Reads a response like the API server. Throws if it is not an AdmissionReview v1 response. */
export function answerOf(reply: Reply): Answer {
  const review = JSON.parse(reply.body) as { apiVersion: string; kind: string; response: Json };
  const { uid, allowed, patch, patchType, warnings, auditAnnotations } = review.response;
  if (reply.status !== 200 || review.apiVersion !== 'admission.k8s.io/v1' || review.kind !== 'AdmissionReview') {
    throw new Error(`no AdmissionReview response: ${reply.status} ${reply.body}`);
  }
  if ((patch === undefined) !== (patchType === undefined)) throw new Error('patch and patchType go together');
  const audit = auditAnnotations as { mode: string; decision: string; message?: string };
  return {
    uid: uid as string,
    allowed: allowed as boolean,
    patch: patch === undefined ? [] : (JSON.parse(Buffer.from(patch as string, 'base64').toString()) as Operation[]),
    warnings: (warnings as string[] | undefined) ?? [],
    audit: {
      mode: audit?.mode,
      message: audit?.message ?? '',
      decision: JSON.parse(audit?.decision ?? 'null') as Answer['audit']['decision'],
    },
  };
}

/** Returns the review with the patch applied to its object, as on reinvocation. */
export function patched(review: Review, patch: readonly Operation[]): Review {
  const copy = structuredClone(review);
  copy.request.object = jsonPatch.applyPatch(copy.request.object, patch, true, true).newDocument;
  return copy;
}

/** Returns a review of a Pod's creation in namespace `shop`, like the captured ones. */
export function podReview(change: { metadata?: Json; spec?: Json; request?: Json } = {}): Review {
  const review = fixture('plain');
  Object.assign(review.request.object.metadata, change.metadata);
  Object.assign(review.request.object.spec, change.spec);
  Object.assign(review.request, change.request);
  return review;
}
