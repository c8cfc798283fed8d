import { asObject, asText, isObject, type Json, objectAt } from '../util/json.ts';

/** A Pod or Pod template inside a manifest document. */
export interface PodTemplate {
  readonly kind: string;
  readonly name: string;
  /** Empty if the object names none. */
  readonly namespace: string;
  /** Keys and indexes from the document's root to the object that holds it; not empty inside a List. */
  readonly objectPath: readonly (string | number)[];
  /** From the object to the Pod: empty for a Pod itself, `['spec', 'template']` for a Deployment. */
  readonly podPath: readonly string[];
  /** The Pod or Pod template itself. */
  readonly pod: unknown;
}

/**
 * Finds the Pods and Pod templates in a document's value: of workloads, CronJobs and custom resources, also inside
 * Lists.
 */
export function podTemplates(value: unknown): PodTemplate[] {
  const found: PodTemplate[] = [];
  if (isObject(value)) fromObject(value, [], found);
  return found;
}

/** Returns the labels of the Namespace objects in a document, by the namespace's name. */
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

const TEMPLATE_PATHS = [['spec', 'template'], ['spec', 'jobTemplate', 'spec', 'template'], ['template']] as const;

/** API groups without Pod templates: Knative refuses DNS settings in revisions. */
const OTHER_TEMPLATES = /^serving\.knative\.dev\//;

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

function templatePath(object: Json): readonly string[] | undefined {
  const version = asText(object['apiVersion']);
  if (object['kind'] === 'Pod' && version === 'v1') return [];
  if (OTHER_TEMPLATES.test(version)) return undefined;
  return TEMPLATE_PATHS.find((path) => Array.isArray(objectAt(object, [...path, 'spec'])['containers']));
}
