import { sidecarByUs } from './annotations.ts';
import { isAnnotationRead, isLabelRead } from './exemptions.ts';
import type { ContainerView, DnsConfig, DnsOption, PodView } from './model.ts';
import { REASONS } from './reasons.ts';
import { SIDECAR_NAME, SIDECAR_PORTS } from './sidecar.ts';

/** Thrown by {@link readPod}; names the field that the API server refuses. */
export class MalformedPodError extends Error {
  override readonly name = 'MalformedPodError';
  readonly code = 'malformed-pod';
}

/** Returns what people are told of a Pod that {@link readPod} cannot read. */
export const malformedMessage = ({ message }: MalformedPodError): string => `${REASONS.MalformedPod} ${message}.`;

/** core/v1 validation: validateDNSPolicy. */
const DNS_POLICIES: readonly string[] = ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'];

/**
 * Reads the parts of a Pod that a decision needs, from the API's JSON or from a Pod template. Any value may be missing
 * or null. Throws {@link MalformedPodError} if one has the wrong type, or if there is no such dnsPolicy.
 */
export function readPod(value: unknown): PodView {
  const pod = object(value, 'the Pod') ?? {};
  const metadata = object(pod['metadata'], 'metadata') ?? {};
  const spec = object(pod['spec'], 'spec') ?? {};
  const annotations = textMap(metadata['annotations'], 'metadata.annotations');
  const sidecar = sidecarView(spec, annotations);
  return {
    labels: textMap(metadata['labels'], 'metadata.labels'),
    annotations,
    dnsPolicy: dnsPolicy(spec),
    dnsConfig: dnsConfig(spec['dnsConfig']),
    hostNetwork: flag(spec['hostNetwork'], 'spec.hostNetwork'),
    os: text(object(spec['os'], 'spec.os')?.['name'], 'spec.os.name'),
    nodeName: text(spec['nodeName'], 'spec.nodeName'),
    schedulerName: text(spec['schedulerName'], 'spec.schedulerName'),
    nodeSelector: textMap(spec['nodeSelector'], 'spec.nodeSelector'),
    nodeAffinity: nodeAffinity(spec),
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
    containers: withoutOurs(ofContainers(spec, containerOf(spec)), sidecar),
    sidecar,
  };
}

/**
 * Returns what {@link readPod} would return for a Pod that differs from `common` only in its command lines and variables. Throws
 * {@link MalformedPodError} if a command line has the wrong type.
 */
export function withCommandLines(common: PodView, value: unknown): PodView {
  const spec = object(object(value, 'the Pod')?.['spec'], 'spec') ?? {};
  const lines = withoutOurs(ofContainers(spec, commandLine), common.sidecar);
  return { ...common, containers: common.containers.map((one, index) => ({ ...one, ...lines[index] })) };
}

/**
 * Returns the parts of a Pod that {@link readPod} reads and a decision depends on, in a fixed order; undefined for
 * those that the Pod lacks. Keeps values of the wrong type, so that {@link readPod} throws for the parts if it throws
 * for the Pod. Pods with the same parts in the same namespace get the same decision.
 */
export const partsRead = (pod: unknown): unknown => partsOf(pod, true);

/** Returns {@link partsRead} without command lines and variables, which {@link withCommandLines} adds. */
export const templatePartsRead = (pod: unknown): unknown => partsOf(pod, false);

function partsOf(value: unknown, withLines: boolean): unknown {
  if (!isObject(value)) return value;
  const { metadata, spec } = value;
  const metadataRead = isObject(metadata)
    ? {
        labels: entriesRead(metadata['labels'], isLabelRead),
        annotations: entriesRead(metadata['annotations'], isAnnotationRead),
      }
    : metadata;
  const specRead = isObject(spec)
    ? {
        dnsPolicy: spec['dnsPolicy'],
        dnsConfig: spec['dnsConfig'],
        hostNetwork: spec['hostNetwork'],
        os: spec['os'],
        nodeName: spec['nodeName'],
        schedulerName: spec['schedulerName'],
        nodeSelector: spec['nodeSelector'],
        affinity: affinityRead(spec['affinity']),
        tolerations: pickOfEach(spec['tolerations'], ['key', 'value']),
        imagePullSecrets: spec['imagePullSecrets'],
        serviceAccountName: spec['serviceAccountName'],
        initContainers: containersRead(spec['initContainers'], withLines),
        containers: containersRead(spec['containers'], withLines),
        volumes: volumesRead(spec['volumes']),
        resources: pick(spec['resources'], []),
        ...userRead(spec),
      }
    : spec;
  return { metadata: metadataRead, spec: specRead };
}

/** Returns the labels or annotations that decisions read; all of them if one has the wrong type. */
function entriesRead(map: unknown, isRead: (name: string) => boolean): unknown {
  if (!isObject(map)) return map;
  const entries = Object.entries(map);
  if (entries.some(([, value]) => typeof value !== 'string')) return map;
  return Object.fromEntries(entries.filter(([name]) => isRead(name)));
}

/** Keeps only the required node labels, because a DaemonSet's controller pins each Pod to its node by a field. */
const affinityRead = (affinity: unknown): unknown =>
  only(affinity, 'nodeAffinity', (node) =>
    only(node, 'requiredDuringSchedulingIgnoredDuringExecution', (required) =>
      only(required, 'nodeSelectorTerms', (terms) => pickOfEach(terms, ['matchExpressions'])),
    ),
  );

/** Returns an object with this key alone, its value reduced by `of`; undefined if nothing is left. */
function only(value: unknown, key: string, of: (under: unknown) => unknown): unknown {
  if (!isObject(value)) return value;
  const under = of(value[key]);
  return under === undefined ? undefined : { [key]: under };
}

/** Returns the given fields of an object, in this order; any other value unchanged. */
const pick = (value: unknown, fields: readonly string[]): unknown =>
  isObject(value)
    ? Object.fromEntries(fields.filter((field) => field in value).map((field) => [field, value[field]]))
    : value;

const pickOfEach = (value: unknown, fields: readonly string[]): unknown =>
  Array.isArray(value) ? value.map((item: unknown) => pick(item, fields)) : value;

/** Returns what decisions read of each container; `withLines`: command lines and variables, too. */
function containersRead(value: unknown, withLines: boolean): unknown {
  if (!Array.isArray(value)) return value;
  return value.map((item: unknown) => {
    if (!isObject(item)) return item;
    const { name, image, command, args, workingDir } = item;
    return {
      name,
      image,
      ...(withLines && { command, args, ...environmentRead(item) }),
      workingDir,
      ...userRead(item),
      ...mountsRead(item),
      ...itemsRead(item, 'ports', isPortOfOurs),
    };
  });
}

/** Returns `securityContext` with the user alone; without the field if it names none. */
function userRead(item: Json): Json {
  const runAsUser = userOf(item);
  return runAsUser === undefined ? {} : { securityContext: { runAsUser } };
}

function mountsRead(item: Json): Json {
  const paths = mountPaths(item);
  return paths.length === 0 ? {} : { volumeMounts: paths.map((mountPath) => ({ mountPath })) };
}

const variableRead = (one: unknown): unknown =>
  isObject(one) && isObject(one['valueFrom'])
    ? { name: one['name'], valueFrom: {} }
    : pick(one, ['name', 'value', 'valueFrom']);

/** Returns the variables, and whether there is an `envFrom`: not where their values come from. */
function environmentRead(item: Json): Json {
  const { env, envFrom } = item;
  return {
    ...(env !== undefined && { env: Array.isArray(env) ? env.map(variableRead) : env }),
    ...(envFrom !== undefined && { envFrom: Array.isArray(envFrom) ? envFrom.map(() => ({})) : envFrom }),
  };
}

/** Returns a list field with the items that are read; without the field if none is. */
function itemsRead(item: Json, field: string, isRead: (one: unknown) => boolean): Json {
  const given = item[field];
  if (!Array.isArray(given)) return given === undefined ? {} : { [field]: given };
  const read = given.filter(isRead);
  return read.length === 0 ? {} : { [field]: read };
}

type CommandLine = Pick<ContainerView, 'name' | 'command' | 'args' | 'env' | 'envElsewhere' | 'envFrom'>;

const commandLine = (item: Json, path: string): CommandLine => ({
  name: text(item['name'], `${path}.name`),
  command: texts(item['command'], `${path}.command`),
  args: texts(item['args'], `${path}.args`),
  ...environment(item),
});

/** Returns a reader of the containers of a Pod. */
const containerOf =
  (spec: Json) =>
  (item: Json, path: string): ContainerView => ({
    image: text(item['image'], `${path}.image`),
    ...commandLine(item, path),
    ...surroundings(item, spec),
  });

/** Most variables that are read: a kernel passes on no more bytes than these have in practice. */
const MOST_VARIABLES = 2048;

/** Reads the variables of `env`, of two with one name the last. Skips what has the wrong type. */
function environment(item: Json): Pick<ContainerView, 'env' | 'envElsewhere' | 'envFrom'> {
  // Without a prototype V8 makes no hidden class for each name: that took half of the time of a Pod with a thousand of them.
  const env = Object.create(null) as Record<string, string>;
  const elsewhere = new Set<string>();
  let given = 0;
  for (const variable of items(item['env']).slice(0, MOST_VARIABLES)) {
    if (!isObject(variable) || typeof variable['name'] !== 'string') continue;
    const { name, value, valueFrom } = variable;
    if (name in env) {
      given -= 1;
      delete env[name];
    }
    elsewhere.delete(name);
    if (valueFrom) elsewhere.add(name);
    else if (typeof (value ?? '') === 'string') {
      given += 1;
      env[name] = (value ?? '') as string;
    }
  }
  return {
    ...(given > 0 && { env }),
    ...(elsewhere.size > 0 && { envElsewhere: [...elsewhere] }),
    ...(items(item['envFrom']).length > 0 && { envFrom: true }),
  };
}

/** Reads what a container's program is found by, besides its words. Skips what has the wrong type. */
function surroundings(item: Json, spec: Json): Pick<ContainerView, 'workingDir' | 'user' | 'mounts'> {
  const directory = item['workingDir'];
  const user = userOf(item) ?? userOf(spec);
  const mounts = mountPaths(item);
  return {
    ...(typeof directory === 'string' && directory !== '' && { workingDir: directory }),
    ...(user !== undefined && { user: String(user) }),
    ...(mounts.length > 0 && { mounts: mounts.toSorted() }),
  };
}

/** Where the API server mounts each Pod's token (plugin/pkg/admission/serviceaccount): no program is there. */
const TOKEN_MOUNT = /^\/(?:var\/)?run\/secrets\/kubernetes\.io\/serviceaccount\/?$/u;

function mountPaths(item: Json): string[] {
  const paths = items(item['volumeMounts']).map((mount) => (isObject(mount) ? mount['mountPath'] : undefined));
  return paths.filter(
    (path): path is string => typeof path === 'string' && path.startsWith('/') && !TOKEN_MOUNT.test(path),
  );
}

function userOf(item: Json): number | undefined {
  const context = item['securityContext'];
  const user = isObject(context) ? context['runAsUser'] : undefined;
  return Number.isSafeInteger(user) ? (user as number) : undefined;
}

/** Init containers, then containers. */
const ofContainers = <T>(spec: Json, read: (item: Json, path: string) => T): T[] => [
  ...ofEach(spec, 'initContainers', read),
  ...ofEach(spec, 'containers', read),
];

function ofEach<T>(spec: Json, field: string, read: (item: Json, path: string) => T): T[] {
  return list(spec[field], `spec.${field}`).map((value, index) => {
    const path = `spec.${field}[${index}]`;
    const item = object(value, path);
    if (item === undefined) throw wrong(path, 'an object');
    return read(item, path);
  });
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

function dnsOption(value: unknown, path: string): DnsOption {
  const option = object(value, path);
  if (option === undefined) throw wrong(path, 'an object');
  const name = text(option['name'], `${path}.name`);
  const given = option['value'];
  return given === undefined || given === null ? { name } : { name, value: text(given, `${path}.value`) };
}

/** Returns the node labels that each required term demands by value. */
function dnsPolicy(spec: Json): string {
  const policy = text(spec['dnsPolicy'], 'spec.dnsPolicy') || 'ClusterFirst';
  if (!DNS_POLICIES.includes(policy)) throw wrong('spec.dnsPolicy', `one of ${DNS_POLICIES.join(', ')}`);
  return policy;
}

function nodeAffinity(spec: Json): PodView['nodeAffinity'] {
  const node = object(object(spec['affinity'], 'spec.affinity')?.['nodeAffinity'], 'spec.affinity.nodeAffinity');
  const required = object(node?.['requiredDuringSchedulingIgnoredDuringExecution'], 'required node affinity');
  return list(required?.['nodeSelectorTerms'], 'nodeSelectorTerms').map((term) =>
    list(object(term, 'nodeSelectorTerms[]')?.['matchExpressions'], 'matchExpressions').flatMap((item) => {
      const expression = object(item, 'matchExpressions[]');
      if (expression?.['operator'] !== 'In') return [];
      const key = text(expression['key'], 'matchExpressions[].key');
      return [{ key, values: texts(expression['values'], 'matchExpressions[].values') }];
    }),
  );
}

/** Reads what stands in the place of our cache. Values of the wrong type do not. */
function sidecarView(spec: Json, annotations: PodView['annotations']): PodView['sidecar'] {
  const init = items(spec['initContainers']);
  const ours = spec['dnsPolicy'] === 'None' && init.some(isNamedAsOurs) && sidecarByUs({ annotations });
  const containers = [...init, ...items(spec['containers'])];
  return {
    ours,
    nameTaken: !ours && [...containers, ...items(spec['volumes'])].some(isNamedAsOurs),
    portTaken: containers.some((one) => isObject(one) && items(one['ports']).some(isPortOfOurs)),
    podResources: isObject(spec['resources']),
  };
}

const withoutOurs = <T extends { readonly name: string }>(all: readonly T[], { ours }: PodView['sidecar']): T[] =>
  ours ? all.filter(({ name }) => name !== SIDECAR_NAME) : [...all];

/** Keeps only a volume of our name: the volume of a Pod's service account token has a name of its own in each Pod. */
const volumesRead = (value: unknown): unknown =>
  Array.isArray(value) ? pickOfEach(value.filter(isNamedAsOurs), ['name']) : value;

const isNamedAsOurs = (item: unknown): boolean => isObject(item) && item['name'] === SIDECAR_NAME;

const isPortOfOurs = (port: unknown): boolean =>
  isObject(port) && SIDECAR_PORTS.some((one) => port['containerPort'] === one);

const items = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

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

function flag(value: unknown, path: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw wrong(path, 'true or false');
  return value;
}

const texts = (value: unknown, path: string): string[] =>
  list(value, path).map((item, index) => (typeof item === 'string' ? item : text(item, `${path}[${index}]`)));

function textMap(value: unknown, path: string): Record<string, string> {
  const map: Record<string, string> = Object.create(null);
  for (const [key, item] of Object.entries(object(value, path) ?? {})) map[key] = text(item, `${path}[${key}]`);
  return map;
}

const wrong = (path: string, expected: string): MalformedPodError =>
  new MalformedPodError(`${path} is not ${expected}`);

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

type Json = Readonly<Record<string, unknown>>;
