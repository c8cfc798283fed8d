import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { lookUpImages, type LookupOptions } from '../../../src/audit/look-ups.ts';
import { createPodGroups } from '../../../src/audit/scan/pod-groups.ts';
import type { PodGroup } from '../../../src/audit/scan/scanned.ts';
import { containerRun, type Detection, type Detector, type DetectRequest } from '../../../src/detection/detector.ts';
import { readPod } from '../../../src/policy/read-pod.ts';
import { unknownVerdict } from '../../../src/policy/verdict.ts';
import { byName } from '../../support/audit-report.ts';
import { amd64 } from '../../support/registry-harness.ts';

interface Wanted {
  readonly namespace?: string;
  readonly spec: Record<string, unknown>;
  readonly annotations?: Record<string, string>;
}

function groupsOf(...pods: Wanted[]): readonly PodGroup[] {
  const groups = createPodGroups();
  for (const [index, { namespace = 'shop', spec, annotations = {} }] of pods.entries()) {
    const pod = { metadata: { name: `p${index}`, annotations }, spec };
    groups.add({ kind: 'Pod', namespace, name: `p${index}` }, pod, undefined);
  }
  return groups.all();
}

const running = (...images: string[]) => ({ containers: images.map((image, index) => ({ name: `c${index}`, image })) });

function recorder(
  answer: (request: DetectRequest) => Promise<Detection> = (request) =>
    byName.detect(request, AbortSignal.timeout(1000)),
) {
  const asked: DetectRequest[] = [];
  const state = { now: 0, most: 0 };
  const detector: Detector = {
    async detect(request) {
      asked.push(request);
      state.now += 1;
      state.most = Math.max(state.most, state.now);
      await sleep(1);
      state.now -= 1;
      return await answer(request);
    },
  };
  return { detector, asked, state };
}

const options = (change: Partial<LookupOptions>): LookupOptions => ({
  detector: undefined,
  platform: amd64,
  credentials: undefined,
  signal: new AbortController().signal,
  onProgress: () => {},
  ...change,
});

describe('images of an audit', () => {
  it('are looked up once for each image, platform and command line, a few at a time', async () => {
    const { detector, asked, state } = recorder();
    const many = Array.from({ length: 100 }, (_, index) => ({ spec: running(`musl:${index % 40}`, 'glibc') }));
    const command = { spec: { containers: [{ name: 'c', image: 'glibc', command: ['/other'] }] } };
    const arm = { spec: { ...running('glibc'), nodeSelector: { 'kubernetes.io/arch': 'arm64' } } };
    const seen: number[] = [];
    await lookUpImages(groupsOf(...many, command, arm), options({ detector, onProgress: (done) => seen.push(done) }));
    expect(asked).toHaveLength(40 + 3);
    expect(state.most).toBe(8);
    expect(seen).toEqual(Array.from({ length: 43 }, (_, index) => index + 1));
    // What is known answers however old, and nothing is written.
    expect(asked.every(({ ahead, dryRun }) => ahead === true && dryRun === true)).toBe(true);
  });

  it.each<[string, object]>([
    ['working directory', { workingDir: '/srv' }],
    ['user', { securityContext: { runAsUser: 1000 } }],
    ['mounts', { volumeMounts: [{ name: 'v', mountPath: '/opt' }] }],
    ['envFrom', { envFrom: [{ configMapRef: { name: 'settings' } }] }],
    ['variables from elsewhere', { env: [{ name: 'MODE', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] }],
  ])('are looked up for each run: the same image with another %s', async (_, change) => {
    const answer = (request: DetectRequest) => {
      const { reference: _image, platform: _platform, ahead: _ahead, dryRun: _dry, ...run } = request;
      const detail = JSON.stringify(run);
      return Promise.resolve<Detection>({
        verdict: unknownVerdict(detail),
        from: 'registry',
        meter: { requests: 1, bytes: 1 },
      });
    };
    const { detector, asked } = recorder(answer);
    const containers = [
      { name: 'plain', image: 'glibc', command: ['app'] },
      { name: 'other', image: 'glibc', command: ['app'], ...change },
    ];
    const groups = groupsOf({ spec: { containers } });
    const lookUps = await lookUpImages(groups, options({ detector }));
    expect(asked).toHaveLength(2);
    const pod = readPod({ spec: { containers } });
    const details = pod.containers.map((container) => lookUps.of(container, pod)?.verdict.evidence.detail);
    expect(details).toEqual(pod.containers.map((container) => JSON.stringify(containerRun(container))));
  });

  it('are not looked up where the user says what they are, on Windows, or without a name', async () => {
    const { detector, asked } = recorder();
    const groups = groupsOf(
      { spec: running('a'), annotations: { 'libc-dns.dev/libc': 'musl' } },
      { spec: { ...running('b'), os: { name: 'windows' } } },
      { spec: { containers: [{ name: 'c' }] } },
      { spec: { containers: 'no list' } },
      { spec: running('c', 'd'), annotations: { 'libc-dns.dev/libc.c0': 'musl' } },
    );
    await lookUpImages(groups, options({ detector }));
    expect(asked.map(({ reference }) => reference)).toEqual(['d']);
  });

  it('are tried with the logins of one Pod after the other while the registry refuses them, of three at most', async () => {
    const refused = recorder(async (request) => {
      const { credentials } = request;
      const [login] = typeof credentials === 'function' ? await credentials() : (credentials ?? []);
      const reference = login?.host === 'ns-1' ? 'musl' : 'private';
      return await byName.detect({ ...request, reference }, AbortSignal.timeout(1000));
    });
    const groups = groupsOf(...[0, 1, 2].map((index) => ({ namespace: `ns-${index}`, spec: running('x') })));
    const credentials = async (_pod: unknown, namespace: string) => [
      { host: namespace, credential: { username: 'u', password: 'p' } },
    ];
    const lookups = await lookUpImages(groups, options({ detector: refused.detector, credentials }));
    expect(refused.asked).toHaveLength(2);
    const [group] = groups;
    const pod = readPod(group?.pod);
    expect(lookups.of(pod.containers[0]!, pod)?.verdict.resolver).toBe('musl');

    const never = recorder();
    const private5 = groupsOf(...[0, 1, 2, 3, 4].map((index) => ({ namespace: `ns-${index}`, spec: running('x') })));
    await lookUpImages(private5, options({ detector: never.detector, credentials }));
    expect(never.asked).toHaveLength(3);
  });

  it('an interruption ends it', async () => {
    const stop = new AbortController();
    const { detector, asked } = recorder(async (request) => {
      stop.abort(new Error('enough'));
      return await byName.detect(request, AbortSignal.timeout(1000));
    });
    const groups = groupsOf(...Array.from({ length: 50 }, (_, index) => ({ spec: running(`musl:${index}`) })));
    await expect(lookUpImages(groups, options({ detector, signal: stop.signal }))).rejects.toThrow('enough');
    expect(asked.length).toBeLessThanOrEqual(16);
    await expect(lookUpImages(groups, options({ detector, signal: stop.signal }))).rejects.toThrow('enough');
  });

  it('nothing is looked up without a detector', async () => {
    const lookups = await lookUpImages(groupsOf({ spec: running('musl') }), options({}));
    const request = { reference: 'musl', platform: amd64, command: [], args: [] };
    await expect(lookups.detector.detect(request, AbortSignal.timeout(100))).rejects.toThrow(/not among/);
  });
});
