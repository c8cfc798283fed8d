import { asObject, asText, isObject, type Json, objectAt } from '../util/json.ts';
import { objectsIn, type Path, type PlacedObject } from './objects.ts';
import { type OperatorTemplate, operatorTemplates } from './operator-templates.ts';

/** A Pod or Pod template inside a manifest document. */
export interface PodTemplate {
  readonly kind: string;
  readonly name: string;
  /** Empty if the object names none. */
  readonly namespace: string;
  /** From the document's root to the object that holds it; not empty inside a List. */
  readonly objectPath: Path;
  /** From the object to the Pod: empty for a Pod itself, `['spec', 'template']` for a Deployment. */
  readonly podPath: Path;
  /** From the object to what becomes the Pod's metadata, and to its DNS settings. */
  readonly metadataPath: Path;
  readonly specPath: Path;
  /** The Pod or Pod template itself; of operators that make Pods in another way, the Pod that they make. */
  readonly pod: unknown;
}

/** An object that names images and that nothing is changed in. */
export interface PassedOver {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly why: string;
}

/**
 * Finds the Pods and Pod templates in a document's value, also inside Lists: of workloads, and in other objects every field that looks like
 * one. What the controller of such an object does with its template is its own affair.
 */
export function podTemplates(value: unknown): PodTemplate[] {
  return objectsIn(value).flatMap((placed) => templatesOf(placed));
}

/** Returns the objects in a document that name images but hold no template that could be patched. */
export function passedOver(value: unknown): PassedOver[] {
  return objectsIn(value).flatMap((placed) => {
    const { object } = placed;
    if (
      templatesOf(placed).length > 0 ||
      NO_WORKLOADS.test(`${asText(object['apiVersion'])} ${asText(object['kind'])}`)
    ) {
      return [];
    }
    const other = otherGroup(object);
    if (!namesImage(object) && other?.always !== true) return [];
    return [{ ...identityOf(object), why: other?.why ?? 'no Pod template found in it' }];
  });
}

/** Returns the labels of the Namespace objects in a document, by the namespace's name. */
export function namespaceLabels(value: unknown): Map<string, Record<string, string>> {
  const labels = new Map<string, Record<string, string>>();
  for (const { object } of objectsIn(value)) {
    const { metadata } = object;
    if (object['kind'] !== 'Namespace' || object['apiVersion'] !== 'v1' || !isObject(metadata)) continue;
    const pairs = Object.entries(asObject(metadata['labels'])).map(([key, text]) => [key, String(text)] as const);
    labels.set(asText(metadata['name']), Object.fromEntries(pairs));
  }
  return labels;
}

/** Where Kubernetes itself has Pod templates. */
const TEMPLATE_PATHS = [['spec', 'template'], ['spec', 'jobTemplate', 'spec', 'template'], ['template']] as const;

interface OtherGroup {
  /** Of the API version and the kind. */
  readonly group: RegExp;
  readonly why: string;
  /** It makes Pods though it may name no image. */
  readonly always?: true;
}

/** Objects whose templates take no DNS settings. */
const OTHERS: readonly OtherGroup[] = [
  // https://knative.dev/docs/serving/configuration/feature-flags/#kubernetes-dnspolicy
  {
    group: /^serving\.knative\.dev\//,
    why: 'Knative refuses DNS settings unless kubernetes.podspec-dnsconfig is enabled',
  },
  // https://cloud.google.com/run/docs/reference/yaml/v1
  { group: /^run\.googleapis\.com\//, why: 'Cloud Run has no DNS settings' },
  // https://tekton.dev/docs/pipelines/podtemplates/
  { group: /^tekton\.dev\//, why: 'Tekton takes DNS settings from the podTemplate of a run' },
  // https://strimzi.io/docs/operators/latest/configuring#type-PodTemplate-reference
  {
    group: /^kafka\.strimzi\.io\/\S+ Kafka(?:Connect|Bridge|MirrorMaker2?|NodePool)?$/,
    why: 'Strimzi makes its Pods itself, from template.pod',
    always: true,
  },
];

const otherGroup = (object: Json): OtherGroup | undefined =>
  OTHERS.find(({ group }) => group.test(`${asText(object['apiVersion'])} ${asText(object['kind'])}`));

/** Objects that hold patterns, schemas or the history of objects, not objects to create. */
const NO_WORKLOADS =
  /^(?:apiextensions\.k8s\.io\/\S+ CustomResourceDefinition|apps\/\S+ ControllerRevision|kyverno\.io\/|policies\.kyverno\.io\/|\S*gatekeeper\.sh\/|admissionregistration\.k8s\.io\/)/;

function templatesOf({ object, path: objectPath }: PlacedObject): PodTemplate[] {
  const { kind, name, namespace } = identityOf(object);
  const found = operatorTemplates(object) ?? templatePaths(object).map((path) => ordinary(object, path));
  return found.map(({ path: podPath, metadataPath, specPath, pod }) => ({
    kind,
    name,
    namespace,
    objectPath,
    podPath,
    metadataPath,
    specPath,
    pod,
  }));
}

const ordinary = (object: Json, path: Path): OperatorTemplate => ({
  path,
  metadataPath: [...path, 'metadata'],
  specPath: [...path, 'spec'],
  pod: path.reduce<unknown>((node, key) => (node as Record<string | number, unknown>)[key], object),
});

const identityOf = (object: Json): Pick<PodTemplate, 'kind' | 'name' | 'namespace'> => {
  const metadata = asObject(object['metadata']);
  return {
    kind: asText(object['kind']),
    name: asText(metadata['name']) || asText(metadata['generateName']),
    namespace: asText(metadata['namespace']),
  };
};

function templatePaths(object: Json): Path[] {
  const version = asText(object['apiVersion']);
  const kind = asText(object['kind']);
  if (kind === 'Pod' && version === 'v1') return [[]];
  if (otherGroup(object) !== undefined || NO_WORKLOADS.test(`${version} ${kind}`)) return [];
  const usual = TEMPLATE_PATHS.find((path) => Array.isArray(objectAt(object, [...path, 'spec'])['containers']));
  if (usual !== undefined) return [usual];
  const found: Path[] = [];
  for (const [key, value] of Object.entries(object)) {
    if (key !== 'status' && key !== 'metadata') findTemplates(value, [key], found);
  }
  return found;
}

/** Collects the paths of values that look like Pod templates. */
function findTemplates(value: unknown, path: Path, found: Path[]): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) findTemplates(item, [...path, index], found);
  } else if (isObject(value)) {
    if (isTemplate(value)) found.push(path);
    else for (const [key, item] of Object.entries(value)) findTemplates(item, [...path, key], found);
  }
}

/** A Pod template has a `spec` with containers that have names and images. */
function isTemplate(value: Json): boolean {
  const { containers } = asObject(value['spec']);
  return Array.isArray(containers) && containers.length > 0 && containers.every(isContainer);
}

const isContainer = (value: unknown): boolean =>
  isObject(value) && asText(value['name']) !== '' && asText(value['image']) !== '';

/** Reports whether there is an `image: <reference>` in an object, its status aside. */
function namesImage(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(namesImage);
  if (!isObject(value)) return false;
  return Object.entries(value).some(([key, item]) =>
    key === 'image' ? asText(item) !== '' || namesImage(item) : key !== 'status' && namesImage(item),
  );
}
