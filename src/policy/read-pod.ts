import type { ContainerView, DnsConfig, DnsOption, PodView } from './model.ts';

/** Thrown by {@link readPod}: names the field that is not as the API has it. */
export class MalformedPodError extends Error {
  override readonly name = 'MalformedPodError';
  readonly code = 'malformed-pod';
}

type Json = Readonly<Record<string, unknown>>;

const wrong = (path: string, expected: string): MalformedPodError =>
  new MalformedPodError(`${path} is not ${expected}`);

function object(value: unknown, path: string): Json | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) throw wrong(path, 'an object');
  return value as Json;
}

function list(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrong(path, 'a list');
  return value;
}

function text(value: unknown, path: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw wrong(path, 'a string');
  return value;
}

const texts = (value: unknown, path: string): string[] =>
  list(value, path).map((item, index) => (typeof item === 'string' ? item : text(item, `${path}[${index}]`)));

function textMap(value: unknown, path: string): Record<string, string> {
  const map: Record<string, string> = Object.create(null);
  for (const [key, item] of Object.entries(object(value, path) ?? {})) map[key] = text(item, `${path}[${key}]`);
  return map;
}

function dnsOption(value: unknown, path: string): DnsOption {
  const option = object(value, path);
  if (option === undefined) throw wrong(path, 'an object');
  const name = text(option['name'], `${path}.name`);
  const given = option['value'];
  return given === undefined || given === null ? { name } : { name, value: text(given, `${path}.value`) };
}

function dnsConfig(value: unknown): DnsConfig {
  const config = object(value, 'spec.dnsConfig') ?? {};
  return {
    nameservers: texts(config['nameservers'], 'spec.dnsConfig.nameservers'),
    searches: texts(config['searches'], 'spec.dnsConfig.searches'),
    options: list(config['options'], 'spec.dnsConfig.options').map((option, index) =>
      dnsOption(option, `spec.dnsConfig.options[${index}]`),
    ),
  };
}

type CommandLine = Pick<ContainerView, 'command' | 'args'>;

const commandLine = (item: Json, path: string): CommandLine => ({
  command: texts(item['command'], `${path}.command`),
  args: texts(item['args'], `${path}.args`),
});

const container = (item: Json, path: string): ContainerView => ({
  name: text(item['name'], `${path}.name`),
  image: text(item['image'], `${path}.image`),
  ...commandLine(item, path),
});

function ofEach<T>(spec: Json, field: string, read: (item: Json, path: string) => T): T[] {
  return list(spec[field], `spec.${field}`).map((value, index) => {
    const path = `spec.${field}[${index}]`;
    const item = object(value, path);
    if (item === undefined) throw wrong(path, 'an object');
    return read(item, path);
  });
}

/** Init containers, then containers. */
const ofContainers = <T>(spec: Json, read: (item: Json, path: string) => T): T[] => [
  ...ofEach(spec, 'initContainers', read),
  ...ofEach(spec, 'containers', read),
];

/** The architectures of the first required term that names any: the scheduler may use each of them. */
function affinityArchitectures(spec: Json): string[] {
  const node = object(object(spec['affinity'], 'spec.affinity')?.['nodeAffinity'], 'spec.affinity.nodeAffinity');
  const required = object(node?.['requiredDuringSchedulingIgnoredDuringExecution'], 'required node affinity');
  for (const term of list(required?.['nodeSelectorTerms'], 'nodeSelectorTerms')) {
    for (const item of list(object(term, 'nodeSelectorTerms[]')?.['matchExpressions'], 'matchExpressions')) {
      const expression = object(item, 'matchExpressions[]');
      if (expression?.['key'] !== 'kubernetes.io/arch' || expression['operator'] !== 'In') continue;
      return texts(expression['values'], 'matchExpressions[].values');
    }
  }
  return [];
}

/** Of an object nothing but what stands under the key. */
const only = (value: unknown, key: string, of: (value: unknown) => unknown = (under) => under): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? { [key]: of((value as Json)[key]) } : value;

/** `spec.affinity` without what {@link readPod} does not read of it: DaemonSets pin each Pod to its node by a field of it. */
export const affinityAsRead = (affinity: unknown): unknown =>
  only(affinity, 'nodeAffinity', (node) =>
    only(node, 'requiredDuringSchedulingIgnoredDuringExecution', (required) =>
      only(required, 'nodeSelectorTerms', (terms) =>
        Array.isArray(terms) ? terms.map((term: unknown) => only(term, 'matchExpressions')) : terms,
      ),
    ),
  );

/**
 * Reads the parts of a Pod that a decision needs, from the API's JSON or from a Pod template: any value may be missing
 * or null. Throws {@link MalformedPodError} where one has the wrong type.
 */
export function readPod(value: unknown): PodView {
  const pod = object(value, 'the Pod') ?? {};
  const metadata = object(pod['metadata'], 'metadata') ?? {};
  const spec = object(pod['spec'], 'spec') ?? {};
  return {
    labels: textMap(metadata['labels'], 'metadata.labels'),
    annotations: textMap(metadata['annotations'], 'metadata.annotations'),
    dnsPolicy: text(spec['dnsPolicy'], 'spec.dnsPolicy') || 'ClusterFirst',
    dnsConfig: dnsConfig(spec['dnsConfig']),
    hostNetwork: spec['hostNetwork'] === true,
    os: text(object(spec['os'], 'spec.os')?.['name'], 'spec.os.name'),
    nodeName: text(spec['nodeName'], 'spec.nodeName'),
    schedulerName: text(spec['schedulerName'], 'spec.schedulerName'),
    nodeSelector: textMap(spec['nodeSelector'], 'spec.nodeSelector'),
    affinityArchitectures: affinityArchitectures(spec),
    tolerations: list(spec['tolerations'], 'spec.tolerations').map((item, index) => {
      const toleration = object(item, `spec.tolerations[${index}]`);
      return {
        key: text(toleration?.['key'], 'toleration key'),
        value: text(toleration?.['value'], 'toleration value'),
      };
    }),
    imagePullSecrets: list(spec['imagePullSecrets'], 'spec.imagePullSecrets').map((item) =>
      text(object(item, 'spec.imagePullSecrets[]')?.['name'], 'spec.imagePullSecrets[].name'),
    ),
    serviceAccountName: text(spec['serviceAccountName'], 'spec.serviceAccountName') || 'default',
    containers: ofContainers(spec, container),
  };
}

/**
 * What {@link readPod} reads of a Pod that has its command lines for itself and all else in common with one that was read. Throws
 * {@link MalformedPodError} where a command line has the wrong type.
 */
export function withCommandLines(common: PodView, value: unknown): PodView {
  const spec = object(object(value, 'the Pod')?.['spec'], 'spec') ?? {};
  const lines = ofContainers(spec, commandLine);
  return { ...common, containers: common.containers.map((one, index) => ({ ...one, ...lines[index] })) };
}
