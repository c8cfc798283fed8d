import { readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';
import { z } from 'zod';

import { mostExposedFirst } from '../../../../src/audit/report/inventory.ts';
import type { AuditReport } from '../../../../src/audit/report/report.ts';
import { unreadableGroups } from '../../../../src/audit/report/unreadable.ts';
import { judgeExposure, linuxKernels } from '../../../../src/exposure/exposure.ts';
import type { ScannedNode } from '../../../../src/exposure/kernels.ts';
import type { KubeProxy } from '../../../../src/exposure/kube-proxy.ts';
import { MODE_LABEL } from '../../../../src/policy/scope.ts';
import { type AuditedPod, auditOf, type World } from '../../../support/audit-report.ts';
import { policy } from '../../../support/policy.ts';

const read = (path: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../../${path}`, import.meta.url), 'utf8'));
const schema = z.fromJSONSchema(read('docs/audit-report.schema.json') as never);

const node = (name: string, kernel: string): ScannedNode => ({ name, kernel, os: 'linux', osImage: 'Linux' });
const OLD = node('old', '4.14.90');
const NEW = node('new', '6.12.48');

const podOf = (image: string, spec: object = {}, metadata: object = {}) => ({
  metadata: { name: 'p', ...metadata },
  spec: { nodeName: 'old', containers: [{ name: 'main', image }], ...spec },
});

const app = (name: string, image: string, namespace = 'shop', spec: object = {}): AuditedPod => ({
  owner: { name, namespace },
  pod: podOf(image, spec),
});

const proxied = (mode: KubeProxy['mode']): KubeProxy => ({ mode, source: '', detail: 'Cilium stands in for it' });

const seenWith = (one: ScannedNode, nfqueue: readonly string[] = [], mode: KubeProxy['mode'] = 'iptables') =>
  judgeExposure({
    nodes: linuxKernels([one]),
    kubeProxy: proxied(mode),
    nfqueue,
    nodeLocalIntercepts: false,
  });

const world = (change: World = {}): World => ({ ...change, scanned: { nodes: [OLD, NEW], ...change.scanned } });

describe('the report', () => {
  it('is what its schema says; so is the example', async () => {
    const report = await auditOf(
      [
        app('a', 'musl:1'),
        app('b', 'unread:1'),
        app('c', 'glibc', 'kube-system'),
        app('d', 'go', 'pay', { hostNetwork: true }),
      ],
      world(),
    );
    expect(schema.parse(JSON.parse(JSON.stringify(report)))).toEqual(JSON.parse(JSON.stringify(report)));
    expect(schema.safeParse(read('test/fixtures/audit/report.json'))).toMatchObject({ success: true });
    expect(schema.safeParse({ ...report, verdict: undefined }).success).toBe(false);
  });

  it('has a line in docs/audit.md for every finding', () => {
    const text = readFileSync(new URL('../../../../docs/audit.md', import.meta.url), 'utf8');
    const { $defs } = read('docs/audit-report.schema.json') as { $defs: { findingCode: { enum: string[] } } };
    const listed = [...text.matchAll(/^\| `([A-Z]\w+)` /gm)].map(([, code]) => code);
    expect(new Set(listed)).toEqual(new Set($defs.findingCode.enum));
  });

  it('is the same whatever order Pods come in', async () => {
    const pods = ['c', 'a', 'b'].flatMap((name) => [app(name, 'musl'), app(name, 'glibc', 'pay'), app(name, 'x')]);
    const text = async (some: AuditedPod[]): Promise<string> => JSON.stringify(await auditOf(some, world()));
    expect(await text(pods.toReversed())).toBe(await text(pods));
  });

  it('counts Pods, containers and images', async () => {
    const two = {
      containers: [
        { name: 'main', image: 'glibc' },
        { name: 'log', image: 'musl' },
      ],
    };
    const { summary, images, unreadable } = await auditOf(
      [app('a', 'glibc'), app('a', 'glibc'), app('b', 'x', 'pay', two), app('c', 'registry.internal:5000/x')],
      world(),
    );
    expect(summary).toMatchObject({
      pods: 4,
      containers: 5,
      workloads: 3,
      namespaces: 2,
      nodes: 2,
      images: 3,
      unreadableImages: 1,
      podsThatWouldChange: 4,
      podsPatched: 0,
      resolvers: { glibc: 3, musl: 1, unknown: 1 },
      remedies: { options: 3, 'options+retry': 1 },
      exposure: { yes: 3, possible: 1 },
    });
    expect(images).toMatchObject([
      { image: 'glibc', containers: 3, pods: 3, workloads: 2, namespaces: ['pay', 'shop'], executable: '/app' },
      { image: 'musl', containers: 1, pods: 1 },
      { image: 'registry.internal:5000/x', error: { code: 'unauthorized' }, digest: null },
    ]);
    expect(unreadable).toMatchObject([
      { pods: 1, grant: expect.stringMatching(/docker login registry\.internal:5000/) },
    ]);
  });

  it('does not count images of Pods that the webhook never looks at as unread', async () => {
    const places = ['kube-system', 'libc-dns', 'excluded', 'shop'];
    const { summary, unreadable } = await auditOf(
      places.map((place, index) => app('a', `registry.internal:5000/x${index}`, place)),
      { ...world(), facts: { ownNamespace: 'libc-dns' }, config: { ...policy(), excludeNamespaces: ['excluded'] } },
    );
    expect([summary.images, summary.unreadableImages]).toEqual([4, 1]);
    expect(unreadable).toMatchObject([{ image: 'registry.internal:5000/x3', namespaces: ['shop'] }]);
  });

  it('decides for what has not opted in as if it had, and leaves what has opted out', async () => {
    const labels: Record<string, string> = { audited: 'audit', enforcing: 'enforce', out: 'off' };
    const viewOf = (name: string) => ({
      name,
      labels: labels[name] === undefined ? {} : { [MODE_LABEL]: labels[name] },
    });
    const names = ['audited', 'enforcing', 'out', 'plain', 'kube-system'];
    const { workloads, namespaces } = await auditOf(
      names.map((name) => app('a', 'glibc', name)),
      world({ viewOf }),
    );
    const shown = workloads.map((one) => [
      one.namespace,
      one.mode,
      one.modeReason,
      one.decision.reason,
      one.decision.change !== null,
    ]);
    expect(shown).toEqual([
      ['audited', 'audit', null, 'OptionsAdded', true],
      ['enforcing', 'enforce', null, 'OptionsAdded', true],
      ['kube-system', 'off', 'SystemNamespace', 'SystemNamespace', false],
      ['out', 'off', 'NamespaceOptedOut', 'NamespaceOptedOut', false],
      ['plain', 'off', 'NotOptedIn', 'OptionsAdded', true],
    ]);
    expect(namespaces.map(({ name, mode, reason }) => [name, mode, reason])).toEqual(
      shown.map((row) => row.slice(0, 3)),
    );
    // What is left alone is looked into all the same.
    expect(workloads.every(({ containers }) => containers[0]?.resolver === 'glibc')).toBe(true);
  });

  it('a label of the namespace that is not valid is a finding, though the namespace counts as not opted in', async () => {
    const viewOf = (name: string) => ({ name, labels: { [MODE_LABEL]: 'on' } });
    const { findings, workloads } = await auditOf([app('a', 'glibc')], world({ viewOf }));
    expect(workloads[0]).toMatchObject({ mode: 'off', modeReason: 'NotOptedIn', findings: ['InvalidAnnotation'] });
    expect(findings[0]?.what).toMatch(/^label libc-dns\.dev\/mode of the namespace is "on": ignored/);
  });

  it('a decision annotation that is not ours is nobody’s', async () => {
    const said = [
      '{"remedy":"options"}',
      'null',
      '[]',
      '{"remedy":["options"]}',
      'x',
      '{"reason":"a","remedy":[1,"retry"]}',
    ];
    const pods = said.map((text, index) => ({
      owner: { name: `w${index}` },
      pod: podOf('glibc', {}, { annotations: { 'libc-dns.dev/decision': text } }),
    }));
    const { workloads } = await auditOf(pods, world());
    expect(workloads.map(({ applied }) => applied)).toEqual([
      null,
      null,
      null,
      null,
      null,
      { reason: 'a', remedy: ['retry'] },
    ]);
  });
});

describe('images that could not be read', () => {
  it('stand together by registry and cause, each Pod counted once, with one advice that is safe in a shell', async () => {
    const both = {
      containers: [
        { name: 'a', image: 'registry.internal:5000/x' },
        { name: 'b', image: 'registry.internal:5000/y' },
      ],
    };
    const report = await auditOf(
      [
        app('one', '', 'shop', both),
        app('one', '', 'shop', both),
        app('two', 'registry.internal:5000/x', 'pay'),
        app('three', 'ghcr.io/z'),
        app('four', 'library-image'),
        app('five', 'glibc'),
      ],
      world(),
    );
    const groups = unreadableGroups(report);
    expect(groups.map(({ registry, code, pods, images }) => [registry, code, pods, images.length])).toEqual([
      ['registry.internal:5000', 'unauthorized', 3, 2],
      ['docker.io', 'unauthorized', 1, 1],
      ['ghcr.io', 'unauthorized', 1, 1],
    ]);
    expect(groups[0]?.grant).toMatch(/docker login registry\.internal:5000\)/);
    const [hostile] = unreadableGroups(await auditOf([app('a', 'x.y;reboot/z')], world()));
    expect(hostile?.grant).toContain("(docker login 'x.y;reboot')");
  });
});

it('workloads for people: the most exposed first, then by Pods', async () => {
  const { workloads } = await auditOf(
    [app('b', 'go'), app('c', 'x'), app('d', 'glibc'), app('e', 'glibc'), app('e', 'glibc')],
    world(),
  );
  expect(mostExposedFirst(workloads).map(({ name }) => name)).toEqual(['e', 'd', 'c', 'b']);
});

describe('the verdict', () => {
  const needed = async (pods: readonly AuditedPod[], change: World = {}): Promise<AuditReport['verdict']> =>
    (await auditOf(pods, world(change))).verdict;
  const onNew = { nodeName: 'new' };
  const patched = {
    pod: podOf(
      'glibc',
      { dnsConfig: { options: [{ name: 'single-request-reopen' }, { name: 'use-vc' }] } },
      { annotations: { 'libc-dns.dev/decision': '{"reason":"OptionsAdded","remedy":["options"]}' } },
    ),
  };

  it.each<[string, string, RegExp, readonly AuditedPod[], World]>([
    ['yes', 'a Pod is exposed', /needs it: 1 of 2 Pods/, [app('a', 'glibc'), app('b', 'go')], {}],
    [
      'no',
      'all kernels are fixed',
      /does not need it: the kernels/,
      [app('a', 'musl', 'shop', onNew)],
      { scanned: { nodes: [NEW] }, cluster: { exposure: { setting: 'always', ...seenWith(NEW) } } },
    ],
    [
      'perhaps',
      "all kernels are fixed, and kube-proxy's mode is not known",
      /^Perhaps: the mode of kube-proxy/,
      [app('a', 'musl', 'shop', onNew)],
      {
        scanned: { nodes: [NEW], kubeProxy: proxied('unknown') },
        cluster: { exposure: { setting: 'always', ...seenWith(NEW, [], 'unknown') } },
      },
    ],
    [
      'no',
      'the cache intercepts',
      /does not need it: the node-local/,
      [app('a', 'musl')],
      {
        facts: { nodeLocal: 'intercepting' },
        cluster: { nodeLocal: { state: 'intercepting', source: 's', detail: 'd' } },
      },
    ],
    [
      'perhaps',
      'NFQUEUE is in use on a kernel that lacks that fix',
      /^Perhaps: 1 node has .* uses NFQUEUE, which brings back the loss/,
      [app('a', 'musl', 'shop', onNew)],
      {
        scanned: { nodes: [node('new', '6.8.0')] },
        cluster: { exposure: { setting: 'always', ...seenWith(node('new', '6.8.0'), ['kindnet']) } },
      },
    ],
    ...(
      [
        ['a Pod that can lose packets', app('a', 'musl', 'shop', onNew), /^Perhaps: 1 of 1 Pod /],
        ['Pods that are patched', patched, /^Perhaps: kube-proxy is in ipvs mode, and it is not shown/],
      ] as const
    ).map(([what, one, sentence]): [string, string, RegExp, readonly AuditedPod[], World] => [
      'perhaps',
      `ipvs on kernels with all fixes: ${what}`,
      sentence,
      [one],
      {
        scanned: { nodes: [NEW], kubeProxy: proxied('ipvs') },
        cluster: { exposure: { setting: 'always', ...seenWith(NEW, [], 'ipvs') } },
      },
    ]),
    [
      'no',
      'Cilium stands in for kube-proxy, on an old kernel too',
      /does not need it: no Pod/,
      [app('a', 'musl')],
      { scanned: { nodes: [OLD], kubeProxy: proxied('other') } },
    ],
    ['no', 'nobody asks twice at once', /does not need it: no Pod/, [app('a', 'go')], {}],
    ['perhaps', 'nodes are not known', /^Perhaps: 1 of 1 Pod /, [app('a', 'musl')], { scanned: { nodes: [] } }],
    [
      'perhaps',
      'the kernels that were read are fixed, and a Pod is on another node',
      /^Perhaps: 1 of 2 Pods /,
      [app('a', 'musl', 'shop', onNew), app('b', 'musl', 'shop', { nodeName: 'elsewhere' })],
      { scanned: { nodes: [NEW] } },
    ],
    ['perhaps', 'an image is not known', /^Perhaps/, [app('a', 'x')], {}],
    ['yes', 'it is in effect', /in effect: .* 1 Pod was patched/, [patched], {}],
    ['perhaps', 'nothing runs', /No Pods run here/, [], {}],
    ['perhaps', 'manifests', /1 of 1 Pod in these manifests/, [app('a', 'musl')], { kind: 'manifests' }],
  ])('%s: %s', async (expected, _what, sentence, pods, change) => {
    const verdict = await needed(pods, change);
    expect(verdict).toMatchObject({ needed: expected, sentence: expect.stringMatching(sentence) });
  });

  it('advises no installation where nothing runs', async () => {
    expect((await needed([], { installed: false })).next).toEqual(['Run the audit again where Pods run.']);
  });

  it('says what to do next: errors first, then what is unread, then the smallest namespace to begin with', async () => {
    const pods = [
      app('a', 'musl', 'big'),
      app('b', 'musl', 'big'),
      app('c', 'musl', 'small', {
        dnsConfig: {
          options: [
            { name: 'timeout', value: '1' },
            { name: 'ndots', value: '5' },
          ],
        },
      }),
      app('d', 'x', 'big'),
    ];
    const { next } = await needed(pods);
    expect(next).toEqual([
      'Correct the 1 error under Findings: it breaks look-ups today, whatever the kernel.',
      'Make 1 image readable: the report has advice for each registry.',
      'Begin with a namespace: kubectl label namespace big libc-dns.dev/mode=audit',
    ]);
  });

  it.each([
    [
      false,
      [
        'Install the webhook, which changes nothing by itself: https://github.com/libc-dns/libc-dns-webhook#install-it',
        'Run the audit again: it then names the namespace to begin with.',
      ],
    ],
    [null, ['Find out whether the webhook is installed: libc-dns version']],
    [true, ['Begin with a namespace: kubectl label namespace shop libc-dns.dev/mode=audit']],
  ])('advises a label only where the webhook is installed: %s', async (installed, steps) => {
    const { next } = await needed([app('a', 'musl')], { installed });
    expect(next).toEqual(steps);
  });

  it.each<[string, Record<string, number>, string[]]>([
    ['all there', { a: 0, b: 0, c: 0, d: 0 }, []],
    [
      'one is missing, one has no room',
      { a: 0, b: 0, d: 7 },
      [
        'Find out why there is no PodResolvers in c, where the policy patches no Pod: libc-dns doctor --check registration,replicas',
        'Run the webhook beside the policy (admissionPolicy.webhook=true): the PodResolvers of d (7 images) leaves images out, which count as unknown.',
      ],
    ],
    [
      'all are missing',
      {},
      [
        'Find out why there is no PodResolvers in a, b, c and 1 more, where the policy patches no Pod: libc-dns doctor --check registration,replicas',
      ],
    ],
  ])('the policy of the API server, with its PodResolvers: %s', async (_, leftOut, steps) => {
    const pods = ['a', 'b', 'c', 'd', 'off'].map((name) => app(name, 'musl', name));
    const viewOf = (name: string) => ({ name, labels: name === 'off' ? {} : { 'libc-dns.dev/mode': 'enforce' } });
    const podResolvers = new Map(Object.entries(leftOut));
    const { next } = await needed(pods, { installed: true, podResolvers, viewOf });
    expect(next.slice(0, -2)).toEqual(steps);
    expect((await needed(pods, { installed: true, viewOf })).next).toEqual(next.slice(-2));
  });

  it('says what --offline has left out: such images are neither unreadable nor known', async () => {
    const { verdict, unreadable, summary, images } = await auditOf(
      [app('a', 'glibc'), app('b', 'registry.internal:5000/x')],
      world({ detecting: false }),
    );
    expect(verdict.sentence).toMatch(/what decides it was not looked up/);
    expect(verdict.next[0]).toBe(
      'Run the audit again without --offline: 2 images were not looked up, and their resolvers are unknown.',
    );
    expect([unreadable, summary.unreadableImages]).toEqual([[], 0]);
    expect(images.map(({ error }) => error?.code)).toEqual(['disabled', 'disabled']);
  });

  it('names in commands are one word of a shell', async () => {
    const { next } = await needed([app('a', 'musl', "x; rm -rf ~'$(id)")]);
    expect(next).toEqual([
      `Begin with a namespace: kubectl label namespace 'x; rm -rf ~'\\''$(id)' libc-dns.dev/mode=audit`,
    ]);
  });

  it('goes on from audit to enforce, and from enforce to new Pods', async () => {
    const labels: Record<string, string> = { a: 'audit', e: 'enforce' };
    const viewOf = (name: string) => ({ name, labels: name in labels ? { [MODE_LABEL]: labels[name] ?? '' } : {} });
    const { next } = await needed([app('x', 'glibc', 'a'), app('y', 'glibc', 'e'), app('z', 'glibc', 'n')], { viewOf });
    expect(next).toEqual([
      'Enforce in a namespace that is audited: kubectl label namespace a libc-dns.dev/mode=enforce --overwrite',
      'Go on with another namespace: kubectl label namespace n libc-dns.dev/mode=audit',
      'Recreate Pods of enforcing namespaces (e): running Pods keep their DNS settings.',
    ]);
  });
});
