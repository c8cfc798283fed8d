import { renderText, NAMESPACE } from './helm.ts';

/** Which kinds stand in which file; what is in none of them is in webhook.yaml. */
const FILES: readonly (readonly [file: string, kinds: readonly string[]])[] = [
  ['crd.yaml', ['CustomResourceDefinition']],
  ['rbac.yaml', ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding']],
  ['registration.yaml', ['MutatingWebhookConfiguration']],
  ['certificate.yaml', ['Certificate', 'Issuer']],
];

const NAMESPACE_OBJECT = `apiVersion: v1
kind: Namespace
metadata:
  name: ${NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
`;

interface Variant {
  readonly folder: string;
  readonly values: readonly string[];
  /** The files wanted of this variant, with the name each gets. */
  readonly files: Readonly<Record<string, string>>;
}

const ALL = ['crd.yaml', 'rbac.yaml', 'webhook.yaml'];

const sameName = (...names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, name]));

/** What both scopes of a kind of installation share, and the registration of each. */
function scopes(folder: string, values: readonly string[], shared: readonly string[]): Variant[] {
  return [
    { folder, values, files: { ...sameName(...shared), 'registration.yaml': 'registration-opt-in.yaml' } },
    {
      folder,
      values: [...values, 'config.scope="cluster"'],
      files: { 'registration.yaml': 'registration-cluster.yaml' },
    },
  ];
}

const VARIANTS: readonly Variant[] = [
  ...scopes('manifests', [], ALL),
  ...scopes('cert-manager', ['certificates.source="cert-manager"'], ['certificate.yaml', 'rbac.yaml', 'webhook.yaml']),
  {
    folder: 'openssl',
    values: ['certificates.source="secret"', 'certificates.secretName="libc-dns-webhook-tls"'],
    files: sameName('rbac.yaml', 'webhook.yaml'),
  },
];

/** Marks of Helm that mean nothing without it. */
const HELMS_OWN = /^ *(# Source: .*|helm\.sh\/.*|app\.kubernetes\.io\/managed-by: .*)\n/gm;

/** The chart's text without what Helm writes for itself. */
export const withoutHelmsOwn = (text: string): string =>
  // Helm 3 and 4 differ in the empty lines between objects.
  text.replaceAll(HELMS_OWN, '').replaceAll(/\n+---\n/g, '\n---\n');

function documents(text: string): string[] {
  return text
    .split(/^---\n/m)
    .map((document) => `${withoutHelmsOwn(document).trim()}\n`)
    .filter((document) => /^kind:/m.test(document));
}

function fileOf(document: string): string {
  const kind = /^kind: (\S+)/m.exec(document)?.[1] ?? '';
  return FILES.find(([, kinds]) => kinds.includes(kind))?.[0] ?? 'webhook.yaml';
}

function filesOf({ folder, values, files }: Variant): [path: string, text: string][] {
  const grouped = Map.groupBy(documents(renderText(values, ['--no-hooks'])), fileOf);
  return Object.entries(files).map(([file, name]) => [
    `certs/${folder}/${name}`,
    (grouped.get(file) ?? []).join('---\n'),
  ]);
}

/** The plain manifests for those without Helm: path from the project's folder on, and text. */
export function renderManifests(): Map<string, string> {
  const files = new Map(VARIANTS.flatMap(filesOf));
  files.set('certs/manifests/namespace.yaml', NAMESPACE_OBJECT);
  return files;
}
