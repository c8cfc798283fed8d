import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import type { Detector } from '../../../src/detection/detector.ts';
import { cli } from '../../support/cli.ts';

const FIELD = `${import.meta.dirname}/../../fixtures/manifests/field`;

const file = (name: string): string => readFileSync(`${FIELD}/${name}`, 'utf8');

const inject = async (name: string, ...flags: string[]): Promise<string> => {
  const { code, out, err } = await cli(['inject', '--offline', ...flags, '-f', `${FIELD}/${name}`]);
  expect([code, err]).toEqual([0, expect.not.stringContaining('unexpected')]);
  return out;
};

const injectJson = async (name: string): Promise<unknown> => JSON.parse(await inject(name, '-o', 'json')) as unknown;

/** Leaves out the line about what is assumed where no cluster is read. */
const withoutNote = (err: string): string => err.replace(/^libc-dns: no cluster is read.*\n/m, '');

/** The lines of the file that are not in the output in their order. */
function lost(name: string, out: string): string[] {
  const lines = out.split('\n');
  return file(name)
    .split('\n')
    .filter((line) => {
      const at = lines.indexOf(line);
      if (at !== -1) lines.splice(0, at + 1);
      return at === -1;
    });
}

describe('manifests from the field: inject', () => {
  it('octal.yaml: octal numbers and strings', async () => {
    expect(await injectJson('octal.yaml')).toMatchObject({
      spec: { volumes: [{ secret: { defaultMode: 256 } }], containers: [{ env: [{ value: 'yes' }] }] },
    });
    expect(lost('octal.yaml', await inject('octal.yaml'))).toEqual([]);
  });

  it('alias-ann.yaml: an alias is written out where it changes, and nothing else', async () => {
    expect(lost('alias-ann.yaml', await inject('alias-ann.yaml'))).toEqual(['      annotations: *ann']);
    expect(await injectJson('alias-ann.yaml')).toMatchObject({
      metadata: { annotations: { team: 'shop' } },
      spec: {
        replicas: 2,
        template: {
          metadata: {
            annotations: { team: 'shop', 'libc-dns.dev/decision': expect.stringContaining('Unknown') as string },
          },
          spec: {
            hostNetwork: false,
            volumes: [{ secret: { defaultMode: 256 } }, { configMap: { defaultMode: 493 } }],
          },
        },
      },
    });
  });

  it('sep-lost.yaml: an anchor that changes, with its alias written out; the separator stays', async () => {
    const out = await inject('sep-lost.yaml');
    expect(out.match(/^---$/gm)).toEqual(['---']);
    expect(out).toContain('annotations: &ann {team: shop, libc-dns.dev/decision: ');
    expect(out).toMatch(/^metadata: \{name: web, annotations: \{team: shop\}\}$/m);
    expect(lost('sep-lost.yaml', out)).toHaveLength(2);
  });

  it.each([
    ['labels-merge.yaml', { spec: { template: { metadata: { labels: { 'app.kubernetes.io/name': 'agent' } } } } }],
    [
      'container-merge.yaml',
      {
        spec: {
          template: {
            spec: { containers: [{ name: 'web', image: 'registry.example/team/app:1', command: ['/app/serve'] }] },
          },
        },
      },
    ],
    [
      'anchored-res.yaml',
      { spec: { template: { spec: { containers: [{ resources: { limits: { memory: '64Mi' } } }, {}] } } } },
    ],
    [
      'numbers.yaml',
      {
        spec: {
          terminationGracePeriodSeconds: 1800,
          activeDeadlineSeconds: 10,
          securityContext: { runAsUser: 1000, fsGroup: 1000 },
          containers: [{ ports: [{ containerPort: 8080 }] }],
          volumes: [{ projected: { defaultMode: 288 } }, { configMap: { defaultMode: 511 } }],
        },
      },
    ],
    ['pilot1108.json', { kind: 'List', items: [{ kind: 'Secret' }, { kind: 'Deployment' }] }],
    ['podlist-raw.json', { kind: 'PodList', items: [{ spec: { dnsConfig: {} } }] }],
  ])('%s', async (name, value) => {
    expect(await injectJson(name)).toMatchObject(value);
    expect(JSON.stringify(await injectJson(name))).not.toContain('<<');
  });

  it.each(['labels-merge.yaml', 'container-merge.yaml', 'anchored-res.yaml', 'numbers.yaml', 'octal.yaml'])(
    '%s: every line of block YAML stays',
    async (name) => {
      const out = await inject(name);
      expect(lost(name, out).filter((line) => !line.includes('{'))).toEqual([]);
      expect(out).not.toBe(file(name));
    },
  );

  it('bool.yaml: yes is true', async () => {
    expect(await inject('bool.yaml')).toBe(file('bool.yaml'));
    const { out } = await cli(['explain', '--offline', '-o', 'json', '-f', `${FIELD}/bool.yaml`]);
    expect(JSON.parse(out)).toMatchObject([{ reason: 'HostNetwork' }]);
  });

  it('unrendered.yaml: refused with a hint', async () => {
    const { code, out, err } = await cli(['inject', '--offline', '-f', `${FIELD}/unrendered.yaml`]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toBe(
      `libc-dns: ${FIELD}/unrendered.yaml: document 1, line 5, column 14: a key that is no scalar (a template that is not rendered? See helm template)\nlibc-dns: nothing was written\n`,
    );
  });
});

describe('manifests from the field: explain', () => {
  const explain = (name: string, ...flags: string[]) =>
    cli(['explain', '--offline', ...flags, '-f', `${FIELD}/${name}`]);
  const summary = (out: string): unknown[] =>
    (JSON.parse(out) as { kind: string; name: string; path?: string }[]).map(({ kind, name, path }) =>
      [kind, name, path].filter(Boolean).join(' '),
    );

  it('kinds.yaml: templates are found by their shape, and objects with images but no template are named', async () => {
    const { code, out, err } = await explain('kinds.yaml', '-o', 'json');
    expect(code).toBe(0);
    expect(summary(out)).toEqual([
      'ScaledJob scaledjob',
      'JobSet jobset',
      'RayCluster ray spec.headGroupSpec.template',
      'RayCluster ray spec.workerGroupSpecs.0.template',
      'PyTorchJob torch',
      'LeaderWorkerSet lws spec.leaderWorkerTemplate.leaderTemplate',
      'LeaderWorkerSet lws spec.leaderWorkerTemplate.workerTemplate',
      'Job volcano',
      'Rollout rollout',
      'DeploymentConfig dc',
      'PodTemplate pt',
      'CloneSet cs',
      'AdvancedCronJob acj',
      'AutoscalingRunnerSet arc',
      'Elasticsearch es',
      'DeploymentConfig inner',
    ]);
    const path = `${FIELD}/kinds.yaml`;
    expect(withoutNote(err).split('\n')).toEqual([
      `libc-dns: passed over: ${path}: document 15, line 75 (Service kn): Knative refuses DNS settings unless kubernetes.podspec-dnsconfig is enabled`,
      `libc-dns: passed over: ${path}: document 16, line 80 (Job cloudrun): Cloud Run has no DNS settings`,
      `libc-dns: passed over: ${path}: document 17, line 85 (TaskRun tk): Tekton takes DNS settings from the podTemplate of a run`,
      '',
    ]);
    const audited = await cli(['audit', '--offline', '-o', 'json', '-f', path]);
    expect([audited.code, audited.err]).toEqual([0, withoutNote(err)]);
  });

  it('--kinds narrows', async () => {
    const { out, err } = await explain('kinds.yaml', '-o', 'json', '--kinds', 'jobset,Rollout', '--kinds', 'TaskRun');
    expect(summary(out)).toEqual(['JobSet jobset', 'Rollout rollout']);
    expect(withoutNote(err)).toMatch(
      /^libc-dns: passed over: \S+kinds\.yaml: document 17, line 85 \(TaskRun tk\): .*\n$/,
    );
  });

  it('pod-shapes.yaml: a malformed Pod is named, and the others are explained', async () => {
    const { code, out, err } = await explain('pod-shapes.yaml', '-o', 'json');
    expect(code).toBe(1);
    expect(summary(out)).toHaveLength(10);
    expect(err).toContain('pod-shapes.yaml: document 11, line 21 (Pod option-number-value): ');
    expect(err).toContain('pod-shapes.yaml: document 12, line 23 (Pod numeric-annotation): ');
    expect(err.split('\n').at(-2)).toBe('libc-dns: 2 problems: see above');
    const audited = await cli(['audit', '--offline', '-o', 'json', '-f', `${FIELD}/pod-shapes.yaml`]);
    expect([audited.code, audited.err]).toEqual([code, withoutNote(err).replace(/^.*warning.*\n/m, '')]);
    expect(JSON.parse(audited.out)).toMatchObject({ summary: { pods: 10 }, gaps: [{}, {}] });
  });

  it.each(['explain', 'inject', 'audit'])('%s names what kubectl does not read behind ...', async (command) => {
    const pod = 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: a}]}\n';
    const { code, out, err } = await cli([command, '--offline', '-o', 'json', '-f', '-'], {
      stdin: `${pod}...\n${pod}---\n${pod}...\n# no content\n`,
    });
    expect([code, withoutNote(err)]).toEqual([
      0,
      'libc-dns: passed over: standard input: document 2, line 6: kubectl reads nothing between ... and ---\n',
    ]);
    const read = JSON.parse(out) as { items?: unknown[]; summary?: { pods: number } } | unknown[];
    expect(Array.isArray(read) ? read.length : (read.items?.length ?? read.summary?.pods)).toBe(2);
  });

  it.each(['explain', 'inject', 'audit'])(
    '%s names a wrong dnsPolicy, and a container without an image',
    async (command) => {
      const { code, err } = await cli([command, '--offline', '-f', '-'], {
        stdin: `apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {dnsPolicy: Cluster, containers: [{name: c, image: a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b}
spec: {containers: [{name: c}, {image: a}, {}]}
`,
      });
      const place = command === 'audit' ? 'standard input: document 2, line 6 (Pod b)' : 'Pod default/b';
      expect([code, withoutNote(err).split('\n').toSorted()]).toEqual([
        1,
        [
          '',
          command === 'inject' ? 'libc-dns: nothing was written' : 'libc-dns: 1 problem: see above',
          'libc-dns: standard input: document 1, line 1 (Pod a): The Pod is malformed: the API server will say so. spec.dnsPolicy is not one of ClusterFirst, ClusterFirstWithHostNet, Default, None.',
          `libc-dns: warning: ${place}: container (unnamed) names no image`,
          `libc-dns: warning: ${place}: container c names no image`,
        ].toSorted(),
      ]);
    },
  );

  it('of several documents each bad one is named, and the others are explained', async () => {
    const pod = 'apiVersion: v1\nkind: Pod\nmetadata: {name: good}\nspec: {containers: [{name: c, image: a}]}\n';
    const { code, out, err } = await cli(['explain', '--offline', '-o', 'json'], {
      stdin: `a: [\n---\n${pod}---\nb: *c\n---\n- d\n`,
    });
    expect([code, summary(out)]).toEqual([1, ['Pod good']]);
    expect(err).toMatch(
      /document 1, line 2, column 1: .*\n.*document 3, line 8, column 4: .*\n.*document 4, line 10, column 1: /,
    );
  });
});

describe('images that could not be read', () => {
  const stdin = `apiVersion: v1
kind: Pod
metadata: {name: a, annotations: {libc-dns.dev/libc.d: musl}}
spec: {containers: [{name: a, image: good}, {name: b, image: bad}, {name: c, image: bad}, {name: d, image: declared}]}
`;
  const detector = {
    detect: async ({ reference: image }: { reference: string }) => ({
      verdict: {
        resolver: image === 'good' ? 'glibc' : 'unknown',
        libc: image === 'good' ? 'glibc' : 'unknown',
        evidence:
          image === 'good'
            ? { source: 'executable', detail: 'ELF', confidence: 1 }
            : { source: 'none', detail: 'no such image (not-found)', confidence: 0 },
      },
    }),
  } as unknown as Detector;

  it.each(['explain', 'inject'])('%s warns of each on standard error and counts them', async (command) => {
    const { code, err } = await cli([command], { stdin, detector });
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(
        /\nlibc-dns: warning: bad: no such image \(not-found\)\nlibc-dns: 2 images looked up: 1 known, 1 unknown\n$/,
      ),
    ]);
  });

  it.each(['explain', 'inject'])('%s leaves the images of Pods that are left alone out', async (command) => {
    const alone = `apiVersion: v1
kind: Pod
metadata: {name: b}
spec: {hostNetwork: true, containers: [{name: a, image: good}, {name: b, image: other}]}
`;
    const { code, err } = await cli([command, '--fail-on', 'unknown'], {
      stdin: `${stdin.replaceAll('bad', 'good')}---\n${alone}`,
      detector,
    });
    expect([code, withoutNote(err)]).toEqual([0, 'libc-dns: 1 image looked up: 1 known, 0 unknown\n']);
    const offline = await cli([command, '--offline', '--fail-on', 'unknown'], { stdin: alone });
    expect([offline.code, withoutNote(offline.err)]).toEqual([0, '']);
  });

  it.each(['explain', 'inject'])('%s --fail-on unknown exits with 3, and writes all the same', async (command) => {
    const { code, out, err } = await cli([command, '--fail-on', 'unknown'], { stdin, detector });
    expect([code, out.length > 0]).toEqual([3, true]);
    expect(err.split('\n').at(-2)).toBe('libc-dns: the resolver of 1 image is unknown (--fail-on unknown)');
    const known = await cli([command, '--fail-on', 'unknown'], { stdin: stdin.replaceAll('bad', 'good'), detector });
    expect(known.code).toBe(0);
  });
});
