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
  const { image, version: release, type } = asObject(object['spec']);
  if (version.startsWith('flink.apache.org/')) return podTemplatesIn(object, asText(image));
  if (!/\.k8s\.elastic\.co\//.test(version)) return undefined;
  return podTemplatesIn(object, asText(image) || elasticImage(kind, asText(type), asText(release)));
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

/** Images of Elastic's operator, for its releases from 8.16: pkg/controller/common/container/container.go of elastic/cloud-on-k8s. */
const ELASTIC: Readonly<Record<string, string>> = {
  Elasticsearch: 'elasticsearch/elasticsearch',
  Kibana: 'kibana/kibana',
  ApmServer: 'apm/apm-server',
  EnterpriseSearch: 'enterprise-search/enterprise-search',
  Logstash: 'logstash/logstash',
  Agent: 'beats/elastic-agent',
  ElasticMapsServer: 'elastic-maps-service/elastic-maps-server',
};

/** Those of kind Beat whose image the operator knows: the others name theirs. */
const BEATS = /^(?:file|metric|heart|audit|journal|packet)beat$/;

/** Returns the image of a kind's main container; an empty text if the operator has none for it. */
function elasticImage(kind: string, type: string, version: string): string {
  const repository = kind === 'Beat' && BEATS.test(type) ? `beats/${type}` : ELASTIC[kind];
  return repository === undefined ? '' : `docker.elastic.co/${repository}:${version}`;
}

/**
 * Finds every `podTemplate`. Its containers without an image get the one that the operator gives them. Of Flink that is `spec.image`:
 * https://nightlies.apache.org/flink/flink-kubernetes-operator-docs-main/docs/custom-resource/pod-template/.
 */
function podTemplatesIn(object: Json, image: string): TemplateParts[] {
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
      const given = containers.map((one: unknown) => withImage(one, image));
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
