import jsonPatch, { type Operation } from 'fast-json-patch';

import { DECISION_ANNOTATION, encodeDecision } from '../policy/annotations.ts';
import type { Decision, DnsChange } from '../policy/model.ts';

/** core/v1 TotalAnnotationSizeLimitB: with more the API server refuses the Pod. */
const ANNOTATIONS_LIMIT = 256 * 1024;

export type Json = Readonly<Record<string, unknown>>;

/** An empty object for what is none. */
export const asObject = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {});

const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

function changedSpec(spec: Json, change: DnsChange): Json {
  const { nameservers, searches, options } = change;
  const dnsConfig = asObject(spec['dnsConfig']);
  return {
    ...(change.dnsPolicy !== undefined && { dnsPolicy: change.dnsPolicy }),
    dnsConfig: {
      ...dnsConfig,
      ...(nameservers !== undefined && { nameservers }),
      ...(searches !== undefined && { searches }),
      ...(options.length > 0 && { options: [...asList(dnsConfig['options']), ...options] }),
    },
  };
}

const size = (key: string, text: unknown): number => Buffer.byteLength(key) + Buffer.byteLength(String(text));

/** With our annotation, unless that would make the Pod's annotations too large for the API server. */
function changedAnnotations(annotations: Json, decision: Decision): Json {
  const value = encodeDecision(decision.reason, decision.remedy, decision.containers);
  const others = Object.entries(annotations).filter(([key]) => key !== DECISION_ANNOTATION);
  let total = size(DECISION_ANNOTATION, value);
  for (const [key, text] of others) total += size(key, text);
  return total > ANNOTATIONS_LIMIT ? annotations : { ...annotations, [DECISION_ANNOTATION]: value };
}

/** The parts of an object that we may change, those that are there. */
function touched(metadata: Json, spec: Json): Json {
  const keys = ['dnsPolicy', 'dnsConfig'].filter((key) => key in spec);
  return {
    metadata: 'annotations' in metadata ? { annotations: metadata['annotations'] } : {},
    spec: Object.fromEntries(keys.map((key) => [key, spec[key]])),
  };
}

/**
 * The JSON Patch (RFC 6902) that carries out a decision on a Pod or Pod template: nothing but `/spec/dnsPolicy`,
 * `/spec/dnsConfig` and our own annotation. Empty where nothing is to be changed, and in audit mode.
 */
export function patchFor(object: unknown, decision: Decision): Operation[] {
  const { change } = decision;
  if (change === undefined || decision.mode !== 'enforce') return [];
  const pod = asObject(object);
  const metadata = asObject(pod['metadata']);
  const spec = asObject(pod['spec']);
  const annotations = changedAnnotations(asObject(metadata['annotations']), decision);
  const after = {
    metadata: Object.keys(annotations).length > 0 ? { annotations } : {},
    spec: { ...('dnsPolicy' in spec && { dnsPolicy: spec['dnsPolicy'] }), ...changedSpec(spec, change) },
  };
  const operations = jsonPatch.compare(touched(metadata, spec), after);
  if ('metadata' in pod && pod['metadata'] !== null) return operations;
  const rest = operations.filter((operation) => !operation.path.startsWith('/metadata'));
  return [{ op: 'add', path: '/metadata', value: after.metadata }, ...rest];
}
