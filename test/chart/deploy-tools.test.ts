import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

import { argoCdFolder, missingIn } from '../kubernetes/programs.ts';
import { bundle } from '../support/bundle.ts';
import { hasHelm, ROOT } from './helm.ts';

/** The tools run in a copy of examples/, with this program on their path as `libc-dns`. */
let folder: string;
let environment: NodeJS.ProcessEnv;
let built: ReturnType<typeof bundle>;
beforeAll(() => {
  built = bundle();
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-tools-'));
  cpSync(join(ROOT, 'examples'), path('examples'), { recursive: true });
  mkdirSync(path('bin'));
  const program = `#!/bin/sh\nexec '${process.execPath}' '${built.main}' "$@"\n`;
  writeFileSync(path('bin/libc-dns'), program, { mode: 0o755 });
  const offline = { LIBC_DNS_DETECTION_REGISTRY_ENABLED: 'false' };
  const { PATH = '' } = process.env;
  environment = { ...process.env, ...offline, PATH: `${path('bin')}${delimiter}${PATH}`, HOME: folder };
});
afterAll(() => {
  rmSync(folder, { recursive: true });
  built.remove();
});

const path = (name: string): string => join(folder, name);

const run = (command: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): string =>
  execFileSync(command, args, { env: { ...environment, ...more }, encoding: 'utf8', stdio: 'pipe', cwd: folder });

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: unknown;
  readonly spec?: { readonly template: { readonly spec: { readonly dnsConfig?: { readonly options: unknown[] } } } };
}

const manifestsIn = (text: string): Manifest[] =>
  parseAllDocuments(text).flatMap((document) => (document.toJS() as Manifest | null) ?? []);

/** Options that an image gets whose resolver nobody has looked up. */
const PATCHED = [{ name: 'single-request-reopen' }];

const optionsOf = (manifests: readonly Manifest[]): unknown[] =>
  manifests.flatMap(({ kind, spec }) => (kind === 'Deployment' ? [spec?.template.spec.dnsConfig?.options] : []));

const CONFIG_MAP = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: "b"}\n';
const DEPLOYMENT = readFileSync(join(ROOT, 'examples/deployment.yaml'), 'utf8');

describe.runIf(hasHelm())('the post-renderer of Helm', () => {
  const helm = (...args: string[]): string => {
    const own = { HELM_DATA_HOME: path('data'), HELM_CACHE_HOME: path('cache') };
    return run(process.env['HELM'] ?? 'helm', args, own);
  };
  const chart = (template: string): string => {
    rmSync(path('chart'), { recursive: true, force: true });
    mkdirSync(path('chart/templates'), { recursive: true });
    writeFileSync(path('chart/Chart.yaml'), 'apiVersion: v2\nname: web\nversion: 1.0.0\n');
    writeFileSync(path('chart/templates/all.yaml'), `${template}---\n${CONFIG_MAP}`);
    return path('chart');
  };
  beforeAll(() => {
    helm('plugin', 'install', path('examples/helm-post-renderer'));
  });

  it('patches what a chart renders, and leaves the rest', () => {
    const rendered = helm('template', 'web', chart(DEPLOYMENT), '--post-renderer', 'libc-dns');
    const manifests = manifestsIn(rendered);
    expect(optionsOf(manifests)).toEqual([PATCHED]);
    expect(manifests.find(({ kind }) => kind === 'ConfigMap')?.data).toEqual({ a: 'b' });
  });

  it('takes flags, such as the namespace of the release', () => {
    const bare = DEPLOYMENT.replace('  namespace: shop\n', '').replace(
      '    metadata:\n',
      '    metadata:\n      annotations: { libc-dns.dev/libc: musl }\n',
    );
    const more = ['--node-local=on', '-A', '--namespace=bank'].map((flag) => `--post-renderer-args=${flag}`);
    const flags = ['--post-renderer', 'libc-dns', ...more];
    const rendered = helm('template', 'web', chart(bare), '--namespace', 'bank', ...flags);
    expect(rendered).toContain('- bank.svc.cluster.local');
  });

  it('fails where a manifest cannot be read', () => {
    const wrong = DEPLOYMENT.replace('containers:', 'dnsPolicy: 5\n      containers:');
    expect(() => helm('template', 'web', chart(wrong), '--post-renderer', 'libc-dns')).toThrow(
      /plugin "libc-dns" exited with error/,
    );
  });
});

function hasKustomize(): boolean {
  const found = spawnSync('kustomize', ['version']).status === 0;
  if (!found) {
    const how = 'go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1';
    process.stderr.write(`\n!! THE KRM FUNCTION DID NOT RUN: no kustomize: ${how}\n\n`);
  }
  return found;
}

const LIST = `apiVersion: config.kubernetes.io/v1
kind: ResourceList
functionConfig: {apiVersion: libc-dns.dev/v1, kind: Inject, spec: {template: {spec: {containers: [{name: a, image: x}]}}}}
items:
- apiVersion: v1
  kind: Pod
  metadata:
    name: a
    annotations: {config.kubernetes.io/index: '0', internal.config.kubernetes.io/path: a.yaml}
  spec: {containers: [{name: a, image: x}]}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}
`;

describe('the KRM function', () => {
  const inject = (input: string): string =>
    execFileSync('libc-dns', ['inject'], { env: environment, encoding: 'utf8', stdio: 'pipe', input });

  it('writes the ResourceList that it reads, with the Pods of its items patched alone', () => {
    const before = parse(LIST) as { items: Record<string, unknown>[] };
    const after = parse(inject(LIST)) as typeof before;
    expect(after).toMatchObject({ kind: 'ResourceList', apiVersion: 'config.kubernetes.io/v1' });
    expect({ ...after, items: [] }).toEqual({ ...before, items: [], results: expect.any(Array) });
    expect(after.items[0]).toMatchObject({ spec: { dnsConfig: { options: PATCHED } } });
    expect(after.items[0]?.['metadata']).toMatchObject(before.items[0]?.['metadata'] ?? {});
    expect(after.items[1]).toEqual(before.items[1]);
  });

  it('of no items writes the same', () => {
    const empty = 'apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n';
    expect(inject(empty)).toBe(empty);
  });

  it.runIf(hasKustomize())('runs in kustomize', () => {
    const flags = ['--enable-alpha-plugins', '--enable-exec'];
    const manifests = manifestsIn(run('kustomize', ['build', ...flags, path('examples/kustomize')]));
    expect(optionsOf(manifests)).toEqual([PATCHED]);
    expect(manifests.map(({ metadata }) => metadata)).toEqual([
      expect.objectContaining({ name: 'search', namespace: 'shop' }),
    ]);
  });
});

describe('the plugin of Argo CD', () => {
  interface Plugin {
    readonly spec: { readonly generate: { readonly command: [string, ...string[]]; readonly args: string[] } };
  }
  const plugin = parse(readFileSync(join(ROOT, 'examples/argocd/plugin.yaml'), 'utf8')) as Plugin;

  const env = { ARGOCD_APP_NAME: 'web', ARGOCD_APP_NAMESPACE: 'bank' };
  const application = (): string => path('application');
  beforeAll(() => {
    mkdirSync(application());
    writeFileSync(path('application/web.yaml'), DEPLOYMENT);
    writeFileSync(path('application/settings.yaml'), CONFIG_MAP);
    for (const name of ['sockets', 'work']) mkdirSync(path(name));
  });

  /** As argocd-cmp-server runs it: in the folder of the application, with what it tells in the environment. */
  function asWritten(): string {
    const [command, ...first] = plugin.spec.generate.command;
    const options = { env: { ...environment, ...env }, encoding: 'utf8', stdio: 'pipe', cwd: application() } as const;
    return execFileSync(command, [...first, ...plugin.spec.generate.args], options);
  }

  /** By Argo CD's own server, as its repository server asks it. */
  function byArgoCd(): string {
    const own = { ARGOCD_PLUGINSOCKFILEPATH: path('sockets'), ARGOCD_CMP_WORKDIR: path('work') };
    const told = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    rmSync(path('sockets/libc-dns.sock'), { force: true });
    return run(join(argoCdFolder, 'argo-cd-plugin'), [path('examples/argocd'), application(), ...told], own);
  }

  const isBuilt = missingIn(argoCdFolder, ['argo-cd-plugin']).length === 0;
  if (!isBuilt) {
    const how = 'npm run kubernetes -- --argo-cd';
    process.stderr.write(`\n!! THE PLUGIN DID NOT RUN IN ARGO CD: its server is not built: ${how}\n\n`);
  }

  describe.each([
    { how: 'as it is written', generate: asWritten, runs: true },
    { how: 'in Argo CD', generate: byArgoCd, runs: isBuilt },
  ])('$how', ({ generate, runs }) => {
    it.runIf(runs)('prints the manifests of its folder, patched', () => {
      const manifests = manifestsIn(generate());
      expect(manifests.map(({ kind }) => kind)).toEqual(['ConfigMap', 'Deployment']);
      expect(optionsOf(manifests)).toEqual([PATCHED]);
    });

    it.runIf(runs)('fails where one cannot be read', () => {
      writeFileSync(path('application/wrong.yaml'), 'a: [');
      expect(generate).toThrow(/wrong\.yaml: document 1, line 1/);
      rmSync(path('application/wrong.yaml'));
    });
  });
});
