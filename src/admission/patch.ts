import type { Operation } from 'fast-json-patch';

import { DECISION_ANNOTATION, encodeDecision } from '../policy/annotations.ts';
import type { Decision, DnsChange } from '../policy/model.ts';
import { asObject, isObject, type Json } from '../util/json.ts';

/** core/v1 TotalAnnotationSizeLimitB: with more the API server refuses the Pod. */
const ANNOTATIONS_LIMIT = 256 * 1024;

/** A JSON Pointer (RFC 6901). */
const DECISION_PATH = `/metadata/annotations/${DECISION_ANNOTATION.replaceAll('/', '~1')}`;

/** Sets `key` of the object at `path` to `value`. */
function put(parent: Json, path: string, key: string, value: unknown): Operation {
  return { op: key in parent ? 'replace' : 'add', path: `${path}/${key}`, value };
}

function dnsConfigOperations(spec: Json, { nameservers, searches, options }: DnsChange): Operation[] {
  const config = spec['dnsConfig'];
  const lists = {
    ...(nameservers !== undefined && { nameservers }),
    ...(searches !== undefined && { searches }),
  };
  if (!isObject(config)) {
    return [put(spec, '/spec', 'dnsConfig', { ...lists, ...(options.length > 0 && { options }) })];
  }
  const path = '/spec/dnsConfig';
  const operations = Object.entries(lists).map(([key, list]) => put(config, path, key, list));
  if (options.length === 0) return operations;
  if (!Array.isArray(config['options'])) return [...operations, put(config, path, 'options', options)];
  return [...operations, ...options.map((value): Operation => ({ op: 'add', path: `${path}/options/-`, value }))];
}

function specOperations(spec: Json, change: DnsChange): Operation[] {
  const { dnsPolicy } = change;
  const config = dnsConfigOperations(spec, change);
  return dnsPolicy === undefined ? config : [put(spec, '/spec', 'dnsPolicy', dnsPolicy), ...config];
}

const size = (key: string, text: unknown): number => Buffer.byteLength(key) + Buffer.byteLength(String(text));

function fits(annotations: Json, decision: string): boolean {
  let total = size(DECISION_ANNOTATION, decision);
  for (const [key, text] of Object.entries(annotations)) if (key !== DECISION_ANNOTATION) total += size(key, text);
  return total <= ANNOTATIONS_LIMIT;
}

/** Sets our annotation, unless the Pod's annotations would get too large for the API server. */
function annotationOperations(pod: Json, decision: Decision): Operation[] {
  const value = encodeDecision(decision.reason, decision.remedy, decision.containers);
  const { metadata } = pod;
  if (!isObject(metadata)) return [put(pod, '', 'metadata', { annotations: { [DECISION_ANNOTATION]: value } })];
  const { annotations } = metadata;
  if (!isObject(annotations)) return [put(metadata, '/metadata', 'annotations', { [DECISION_ANNOTATION]: value })];
  const before = annotations[DECISION_ANNOTATION];
  if (before === value || !fits(annotations, value)) return [];
  return [{ op: before === undefined ? 'add' : 'replace', path: DECISION_PATH, value }];
}

/**
 * Returns the JSON Patch (RFC 6902) that applies a decision to a Pod or Pod template. It touches nothing but `/spec/dnsPolicy`,
 * `/spec/dnsConfig` and our own annotation. Empty if nothing changes, and in audit mode.
 */
export function patchFor(object: unknown, decision: Decision): Operation[] {
  const { change } = decision;
  if (change === undefined || decision.mode !== 'enforce') return [];
  const pod = asObject(object);
  return [...specOperations(asObject(pod['spec']), change), ...annotationOperations(pod, decision)];
}
