import type { Operation } from 'fast-json-patch';

import { DECISION_ANNOTATION, encodeDecision } from '../policy/annotations.ts';
import type { Decision, DnsChange, SidecarChange } from '../policy/model.ts';
import { COREFILE_ANNOTATION, SIDECAR_VOLUME, sidecarContainer } from '../policy/sidecar.ts';
import { asObject, isObject, type Json } from '../util/json.ts';

/** core/v1 TotalAnnotationSizeLimitB: with more the API server refuses the Pod. */
const ANNOTATIONS_LIMIT = 256 * 1024;

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

/** Adds the cache's container before all others, which may ask it as soon as they start, and its volume behind the Pod's own. */
function sidecarOperations(spec: Json, sidecar: SidecarChange): Operation[] {
  const container = sidecarContainer(sidecar);
  return [
    Array.isArray(spec['initContainers'])
      ? { op: 'add', path: '/spec/initContainers/0', value: container }
      : put(spec, '/spec', 'initContainers', [container]),
    Array.isArray(spec['volumes'])
      ? { op: 'add', path: '/spec/volumes/-', value: SIDECAR_VOLUME }
      : put(spec, '/spec', 'volumes', [SIDECAR_VOLUME]),
  ];
}

function specOperations(spec: Json, change: DnsChange): Operation[] {
  const { dnsPolicy, sidecar } = change;
  const config = dnsConfigOperations(spec, change);
  const dns = dnsPolicy === undefined ? config : [put(spec, '/spec', 'dnsPolicy', dnsPolicy), ...config];
  return sidecar === undefined ? dns : [...dns, ...sidecarOperations(spec, sidecar)];
}

const size = (key: string, text: unknown): number => Buffer.byteLength(key) + Buffer.byteLength(String(text));

function fits(annotations: Json): boolean {
  let total = 0;
  for (const [key, text] of Object.entries(annotations)) total += size(key, text);
  return total <= ANNOTATIONS_LIMIT;
}

/** Sets our annotations; undefined if the Pod's would get too large for the API server. */
function annotationOperations(pod: Json, decision: Decision): Operation[] | undefined {
  const { sidecar } = decision.change ?? {};
  const values: Record<string, string> = {
    [DECISION_ANNOTATION]: encodeDecision(decision.reason, decision.remedy, decision.containers),
    ...(sidecar !== undefined && { [COREFILE_ANNOTATION]: sidecar.corefile }),
  };
  const { metadata } = pod;
  if (!isObject(metadata)) return [put(pod, '', 'metadata', { annotations: values })];
  const { annotations } = metadata;
  if (!isObject(annotations)) return [put(metadata, '/metadata', 'annotations', values)];
  const changed = Object.entries(values).filter(([key, value]) => annotations[key] !== value);
  if (changed.length > 0 && !fits({ ...annotations, ...values })) return undefined;
  return changed.map(([key, value]): Operation => ({
    op: annotations[key] === undefined ? 'add' : 'replace',
    // A JSON Pointer (RFC 6901).
    path: `/metadata/annotations/${key.replaceAll('/', '~1')}`,
    value,
  }));
}

/**
 * Returns the JSON Patch (RFC 6902) that applies a decision to a Pod or Pod template. It touches nothing but `/spec/dnsPolicy`,
 * `/spec/dnsConfig` and our own annotation; the remedy `sidecar` adds one init container, one volume and one more annotation. Empty if
 * nothing changes, in audit mode, and if the Pod has no room for the annotation that the cache is configured by.
 */
export function patchFor(object: unknown, decision: Decision): Operation[] {
  const { change } = decision;
  if (change === undefined || decision.mode !== 'enforce') return [];
  const pod = asObject(object);
  const annotations = annotationOperations(pod, decision);
  if (annotations === undefined && change.sidecar !== undefined) return [];
  return [...specOperations(asObject(pod['spec']), change), ...(annotations ?? [])];
}
