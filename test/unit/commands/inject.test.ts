import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import jsonPatch, { type Operation } from 'fast-json-patch';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

import { cli } from '../../support/cli.ts';

const DEPLOYMENT = `# what this is
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # the name
  namespace: shop
  labels: &labels
    app: web
spec:
  selector:
    matchLabels: *labels
  template:
    metadata:
      labels: *labels
      annotations:
        libc-dns.dev/libc: musl
        # the last annotation
    spec:
      # the web container
      containers:
      - name: web # c
        image: "nginx:1.29-alpine"
      dnsConfig:
        options:
        # keep this
        - name: ndots
          value: "2"
        # behind the list
      restartPolicy: Always # for ever

# the end
`;

const OTHERS = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: x,   labels: {a: b}}
data:
  run.sh: |
    #!/bin/sh
    echo ---


---
# nothing here
---
apiVersion: example.com/v1
kind: Thing
spec: {template: {spec: {notContainers: []}}}
...
`;

const LOCAL = ['--offline', '--node-local', 'on', '--cluster-dns', '10.96.0.10'];

const inject = async (stdin: string, ...flags: string[]) => {
  const result = await cli(['inject', '--offline', ...flags], { stdin });
  expect([result.code, result.err]).toEqual([0, expect.not.stringContaining('unexpected')]);
  return result.out;
};

/** Lines of `after` that `before` has not, given that it has all of `before`'s, in order. */
function added(before: string, after: string): string[] {
  const lines: string[] = [];
  const old = before.split('\n');
  for (const line of after.split('\n')) {
    if (line === old[0]) old.shift();
    else lines.push(line);
  }
  expect(old).toEqual([]);
  return lines;
}

describe('inject: YAML', () => {
  it('adds lines and changes no other byte: comments, order, anchors, quotes', async () => {
    const after = await inject(DEPLOYMENT, ...LOCAL);
    expect(added(DEPLOYMENT, after)).toEqual([
      `        libc-dns.dev/decision: '{"reason":"MuslRedirected","remedy":["redirect"],"resolvers":{"web":"musl"}}'`,
      '        - name: timeout',
      '          value: "5"',
      '        - name: attempts',
      '          value: "10"',
      '        nameservers:',
      '        - 169.254.20.10',
      '        - 10.96.0.10',
      '        searches:',
      '        - shop.svc.cluster.local',
      '        - svc.cluster.local',
      '        - cluster.local',
      '      dnsPolicy: None',
    ]);
  });

  it('adds the cache that an annotation asks for, with its container before the others', async () => {
    const asking = DEPLOYMENT.replace('        # the last annotation', '        libc-dns.dev/remedy: sidecar').replace(
      '      containers:',
      '      initContainers:\n      # runs first\n      - name: first\n        image: busybox\n      containers:',
    );
    const after = await inject(asking);
    expect(added(asking, after)).toEqual(
      expect.arrayContaining([
        '      - name: libc-dns-cache',
        '        restartPolicy: Always',
        '      dnsPolicy: None',
      ]),
    );
    const { template } = (parse(after) as { spec: { template: Record<string, never> } }).spec;
    expect(template).toMatchObject({
      metadata: { annotations: { 'libc-dns.dev/corefile': expect.stringMatching(/^\.:53 \{\n {4}bind/) as string } },
      spec: {
        initContainers: [{ name: 'libc-dns-cache', restartPolicy: 'Always' }, { name: 'first' }],
        volumes: [{ name: 'libc-dns-cache', downwardAPI: {} }],
        dnsConfig: { nameservers: ['127.0.0.1', '10.96.0.10'] },
      },
    });
    expect(await inject(after)).toBe(after);
  });

  it('leaves document separators and what is no Pod alone', async () => {
    expect(await inject(OTHERS)).toBe(OTHERS);
    const both = await inject(DEPLOYMENT + OTHERS);
    expect(both.endsWith(OTHERS)).toBe(true);
  });

  it('is idempotent', async () => {
    const once = await inject(DEPLOYMENT, ...LOCAL);
    expect(await inject(once, ...LOCAL)).toBe(once);
  });

  it.each([
    {
      name: 'no newline at the end',
      text: 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - name: c',
    },
    { name: 'CRLF', text: 'apiVersion: v1\r\nkind: Pod\r\nspec:\r\n  containers:\r\n    - name: c\r\n' },
    {
      name: 'flow style',
      text: 'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c}], dnsConfig: {options: [{name: edns0}]}}\n',
    },
    {
      name: 'empty flow mappings',
      text: 'apiVersion: v1\nkind: Pod\nmetadata: {annotations: {}}\nspec: {dnsConfig: {}, containers: [{name: c}]}\n',
    },
    {
      name: 'nulls',
      text: 'apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\nspec:\n  containers: [{name: c}]\n  dnsConfig:\n',
    },
    {
      name: 'a comment in what is replaced',
      text: 'apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: c}]\n  dnsConfig: {\n    # why\n    options: []\n  }\n',
    },
    {
      name: 'a block scalar at the end',
      text: 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: c\n    args:\n    - |+\n      text\n\n',
    },
    {
      name: 'everything nested in an alias',
      text: 'x: &spec\n  containers: [{name: c}]\napiVersion: v1\nkind: Pod\nspec: *spec\n',
    },
    {
      name: 'a directive and a tag',
      text: '%YAML 1.2\n---\napiVersion: v1\nkind: !!str Pod\nspec:\n  containers: [{name: c}]\n',
    },
    { name: 'JSON', text: '{\n "apiVersion": "v1",\n "kind": "Pod",\n "spec": {"containers": [{"name": "c"}]}\n}\n' },
  ])('$name: the value is the patched one, what was there stays', async ({ text }) => {
    const after = await inject(text, '--node-local', 'off');
    type Pod = { spec: { containers: unknown; dnsConfig: { options: unknown[] } } };
    const [value, before] = [parse(after) as Pod, parse(text) as Pod];
    expect(value.spec.containers).toEqual(before.spec.containers);
    expect(value.spec.dnsConfig.options).toEqual(expect.arrayContaining([{ name: 'single-request-reopen' }]));
    for (const comment of text.match(/# \w+/g) ?? []) expect(after).toContain(comment);
    expect(after.includes('\r\n') && !after.replaceAll('\r\n', '').includes('\n')).toBe(text.includes('\r\n'));
  });

  it('two Pods that share an anchor and need different things each get their own', async () => {
    const text = `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: a, annotations: {libc-dns.dev/libc: musl}}
  spec: &spec
    containers:
    - name: c
- apiVersion: v1
  kind: Pod
  metadata: {name: b, annotations: {libc-dns.dev/libc: glibc}}
  spec: *spec
`;
    const { items } = parse(await inject(text)) as {
      items: { spec: { dnsConfig: { options: { name: string }[] } } }[];
    };
    expect(items.map(({ spec }) => spec.dnsConfig.options.map(({ name }) => name))).toEqual([
      ['timeout', 'attempts'],
      ['single-request-reopen'],
    ]);
  });

  it.each([
    { kind: 'CronJob', apiVersion: 'batch/v1', wrap: (template: object) => ({ jobTemplate: { spec: { template } } }) },
    { kind: 'StatefulSet', apiVersion: 'apps/v1', wrap: (template: object) => ({ template }) },
    { kind: 'Rollout', apiVersion: 'argoproj.io/v1alpha1', wrap: (template: object) => ({ template }) },
  ])('the Pod template of a $kind', async ({ kind, apiVersion, wrap }) => {
    const object = { apiVersion, kind, metadata: { name: 'x' }, spec: wrap({ spec: { containers: [{ name: 'c' }] } }) };
    expect(await inject(JSON.stringify(object))).toContain('single-request-reopen');
  });

  it('a Knative Service is left alone: it refuses DNS settings', async () => {
    const spec = { template: { spec: { containers: [{ name: 'c' }] } } };
    const text = JSON.stringify({ apiVersion: 'serving.knative.dev/v1', kind: 'Service', spec });
    expect(await inject(text)).toBe(text);
  });
});

describe('inject: namespaces and modes', () => {
  const pod = (namespace: string) =>
    `apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  namespace: ${namespace}\nspec:\n  containers:\n  - name: c\n`;
  const namespace = (mode: string) =>
    `apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  labels:\n    libc-dns.dev/mode: "${mode}"\n---\n`;

  it.each([
    { name: 'no mode: as enforce', text: pod('shop'), patched: true },
    { name: 'a Namespace in the input that is off', text: namespace('off') + pod('shop'), patched: false },
    { name: 'a Namespace in the input that is audited', text: namespace('audit') + pod('shop'), patched: false },
    {
      name: 'a Namespace in the input, behind the Pod',
      text: `${pod('shop')}---\n${namespace('off')}`,
      patched: false,
    },
    {
      name: '--namespace-mode wins',
      text: namespace('off') + pod('shop'),
      flags: ['--namespace-mode', 'enforce'],
      patched: true,
    },
    { name: 'a system namespace', text: pod('kube-system'), patched: false },
  ])('$name', async ({ text, flags = [], patched }) => {
    expect((await inject(text, ...flags)) !== text).toBe(patched);
  });

  it('--namespace is for manifests that name none, and a redirect is written for it', async () => {
    const text =
      'apiVersion: v1\nkind: Pod\nmetadata: {annotations: {libc-dns.dev/libc: musl}}\nspec:\n  containers: [{name: c}]\n';
    expect(await inject(text, ...LOCAL, '--namespace', 'billing')).toContain('billing.svc.cluster.local');
    const { err } = await cli(['inject', ...LOCAL], { stdin: text });
    expect(err).toContain('namespace default where a manifest names none (--namespace)');
  });
});

describe('inject: other outputs', () => {
  it('-o json: one object as it is, several as a List', async () => {
    expect(JSON.parse(await inject(DEPLOYMENT, '-o', 'json'))).toMatchObject({ kind: 'Deployment' });
    const list = JSON.parse(await inject(DEPLOYMENT + OTHERS, '-o', 'json')) as {
      kind: string;
      items: { kind: string }[];
    };
    expect([list.kind, ...list.items.map(({ kind }) => kind)]).toEqual(['List', 'Deployment', 'ConfigMap', 'Thing']);
  });

  it('-o patch: what kubectl patch --type=json takes', async () => {
    const [entry] = JSON.parse(await inject(DEPLOYMENT, '-o', 'patch')) as { patch: Operation[] }[];
    expect(entry).toMatchObject({ kind: 'Deployment', namespace: 'shop', name: 'web' });
    const { newDocument } = jsonPatch.applyPatch(parse(DEPLOYMENT) as object, entry?.patch ?? [], true);
    expect(newDocument).toEqual(parse(await inject(DEPLOYMENT)));
  });

  it('-o diff: a unified diff, empty where nothing changes, coloured only on a terminal', async () => {
    const diff = await inject(DEPLOYMENT, '-o', 'diff');
    expect(diff).toMatch(/^--- a\/stdin\n\+\+\+ b\/stdin\n@@ /);
    expect(diff).not.toMatch(/^-[^-]/m);
    expect(await inject(OTHERS, '-o', 'diff')).toBe('');
    const colour = async (...flags: string[]) =>
      (await cli(['inject', '--offline', '-o', 'diff', ...flags], { stdin: DEPLOYMENT, terminal: true })).out.includes(
        '\u001B[',
      );
    expect([await colour(), await colour('--no-color')]).toEqual([true, false]);
  });
});

describe('inject: files', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'libc-dns-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('a folder is read as kubectl reads it: .yaml, .yml and .json, in order', async () => {
    write('b.yaml', DEPLOYMENT);
    write('a.json', '{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"c"}]}}');
    write('README.md', 'not: [a manifest');
    const { out } = await cli(['inject', '--offline', '-f', folder]);
    expect(parseAllDocuments(out).map((document) => (document as { get(key: string): unknown }).get('kind'))).toEqual([
      'Pod',
      'Deployment',
    ]);
  });

  it.each([
    {
      name: 'broken YAML',
      text: `${DEPLOYMENT}---\na: [1, 2\n`,
      says: /^libc-dns: .*x\.yaml: document 2, line 3\d, column \d+: /m,
    },
    {
      name: 'a key that is none',
      text: 'kind: Pod\n~: Pod\n',
      says: /document 1, line 2, column 1: a key that is null/,
    },
    { name: 'an alias to nothing', text: 'a: *b\n', says: /document 1.*[Uu]nresolved alias/ },
    {
      name: 'a scalar',
      text: `${DEPLOYMENT}---\nhello\n`,
      says: /document 2, line 33, column 1: expected a Kubernetes object/,
    },
    {
      name: 'a Pod that is not well formed',
      text: `${DEPLOYMENT}---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {dnsConfig: 7}\n`,
      says: /document 2, line 33 \(Pod p\): .*spec\.dnsConfig is not an object/,
    },
    { name: 'a bomb of aliases', text: bomb(), says: /document 1, line 1, column \d+: aliases stand for too much/ },
  ])('$name: says which and patches nothing', async ({ text, says }) => {
    const { code, out, err } = await cli(['inject', '--offline', '-f', write('x.yaml', text)]);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(says);
  });

  it.each([
    { argv: ['-f', 'missing.yaml'], code: 1, says: 'missing.yaml: no such file' },
    { argv: [], code: 2, says: 'nothing to read: name a file with -f FILE' },
    {
      argv: ['-f', 'x', '-o', 'xml'],
      code: 2,
      says: "argument 'xml' is invalid. Allowed choices are yaml, json, diff, patch",
    },
    { argv: ['--frobnicate'], code: 2, says: "unknown option '--frobnicate'" },
    {
      argv: ['--node-local', 'here', '-f', 'x'],
      code: 2,
      says: 'expected auto, on, off or an IP address',
    },
    { argv: ['--cluster-dns', '10.96.0', '-f', 'x'], code: 2, says: '--cluster-dns: cluster.dns' },
  ])('inject $argv: exit $code', async ({ argv, code, says }) => {
    const result = await cli(['inject', '--offline', ...argv]);
    expect(result.code).toBe(code);
    expect(result.err).toContain(says);
  });

  it('an empty folder is a mistake, not an empty result', async () => {
    const { code, err } = await cli(['inject', '--offline', '-f', folder]);
    expect([code, err]).toEqual([1, `libc-dns: ${folder}: no .yaml, .yml or .json file in this folder\n`]);
  });
});

function bomb(): string {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 12; level += 1) {
    lines.push(`a${level}: &a${level} [${Array.from({ length: 9 }, () => `*a${level - 1}`).join(', ')}]`);
  }
  return `${lines.join('\n')}\n`;
}

describe('a KRM function', () => {
  const list = (dnsConfig: string): string => `apiVersion: config.kubernetes.io/v1
kind: ResourceList
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: web
    namespace: shop
    annotations: {internal.config.kubernetes.io/path: web.yaml, internal.config.kubernetes.io/index: '1'}
  spec: # kept
    template:
      metadata: {annotations: {libc-dns.dev/libc: musl}}
      spec: {containers: [{name: a, image: "a:1"}], dnsConfig: ${dnsConfig}}
- {apiVersion: v1, kind: Pod, metadata: {name: bare}, spec: {hostNetwork: true, containers: [{name: a, image: "a:1"}]}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
`;
  const resourceRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: 'shop' };
  const file = { path: 'web.yaml', index: 1 };

  it('tells each decision and each warning, of which object of which file', async () => {
    const { code, out } = await cli(['inject', '--offline'], { stdin: list('{options: [{name: "timeout:0"}]}') });
    expect(code).toBe(0);
    expect(out).toContain('  spec: # kept\n');
    expect(out).not.toMatch(/[&*]a\d/);
    expect((parse(out) as { results: unknown }).results).toEqual([
      { message: expect.stringMatching(/^applied retry \(MuslRetried\): /), severity: 'info', resourceRef, file },
      {
        message: expect.stringMatching(/^timeout:0 fails every look-up of musl/),
        severity: 'warning',
        resourceRef,
        file,
      },
      {
        message: expect.stringMatching(/^applied nothing \(HostNetwork\): /),
        severity: 'info',
        resourceRef: { apiVersion: 'v1', kind: 'Pod', name: 'bare', namespace: 'default' },
      },
    ]);
    const again = await cli(['inject', '--offline'], { stdin: out });
    expect((parse(again.out) as { results: unknown[] }).results).toHaveLength(3);
  });

  it('any other List gets no results', async () => {
    const other = list('{}').replace('config.kubernetes.io/v1', 'v1').replace('ResourceList', 'List');
    expect((await cli(['inject', '--offline'], { stdin: other })).out).not.toContain('results');
  });
});
