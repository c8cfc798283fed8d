import { asObject, asText, isObject, type Json, objectAt } from '../util/json.ts';

/** A Pod or Pod template inside a manifest document. */
export interface PodTemplate {
  readonly kind: string;
  readonly name: string;
  /** As the object says; empty where it does not. */
  readonly namespace: string;
  /** Keys and indexes from the document's root to the object it stands in (List items). */
  readonly objectPath: readonly (string | number)[];
  /** From the object to the Pod: empty for a Pod itself, `['spec', 'template']` for a Deployment. */
  readonly podPath: readonly string[];
  /** The Pod or Pod template itself. */
  readonly pod: unknown;
}

const TEMPLATE_PATHS = [['spec', 'template'], ['spec', 'jobTemplate', 'spec', 'template'], ['template']] as const;

/** Objects whose template is no Pod template: Knative refuses DNS settings in revisions. */
const OTHER_TEMPLATES = /^serving\.knative\.dev\//;

function templatePath(object: Json): readonly string[] | undefined {
  const version = asText(object['apiVersion']);
  if (object['kind'] === 'Pod' && version === 'v1') return [];
  if (OTHER_TEMPLATES.test(version)) return undefined;
  return TEMPLATE_PATHS.find((path) => Array.isArray(objectAt(object, [...path, 'spec'])['containers']));
}

function fromObject(object: Json, objectPath: readonly (string | number)[], found: PodTemplate[]): void {
  const items = object['items'];
  if (asText(object['kind']).endsWith('List') && Array.isArray(items)) {
    for (const [index, item] of items.entries()) {
      if (isObject(item)) fromObject(item, [...objectPath, 'items', index], found);
    }
    return;
  }
  const podPath = templatePath(object);
  if (podPath === undefined) return;
  const metadata = asObject(object['metadata']);
  found.push({
    kind: asText(object['kind']),
    name: asText(metadata['name']) || asText(metadata['generateName']),
    namespace: asText(metadata['namespace']),
    objectPath,
    podPath,
    pod: objectAt(object, podPath),
  });
}

/** Pods and everything with a Pod template in a document's value: workloads, CronJobs, custom ones alike, Lists unpacked. */
export function podTemplates(value: unknown): PodTemplate[] {
  const found: PodTemplate[] = [];
  if (isObject(value)) fromObject(value, [], found);
  return found;
}

/** The labels of the Namespace objects in a document, by name. */
export function namespaceLabels(value: unknown): Map<string, Record<string, string>> {
  const object = asObject(value);
  const members = Array.isArray(object['items']) ? object['items'] : [object];
  const labels = new Map<string, Record<string, string>>();
  for (const member of members) {
    const item = asObject(member);
    const { metadata } = item;
    if (item['kind'] !== 'Namespace' || item['apiVersion'] !== 'v1' || !isObject(metadata)) continue;
    const pairs = Object.entries(asObject(metadata['labels'])).map(([key, text]) => [key, String(text)] as const);
    labels.set(asText(metadata['name']), Object.fromEntries(pairs));
  }
  return labels;
}
