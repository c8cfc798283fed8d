import { asObject, asText, isObject, type Json, objectAt } from '../util/json.ts';
import type { Path } from './objects.ts';

/** A Pod or Pod template inside an object. All paths begin at the object. */
export interface TemplateParts {
  /** Empty for a Pod itself, `['spec', 'template']` for a Deployment. */
  readonly podPath: Path;
  /** What becomes the Pod's metadata. */
  readonly metadataPath: Path;
  /** What its DNS settings are taken from. */
  readonly specPath: Path;
  /** The Pod or Pod template itself; of operators that make Pods in another way, the Pod that they make, as far as decisions read it. */
  readonly pod: unknown;
}

/** Returns the templates of kinds that keep images or DNS settings elsewhere than Pods do; undefined for other kinds. */
export function operatorTemplates(object: Json): TemplateParts[] | undefined {
  const version = asText(object['apiVersion']);
  const kind = asText(object['kind']);
  if (version.startsWith('argoproj.io/') && Object.hasOwn(WORKFLOWS, kind))
    return workflow(object, WORKFLOWS[kind] ?? []);
  return /\.k8s\.elastic\.co\//.test(version) ? elastic(object, kind) : undefined;
}

/** https://argo-workflows.readthedocs.io/en/latest/fields/#workflowspec: DNS settings are of the workflow, images of its templates. */
const WORKFLOWS: Readonly<Record<string, readonly string[]>> = {
  Workflow: ['spec'],
  WorkflowTemplate: ['spec'],
  ClusterWorkflowTemplate: ['spec'],
  CronWorkflow: ['spec', 'workflowSpec'],
};

function workflow(object: Json, specPath: readonly string[]): TemplateParts[] {
  const spec = objectAt(object, specPath);
  const { podMetadata, templates } = spec;
  const containers = listOf(templates).flatMap((template) => templateContainers(asObject(template)));
  if (containers.length === 0) return [];
  // A workflow has no place for the cache of remedy sidecar: `resources` of a Pod make it impossible.
  const pod = { metadata: podMetadata, spec: { ...spec, containers, initContainers: [], volumes: [], resources: {} } };
  return [{ podPath: specPath, metadataPath: [...specPath, 'podMetadata'], specPath, pod }];
}

/** The containers of a workflow's template, by the template's name. */
function templateContainers(template: Json): Json[] {
  const { name, container, script, containerSet, initContainers, sidecars } = template;
  const main = [container, script].filter(isObject).map(({ image, command, args, env, volumeMounts }) => ({
    name: asText(name),
    image,
    // A script is run by its command, which gets the source as a file.
    command,
    args,
    env,
    volumeMounts,
  }));
  return [main, listOf(asObject(containerSet)['containers']), listOf(initContainers), listOf(sidecars)]
    .flat()
    .filter(isObject);
}

/** Images of Elastic's operator: pkg/controller/common/container of elastic/cloud-on-k8s. */
const ELASTIC: Readonly<Record<string, string>> = {
  Elasticsearch: 'elasticsearch/elasticsearch',
  Kibana: 'kibana/kibana',
  ApmServer: 'apm/apm-server',
  EnterpriseSearch: 'enterprise-search/enterprise-search',
  Logstash: 'logstash/logstash',
};

/** Finds every `podTemplate`. Its containers without an image get the one that the operator gives them. */
function elastic(object: Json, kind: string): TemplateParts[] {
  const { image, version } = asObject(object['spec']);
  const repository = ELASTIC[kind];
  const usual = repository === undefined ? '' : `docker.elastic.co/${repository}:${asText(version)}`;
  const found: TemplateParts[] = [];
  const find = (value: unknown, path: Path): void => {
    if (Array.isArray(value)) for (const [index, item] of value.entries()) find(item, [...path, index]);
    if (!isObject(value)) return;
    for (const [key, item] of Object.entries(value)) {
      const at = [...path, key];
      const { metadata, spec } = asObject(item);
      const { containers } = asObject(spec);
      if (key !== 'podTemplate' || !Array.isArray(containers)) {
        find(item, at);
        continue;
      }
      const given = containers.map((one: unknown) => withImage(one, asText(image) || usual));
      const pod = { metadata, spec: { ...asObject(spec), containers: given } };
      found.push({ podPath: at, metadataPath: [...at, 'metadata'], specPath: [...at, 'spec'], pod });
    }
  };
  find(object['spec'], ['spec']);
  return found;
}

const withImage = (container: unknown, image: string): unknown =>
  isObject(container) && asText(container['image']) === '' ? { ...container, image } : container;

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
