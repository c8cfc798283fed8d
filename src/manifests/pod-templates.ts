import { MalformedPodError, malformedMessage, readPod } from '../policy/read-pod.ts';
import { asObject, asText, isObject, type Json, objectAt } from '../util/json.ts';
import { objectsIn, type Path, type PlacedObject, valueAt } from './objects.ts';
import { operatorTemplates, type TemplateParts } from './operator-templates.ts';

/** How messages name an object. */
interface Identity {
  readonly kind: string;
  readonly name: string;
  /** Empty if the object names none. */
  readonly namespace: string;
}

/** Names an object in messages: `Deployment shop/web`. */
export const describeObject = ({ kind, namespace, name }: Identity): string =>
  `${kind && `${kind} `}${namespace && `${namespace}/`}${name || '(unnamed)'}`;

/** Names an object as `kubectl get -o name` does: `deployment.apps/web`. */
export function resourceName(apiVersion: string, { kind, name }: Pick<Identity, 'kind' | 'name'>): string {
  const slash = apiVersion.indexOf('/');
  return `${kind.toLowerCase()}${slash === -1 ? '' : `.${apiVersion.slice(0, slash)}`}/${name}`;
}

/** A Pod or Pod template inside a manifest document. */
export interface PodTemplate extends Identity, TemplateParts {
  /** From the document's root to the object that holds it; not empty inside a List. */
  readonly objectPath: Path;
}

/** An object that names images and that nothing is changed in. */
export interface PassedOver extends Identity {
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
    if (NO_WORKLOADS.test(typeOf(object)) || templatesOf(placed).length > 0) return [];
    const other = otherGroup(object);
    if (!namesImage(object) && other?.always !== true) return [];
    const why = asText(object['kind']) === '' ? 'it has no kind' : 'no Pod template found in it';
    return [{ ...identityOf(object), why: other?.why ?? why }];
  });
}

/** Says what is wrong with the Pod of a template; undefined if it is well formed. */
export function malformation(pod: unknown): string | undefined {
  try {
    readPod(pod);
    return undefined;
  } catch (error) {
    if (error instanceof MalformedPodError) return malformedMessage(error);
    throw error;
  }
}

/** Returns a warning for each container that names no image: the API server refuses its Pod. */
export const unnamedImages = (containers: readonly { readonly name: string; readonly image: string }[]): string[] =>
  containers.filter(({ image }) => image === '').map(({ name }) => `container ${name || '(unnamed)'} names no image`);

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

const otherGroup = (object: Json): OtherGroup | undefined => OTHERS.find(({ group }) => group.test(typeOf(object)));

/** Returns an object's API version and kind: `apps/v1 Deployment`. */
const typeOf = ({ apiVersion, kind }: Json): string => `${asText(apiVersion)} ${asText(kind)}`;

/** Objects that hold patterns, schemas or the history of objects, not objects to create. */
const NO_WORKLOADS =
  /^(?:apiextensions\.k8s\.io\/\S+ CustomResourceDefinition|apps\/\S+ ControllerRevision|kyverno\.io\/|policies\.kyverno\.io\/|\S*gatekeeper\.sh\/|admissionregistration\.k8s\.io\/)/;

function templatesOf({ object, path: objectPath }: PlacedObject): PodTemplate[] {
  const found = operatorTemplates(object) ?? templatePaths(object).map((path) => ordinary(object, path));
  return found.map((parts) => Object.assign({ objectPath }, identityOf(object), parts));
}

const ordinary = (object: Json, podPath: Path): TemplateParts => ({
  podPath,
  metadataPath: [...podPath, 'metadata'],
  specPath: [...podPath, 'spec'],
  pod: valueAt(object, podPath),
});

const identityOf = (object: Json): Identity => {
  const metadata = asObject(object['metadata']);
  return {
    kind: asText(object['kind']),
    name: asText(metadata['name']) || asText(metadata['generateName']),
    namespace: asText(metadata['namespace']),
  };
};

function templatePaths(object: Json): Path[] {
  const type = typeOf(object);
  if (type === 'v1 Pod') return [[]];
  if (otherGroup(object) !== undefined || NO_WORKLOADS.test(type)) return [];
  const usual = TEMPLATE_PATHS.find((path) => Array.isArray(objectAt(object, [...path, 'spec'])['containers']));
  const found: Path[] = usual === undefined ? [] : [usual];
  for (const [key, value] of Object.entries(object)) {
    if (key !== 'status' && key !== 'metadata') findTemplates(value, [key], found);
  }
  return found;
}

/** Adds the paths of values that look like Pod templates, outside of those in `found`. */
function findTemplates(value: unknown, path: Path, found: Path[]): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) findTemplates(item, [...path, index], found);
  } else if (isObject(value) && path.join('.') !== found[0]?.join('.')) {
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

/** Operators' names for an image: `imageName` is CloudNativePG's, `dockerImage` Zalando's. */
const IMAGE_KEYS: readonly string[] = ['image', 'imageName', 'dockerImage'];

/** Reports whether there is an `image: <reference>` in an object, its status aside. */
function namesImage(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(namesImage);
  if (!isObject(value)) return false;
  return Object.entries(value).some(([key, item]) =>
    IMAGE_KEYS.includes(key) ? asText(item) !== '' || namesImage(item) : key !== 'status' && namesImage(item),
  );
}
