import { describe, expect, it } from 'vitest';

import type { Detection, Detector, DetectRequest } from '../../../../src/detection/detector.ts';
import { type PodCredentials, podVerdicts } from '../../../../src/detection/pod/pod-verdicts.ts';
import { readPod } from '../../../../src/policy/read-pod.ts';
import { localDetector } from '../../../support/local-detector.ts';
import { podWith, verdict } from '../../../support/policy.ts';
import { FakeRegistry } from '../support.ts';

const platform = { os: 'linux', architecture: 'amd64' };
const login = { host: 'registry.example', credential: { username: 'alice', password: 'x' } };

/** A detector that asks registries, and notes what it is asked and with which logins. */
function listening() {
  const asked: DetectRequest[] = [];
  const found: Detection = { verdict: verdict('musl'), from: 'registry', meter: { requests: 0, bytes: 0 } };
  const detector: Detector = {
    async detect(request) {
      const { credentials = [] } = request;
      asked.push({ ...request, credentials: typeof credentials === 'function' ? await credentials() : credentials });
      return found;
    },
  };
  return { asked, detector };
}

it('containers that differ in their environment are looked up each', async () => {
  const { asked, detector } = listening();
  const env = [{ name: 'GODEBUG', value: 'netdns=cgo' }];
  const containers = [
    { name: 'a', image: 'app' },
    { name: 'b', image: 'app', env },
    { name: 'c', image: 'app', env: [{ name: 'HOME', value: '/' }] },
  ];
  await podVerdicts(readPod({ spec: { containers } }), { namespace: 'shop', budgetMs: 1000 }, { platform, detector });
  expect(asked.map(({ env: given }) => given)).toEqual([undefined, { GODEBUG: 'netdns=cgo' }, { HOME: '/' }]);
});

describe('programs that come from a volume', () => {
  const ask = async (container: object, executable?: string) => {
    const { asked, detector } = listening();
    const found = await detector.detect({} as DetectRequest, AbortSignal.timeout(1000));
    asked.length = 0;
    const hiding: Detector = {
      detect: async (request, deadline) => {
        await detector.detect(request, deadline);
        return { ...found, ...(executable !== undefined && { executable }) };
      },
    };
    const pod = readPod({ spec: { containers: [{ name: 'a', image: 'app', ...container }] } });
    const [one] = await podVerdicts(pod, { namespace: 'shop', budgetMs: 1000 }, { platform, detector: hiding });
    return { asked: asked.map(({ command, args }) => [...command, ...args].join(' ')), one };
  };
  const volumeMounts = [{ name: 'v', mountPath: '/v' }];

  it('the command behind it counts', async () => {
    const { asked, one } = await ask({ command: ['/v/vault-env', '/app'], args: ['x'], volumeMounts });
    expect([asked, one?.resolver]).toEqual([['/app x'], 'musl']);
  });

  it('with no command behind it nothing is looked up', async () => {
    const { asked, one } = await ask({ command: ['/v/run.sh'], volumeMounts });
    expect([asked, one?.resolver, one?.evidence.detail]).toEqual([
      [],
      'unknown',
      '/v/run.sh is not in the image: it comes from the volume at /v',
    ]);
  });

  it.each([
    ['/v/app', 'unknown', 'the volume at /v hides /v/app of the image'],
    ['/app', 'musl', verdict('musl').evidence.detail],
    [undefined, 'musl', verdict('musl').evidence.detail],
  ])('a volume that hides the program of the image: %s', async (executable, resolver, detail) => {
    const { one } = await ask({ volumeMounts }, executable);
    expect([one?.resolver, one?.evidence.detail]).toEqual([resolver, detail]);
    expect(one?.executable).toBe(resolver === 'musl' ? executable : undefined);
  });
});

describe("a Pod's registry logins", () => {
  it("are asked for once, for the request's namespace, and go with each of its images", async () => {
    const { asked, detector } = listening();
    const askedFor: unknown[] = [];
    const credentials: PodCredentials = async (pod, namespace) => {
      askedFor.push([pod.imagePullSecrets, pod.serviceAccountName, namespace]);
      return [login];
    };
    const spec = { imagePullSecrets: [{ name: 'regcred' }, { name: 'other' }] };
    const containers = [
      { name: 'a', image: 'a' },
      { name: 'b', image: 'b' },
    ];
    // A Pod may say that it is another's.
    const pod = readPod(podWith(0, { ...spec, containers }, { namespace: 'kube-system' }));
    await podVerdicts(pod, { namespace: 'shop', budgetMs: 1000 }, { platform, detector, credentials });
    expect(askedFor).toEqual([[['regcred', 'other'], 'default', 'shop']]);
    expect(asked.map(({ reference, credentials: given }) => [reference, given])).toEqual([
      ['a', [login]],
      ['b', [login]],
    ]);
  });

  it('are named by as many and as long names as Kubernetes takes, for a look-up outlives its Pod', async () => {
    const { detector } = listening();
    const askedFor: unknown[] = [];
    const credentials: PodCredentials = async (pod) => {
      askedFor.push([pod.imagePullSecrets.length, pod.imagePullSecrets[0], pod.serviceAccountName]);
      return [];
    };
    const names = ['x'.repeat(1_000_000), ...Array.from({ length: 1000 }, (_, at) => `s${at}`)];
    const spec = { imagePullSecrets: names.map((name) => ({ name })), serviceAccountName: 'x'.repeat(1_000_000) };
    await podVerdicts(
      readPod(podWith(1, spec)),
      { namespace: 'shop', budgetMs: 1000 },
      { platform, detector, credentials },
    );
    expect(askedFor).toEqual([[100, 's0', '']]);
  });

  it.each<[string, PodCredentials]>([
    ['fail', async () => await Promise.reject(new Error('s3cr3t'))],
    ['never come', async () => await new Promise(() => {})],
  ])('that %s leave time for a look-up without them', async (_, credentials) => {
    const { asked, detector } = listening();
    const verdicts = await podVerdicts(
      readPod(podWith(1)),
      { namespace: 'shop', budgetMs: 200 },
      { platform, detector, credentials },
    );
    expect(verdicts.map(({ resolver }) => resolver)).toEqual(['musl']);
    expect(asked.map(({ credentials: given }) => given)).toEqual([[]]);
  });

  it('are not waited for where the image is known', async () => {
    const sources = new FakeRegistry();
    sources.add('app:1');
    const clock = { now: () => Date.now() };
    const limits = { entries: 10, tagTtlMs: 60_000, failureTtlMs: 60_000, clock };
    const detector = localDetector({ sources, inspect: sources.inspect, ...limits });
    const pod = readPod({ spec: { containers: [{ name: 'a', image: 'app:1' }] } });
    await podVerdicts(
      pod,
      { namespace: 'shop', budgetMs: 1000 },
      { platform, detector, credentials: async () => [login] },
    );
    const credentials: PodCredentials = () => {
      throw new Error('asked');
    };
    const [found] = await podVerdicts(pod, { namespace: 'shop', budgetMs: 1000 }, { platform, detector, credentials });
    expect(found?.resolver).toBe('musl');
    await detector.close();
  });

  it('are not asked for where annotations say all', async () => {
    const { detector } = listening();
    const pod = readPod(podWith(1, {}, { annotations: { 'libc-dns.dev/libc': 'glibc' } }));
    const credentials: PodCredentials = () => {
      throw new Error('asked');
    };
    const [found] = await podVerdicts(pod, { namespace: 'shop', budgetMs: 1000 }, { platform, detector, credentials });
    expect(found?.resolver).toBe('glibc');
  });
});
