import jsonPatch from 'fast-json-patch';
import { describe, expect, it } from 'vitest';

import {
  createEvaluate,
  createEvaluator,
  type Evaluate,
  evaluateBy,
  type Evaluation,
} from '../../../src/admission/evaluate.ts';
import { createTemplateCache, type TemplateCache } from '../../../src/admission/template-cache.ts';
import type { Detector, DetectRequest } from '../../../src/detection/detector.ts';
import { REACHES_ALL } from '../../../src/exposure/dns-target.ts';
import type { ClusterFacts, NamespaceView, PodView, Reach } from '../../../src/policy/model.ts';
import { changed, pathsIn } from '../../support/json-paths.ts';
import { enforced, facts, verdict, withNodeLocal } from '../../support/policy.ts';

type Json = Record<string, unknown>;

/** A Pod with everything that any rule reads, and some that none does. */
const pod = (): Json => ({
  metadata: {
    name: 'web-1',
    labels: { app: 'web', 'libc-dns.dev/mode': 'enforce', 'alibabacloud.com/eci': 'false' },
    annotations: { 'libc-dns.dev/libc.init': 'musl', 'example.com/team': 'a' },
  },
  spec: {
    dnsPolicy: 'ClusterFirst',
    dnsConfig: {
      nameservers: ['192.0.2.1'],
      searches: ['corp.example'],
      options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
    },
    hostNetwork: false,
    os: { name: 'linux' },
    nodeName: 'node-1',
    schedulerName: 'default-scheduler',
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            {
              matchExpressions: [{ key: 'kubernetes.io/arch', operator: 'In', values: ['arm64', 's390x'] }],
              matchFields: [{ key: 'metadata.name', operator: 'In', values: ['node-a'] }],
            },
          ],
        },
      },
    },
    tolerations: [{ key: 'dedicated', operator: 'Exists', value: '' }],
    imagePullSecrets: [{ name: 'login' }],
    serviceAccountName: 'web',
    initContainers: [{ name: 'init', image: 'busybox', env: [{ name: 'A', value: 'b' }] }],
    containers: [{ name: 'web', image: 'nginx', command: ['nginx'], args: ['-g', 'daemon off;'] }],
    volumes: [{ name: 'v', emptyDir: {} }],
  },
});

/** Where a DaemonSet names the node of each of its Pods. */
const NODE =
  'spec affinity nodeAffinity requiredDuringSchedulingIgnoredDuringExecution nodeSelectorTerms 0 matchFields'.split(
    ' ',
  );

const paths = pathsIn(pod()).filter((path) => path.length > 0);

/** Tells in its verdict what it was asked, so that a decision shows whether it was asked the right thing. */
const telling = (resolver: 'glibc' | 'musl'): Detector => ({
  detect: async ({ reference, platform, command, args, credentials }: DetectRequest) => {
    const logins = typeof credentials === 'function' ? await credentials() : [];
    const detail = JSON.stringify([reference, platform, command, args, logins]);
    const { evidence, ...found } = verdict(resolver);
    return {
      from: 'memory',
      verdict: { ...found, evidence: { ...evidence, detail } },
      meter: { requests: 0, bytes: 0 },
    };
  },
});

type Asking = Pick<PodView, 'imagePullSecrets' | 'serviceAccountName'>;

interface World {
  facts: ClusterFacts;
  detector: Detector;
  reach: (namespace: string, labels: unknown) => Reach;
}

interface Evaluators {
  readonly world: World;
  readonly remembering: Evaluate;
  readonly forgetful: Evaluate;
  /** What `remembering` keeps. */
  readonly cache: TemplateCache;
}

function evaluators(): Evaluators {
  const world: World = { facts: { ...facts, nodeLocal: 'ready' }, detector: telling('musl'), reach: () => REACHES_ALL };
  const options = {
    config: withNodeLocal({ scope: 'cluster' }),
    cluster: () => world.facts,
    reach: (...asked: Parameters<World['reach']>) => world.reach(...asked),
    verdicts: {
      detector: {
        detect: (...asked: Parameters<Detector['detect']>) => world.detector.detect(...asked),
        peek: (request: DetectRequest) => world.detector.peek?.(request),
      },
      platform: { os: 'linux', architecture: 'amd64' },
      credentials: ({ imagePullSecrets, serviceAccountName }: Asking, namespace: string) =>
        Promise.resolve([
          { host: imagePullSecrets.join(), credential: { username: serviceAccountName, password: namespace } },
        ]),
    },
  };
  const cache = createTemplateCache(createEvaluator(options));
  return { world, remembering: evaluateBy(cache), forgetful: createEvaluate(options), cache };
}

const terms = { budgetMs: 1000 };

/** What is decided for a Pod that was met before, so that it is remembered. */
async function again(evaluate: Evaluate, object: unknown, namespace = enforced()): Promise<Evaluation> {
  await evaluate(object, namespace, terms);
  return await evaluate(object, namespace, terms);
}

async function seen(evaluate: Evaluate, object: unknown, namespace: NamespaceView = enforced()): Promise<unknown> {
  const { decision, patch, resolvConf } = await evaluate(object, namespace, terms);
  return { decision, patch, resolvConf: resolvConf() };
}

describe('Pods of one template are decided for once', () => {
  it.each([
    ['another name', ['metadata', 'name'], 'web-2'],
    ['another label', ['metadata', 'labels', 'app'], 'other'],
    ['another annotation', ['metadata', 'annotations', 'example.com/team'], 'b'],
    ['another node', NODE, [{ key: 'metadata.name', operator: 'In', values: ['node-b'] }]],
    ['other variables', ['spec', 'initContainers', '0', 'env'], []],
    ['other volumes', ['spec', 'volumes'], []],
  ])('%s: the same evaluation', async (_, path, value) => {
    const { remembering } = evaluators();
    const first = await again(remembering, pod());
    expect(first.decision.remedy).toContain('redirect');
    expect(await remembering(changed(pod(), path, value), enforced(), terms)).toBe(first);
  });

  it('Pods that nothing is looked up for, too', async () => {
    const { remembering } = evaluators();
    const off = changed(pod(), ['metadata', 'labels', 'libc-dns.dev/mode'], 'off');
    const first = await again(remembering, off);
    expect(first.decision.reason).toBe('PodOptedOut');
    expect(await remembering(off, enforced(), terms)).toBe(first);
  });

  it('the first of them is not remembered: most Pods that are met once are like no other', async () => {
    const { remembering } = evaluators();
    const first = await remembering(pod(), enforced(), terms);
    const second = await remembering(pod(), enforced(), terms);
    expect(second).not.toBe(first);
    expect(second.decision).toEqual(first.decision);
    expect(await remembering(pod(), enforced(), terms)).toBe(second);
    const { cache } = evaluators();
    for (let index = 0; index < 5000; index += 1) cache.read({ spec: { nodeName: `n${index}` } }, enforced());
    expect(cache.size()).toEqual({ entries: 0, bytes: 0 });
  });
});

describe('Pods that differ in their command lines', () => {
  const running = (...args: string[]): unknown => changed(pod(), ['spec', 'containers', '0', 'args'], args);

  /** Knows that all words but the first of `args` make no difference. */
  const byFirst: Detector = {
    detect: () => Promise.reject(new Error('not asked')),
    peek: ({ args }) => {
      const resolver = args[0] === '-g' ? 'musl' : 'glibc';
      return { from: 'memory', verdict: verdict(resolver), meter: { requests: 0, bytes: 0 } };
    },
  };

  it('share what was decided where their images say the same', async () => {
    const { world, remembering } = evaluators();
    world.detector = byFirst;
    const first = await again(remembering, running('-g', 'one'));
    for (const word of ['two', 'three']) expect(await remembering(running('-g', word), enforced(), terms)).toBe(first);
  });

  it('and only there: each is asked about by its own', async () => {
    const { world, remembering, forgetful } = evaluators();
    world.detector = byFirst;
    for (const args of [['-g', '1'], ['-g', '2'], ['-x', '3'], ['-g', '4'], [], ['-x', '5']]) {
      await expectTheSame(remembering, forgetful, running(...args));
    }
    world.detector = telling('glibc');
    for (const args of [['-g', '1'], ['-g', '2'], ['a b'], ['a', 'b'], []]) {
      await expectTheSame(remembering, forgetful, running(...args));
    }
  });

  it('are told apart behind a cache that an earlier call has put before their containers', async () => {
    const { remembering, forgetful } = evaluators();
    const asking = changed(running('1'), ['metadata', 'annotations', 'libc-dns.dev/remedy'], 'sidecar');
    const { patch } = await forgetful(asking, enforced(), terms);
    const patched: unknown = jsonPatch.applyPatch(structuredClone(asking), patch, true, true).newDocument;
    expect(patched).toMatchObject({ spec: { initContainers: [{ name: 'libc-dns-cache' }, { name: 'init' }] } });
    for (const word of ['2', '3', '3']) {
      const sent = changed(patched, ['spec', 'containers', '0', 'args'], [word]);
      await expectTheSame(remembering, forgetful, sent);
      const { decision } = await remembering(sent, enforced(), terms);
      expect(decision.containers.map(({ name }) => name)).toEqual(['init', 'web']);
      expect(decision.containers[1]?.evidence.detail).toContain(`["nginx"],["${word}"]`);
    }
  });

  it('are told what is wrong with a Pod in the same order', async () => {
    const { remembering, forgetful } = evaluators();
    const wrong = changed(running(), ['spec', 'containers', '1'], { name: 1 });
    for (const command of [1, ['sh', 1]]) {
      await expectTheSame(remembering, forgetful, changed(wrong, ['spec', 'containers', '0', 'command'], command));
    }
  });
});

describe('Pods that come after another of their template', () => {
  const detection = (resolver: 'glibc' | 'musl') =>
    ({ from: 'memory', verdict: verdict(resolver), meter: { requests: 0, bytes: 0 } }) as const;

  const recalling = (said: { resolver: 'glibc' | 'musl'; recalls: number }): Detector => ({
    detect: () => Promise.reject(new Error('not asked')),
    peek: () => {
      said.recalls += 1;
      return detection(said.resolver);
    },
  });

  it('are each looked up in what is known of their images', async () => {
    const { world, remembering } = evaluators();
    const said = { resolver: 'musl' as 'glibc' | 'musl', recalls: 0 };
    world.detector = recalling(said);
    const first = await again(remembering, pod());
    expect(await remembering(pod(), enforced(), terms)).toBe(first);
    expect(said.recalls).toBe(3);
    said.resolver = 'glibc';
    const next = await remembering(pod(), enforced(), terms);
    expect(next.decision.containers.map(({ resolver }) => resolver)).toEqual(['musl', 'glibc']);
  });

  it('wait each for itself if an image is not known yet', async () => {
    const { world, remembering } = evaluators();
    world.detector = { detect: () => new Promise(() => {}) };
    const impatient = await remembering(pod(), enforced(), { budgetMs: 1 });
    expect(impatient.decision.containers[1]).toMatchObject({ resolver: 'unknown' });
    world.detector = telling('musl');
    const patient = await remembering(pod(), enforced(), terms);
    expect(patient.decision.containers[1]).toMatchObject({ resolver: 'musl' });
  });
});

/** Decided anew, from the remembered parts and out of the memory: each time what a server decides that remembers nothing. */
async function expectTheSame(
  remembering: Evaluate,
  forgetful: Evaluate,
  object: unknown,
  namespace: NamespaceView = enforced(),
): Promise<unknown> {
  const expected = await seen(forgetful, object, namespace);
  for (let time = 0; time < 3; time += 1) expect(await seen(remembering, object, namespace)).toEqual(expected);
  return expected;
}

describe('whatever makes a difference is seen', () => {
  it.each(paths.map((path) => [path.join('.'), path] as const))('%s', async (_, path) => {
    const { remembering, forgetful } = evaluators();
    await again(remembering, pod());
    const fargate = 'fargate-scheduler';
    for (const value of [
      undefined,
      null,
      '',
      'x',
      1,
      true,
      [],
      {},
      [1],
      { name: 'x' },
      'off',
      'windows',
      'None',
      fargate,
    ]) {
      const object = changed(pod(), path, value);
      await expectTheSame(remembering, forgetful, object);
    }
    expect(await seen(remembering, pod())).toEqual(await seen(forgetful, pod()));
  });

  it('annotations that leave no room for ours', async () => {
    const { remembering, forgetful } = evaluators();
    const annotated = (length: number): unknown =>
      changed(pod(), ['metadata', 'annotations', 'example.com/team'], 'x'.repeat(length));
    const patched = new Set<string>();
    for (const length of [1, 60_000, 70_000, 262_000, 1]) {
      const object = annotated(length);
      patched.add(JSON.stringify(await expectTheSame(remembering, forgetful, object)));
    }
    expect(patched.size).toBe(2);
  });

  it.each([
    [undefined],
    [null],
    [1],
    ['Pod'],
    [[]],
    [{}],
    [{ metadata: { annotations: { a: { toString: 1, valueOf: 1 } } } }],
  ])('of what is no Pod: %j', async (object) => {
    const { remembering, forgetful } = evaluators();
    await expectTheSame(remembering, forgetful, object);
  });

  it('of what else a decision comes from: namespace, cluster, verdicts', async () => {
    const { world, remembering, forgetful } = evaluators();
    const same = async (namespace?: NamespaceView): Promise<unknown> => {
      return await expectTheSame(remembering, forgetful, pod(), namespace);
    };
    const first = await same();
    const elsewhere = await same(enforced('other'));
    const audited = await same({ name: 'shop', labels: { 'libc-dns.dev/mode': 'audit' } });
    const onVirtualNodes = await same(enforced('shop', { 'alibabacloud.com/eci': 'true' }));
    world.facts = { ...world.facts, domain: 'k8s.example' };
    const moved = await same();
    world.detector = telling('glibc');
    const rebuilt = await same();
    const all = [first, elsewhere, audited, onVirtualNodes, moved, rebuilt].map((one) => JSON.stringify(one));
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('what network policies make of Pods', () => {
  const kept: Reach = {
    dnsTcp: 'denied',
    nodeLocalUdp: 'denied',
    nodeLocalTcp: 'denied',
    by: { nodeLocalUdp: 'NetworkPolicy shop/p' },
  };
  const labelled = (app: string): unknown => changed(pod(), ['metadata', 'labels', 'app'], app);

  it('is asked for each, by its own labels and its namespace: Pods of a template differ in both', async () => {
    const { world, remembering, forgetful } = evaluators();
    world.reach = (namespace, labels) =>
      namespace === 'shop' && (labels as { app?: string }).app === 'kept' ? kept : REACHES_ALL;
    const reasons = [];
    for (const [app, namespace] of [
      ['kept', 'shop'],
      ['free', 'shop'],
      ['kept', 'bank'],
      ['kept', 'shop'],
    ] as const) {
      await expectTheSame(remembering, forgetful, labelled(app), enforced(namespace));
      reasons.push((await remembering(labelled(app), enforced(namespace), terms)).decision.reason);
    }
    expect(reasons).toEqual(['NodeLocalNotAllowed', 'MuslRedirected', 'MuslRedirected', 'NodeLocalNotAllowed']);
  });

  it('may change between two Pods', async () => {
    const { world, remembering } = evaluators();
    const first = await again(remembering, pod());
    world.reach = () => kept;
    const second = await again(remembering, pod());
    expect(second.decision.reason).toBe('NodeLocalNotAllowed');
    world.reach = () => ({ ...kept, by: { nodeLocalUdp: 'NetworkPolicy shop/q' } });
    expect((await again(remembering, pod())).decision.message).toContain('shop/q');
    world.reach = () => kept;
    expect(await remembering(pod(), enforced(), terms)).toBe(second);
    world.reach = () => REACHES_ALL;
    expect(await remembering(pod(), enforced(), terms)).toBe(first);
  });
});

it('a namespace that changes its label changes the decision, and gets the same when it changes back', async () => {
  const unlabelled = changed(pod(), ['metadata', 'labels'], {});
  for (const object of [pod(), unlabelled]) {
    const { remembering, forgetful } = evaluators();
    const first = await again(remembering, object);
    for (const label of ['audit', 'off', 'audit', 'enforce']) {
      const namespace = { name: 'shop', labels: { 'libc-dns.dev/mode': label } };
      await expectTheSame(remembering, forgetful, object, namespace);
    }
    expect(await remembering(object, enforced(), terms)).toBe(first);
  }
});

describe('the memory is bounded', () => {
  it('more templates than it holds', async () => {
    const { cache } = evaluators();
    for (let index = 0; index < 3000; index += 1)
      cache.read({ spec: { nodeName: `n${Math.floor(index / 2)}` } }, enforced());
    expect(cache.size().entries).toBe(1000);
  });

  it('large ones: fewer, in 12 MiB; one that is larger still is not held', () => {
    const { cache } = evaluators();
    const large = (index: number, length: number) => ({ spec: { nodeName: `${index}`.padEnd(length, 'x') } });
    for (let index = 0; index < 2000; index += 1) cache.read(large(Math.floor(index / 2), 8000), enforced());
    const { entries, bytes } = cache.size();
    expect(entries).toBeLessThan(300);
    expect(bytes).toBeLessThanOrEqual(12 * 1024 * 1024);
    for (let time = 0; time < 3; time += 1) cache.read(large(0, 9000), enforced());
    expect(cache.read(large(0, 9000), enforced()).template).toBeUndefined();
    expect(cache.size()).toEqual({ entries, bytes });
  });
});
