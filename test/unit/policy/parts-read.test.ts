import { describe, expect, it } from 'vitest';

import { patchFor } from '../../../src/admission/patch.ts';
import { strippedPod } from '../../../src/audit/scan/pod-groups.ts';
import { podVerdicts } from '../../../src/detection/pod/pod-verdicts.ts';
import { REACHES_ALL } from '../../../src/exposure/dns-target.ts';
import { decide } from '../../../src/policy/decide.ts';
import type { PodView } from '../../../src/policy/model.ts';
import { partsRead, readPod, templatePartsRead } from '../../../src/policy/read-pod.ts';
import type { Resolver } from '../../../src/policy/verdict.ts';
import { changed } from '../../support/json-paths.ts';
import { enforced, facts, kubeletFor, verdict, withNodeLocal } from '../../support/policy.ts';

type Path = readonly string[];

/** Wraps `value` so that each field that is asked for is noted, whether or not there is one. */
function recorded<T>(value: T, note: (path: Path) => void, path: Path = []): T {
  if (typeof value !== 'object' || value === null) return value;
  const isField = (key: string | symbol): key is string =>
    typeof key === 'string' && (Array.isArray(value) ? /^\d+$/.test(key) : !(key in Object.prototype));
  return new Proxy(value, {
    get(target, key) {
      const found: unknown = Reflect.get(target, key);
      if (!isField(key)) return found;
      note([...path, key]);
      return recorded(found, note, [...path, key]);
    },
    has(target, key) {
      if (isField(key)) note([...path, key]);
      return Reflect.has(target, key);
    },
  });
}

const at = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((parent, key) => (parent as Record<string, unknown> | undefined)?.[key], value);

/** Reads all labels and annotations; which of them matter, only those who read the view know. */
const isEntry = ([parent, map, ...names]: Path): boolean =>
  parent === 'metadata' && (map === 'labels' || map === 'annotations') && names.length > 0;

const MAPS = ['labels', 'annotations'];

interface Readers {
  readonly read: (pod: unknown) => PodView;
  readonly decide: (view: PodView) => void;
}

/** The fields that are read of a Pod or of what was read from it, labels and annotations by name. */
function fieldsRead({ read, decide: decideFor }: Readers, pods: readonly unknown[]): Path[] {
  const paths = new Map<string, Path>();
  const note = (path: Path): void => void paths.set(JSON.stringify(path), path);
  for (const pod of pods) {
    const view = read(
      recorded(pod, (path) => {
        if (!isEntry(path)) note(path);
      }),
    );
    decideFor(
      recorded(view, (path) => {
        if (MAPS.includes(path[0] ?? '') && path.length > 1) note(['metadata', ...path]);
      }),
    );
  }
  return [...paths.values()];
}

/** Those of the fields that get lost where one says something. */
const lost = (fields: readonly Path[], pod: unknown, keep: (pod: unknown) => unknown): string[] =>
  fields
    .filter((path) => {
      const isThere = at(pod, path) !== undefined;
      const whole = isThere ? pod : changed(pod, path, 'x');
      const found = at(whole, path);
      // The parts of a list or an object are fields themselves.
      return typeof found === 'object' ? at(keep(whole), path) === undefined : at(keep(whole), path) !== found;
    })
    .map((path) => path.join('.'));

const arm = { key: 'kubernetes.io/arch', operator: 'In', values: ['arm64'] };
const required = { nodeSelectorTerms: [{ matchExpressions: [{ ...arm, key: 'zone' }, arm], matchFields: [] }] };
const container = (name: string) => ({
  name,
  image: `registry.test/${name}`,
  command: ['run'],
  args: ['--it'],
  env: [{ name: 'GODEBUG', value: 'netdns=cgo' }],
  envFrom: [{}],
  workingDir: '/srv',
  securityContext: { runAsUser: 1000 },
  ports: [{ name: 'dns', containerPort: 53 }],
  volumeMounts: [{ name: 'data', mountPath: '/data' }],
});

/** Everything that is read, and some that is not. */
const WHOLE = {
  metadata: { name: 'web-1', labels: { app: 'web' }, annotations: { 'example.com/team': 'a' } },
  spec: {
    dnsPolicy: 'ClusterFirst',
    dnsConfig: { nameservers: ['192.0.2.1'], searches: ['a.example'], options: [{ name: 'ndots', value: '2' }] },
    hostNetwork: false,
    os: { name: 'linux' },
    nodeName: 'virtual-node-1',
    schedulerName: 'default-scheduler',
    nodeSelector: { 'kubernetes.io/os': 'linux' },
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } },
    tolerations: [{ key: 'dedicated', operator: 'Equal', value: 'dns' }],
    imagePullSecrets: [{ name: 'login' }],
    serviceAccountName: 'web',
    initContainers: [container('init')],
    containers: [container('main'), container('second')],
    volumes: [{ name: 'libc-dns-cache', emptyDir: {} }],
    resources: { limits: { cpu: '1' } },
    securityContext: { runAsUser: 1000 },
  },
};

/** As an earlier call has left it, for musl and for both. */
const redirected = (resolvers: Readonly<Record<string, Resolver>>): unknown => {
  const decision = JSON.stringify({ reason: 'MuslRedirected', remedy: ['redirect'], resolvers });
  const none = changed<unknown>(WHOLE, ['spec', 'dnsPolicy'], 'None');
  return changed(none, ['metadata', 'annotations', 'libc-dns.dev/decision'], decision);
};

const PODS: readonly unknown[] = [
  WHOLE,
  changed(WHOLE, ['spec', 'nodeName'], 'node-1'),
  changed(WHOLE, ['spec', 'hostNetwork'], true),
  changed(WHOLE, ['metadata', 'annotations', 'eks.tke.cloud.tencent.com/cpu'], '2'),
  changed(WHOLE, ['metadata', 'annotations', 'libc-dns.dev/libc.main'], 'go'),
  changed(WHOLE, ['metadata', 'annotations', 'libc-dns.dev/libc'], 'wrong'),
  redirected({ init: 'musl', main: 'musl', second: 'musl' }),
  redirected({ init: 'musl', main: 'glibc', second: 'musl' }),
];

/** Asks for the cache in the Pod, and has a place for it. */
const ASKING = changed(
  { ...WHOLE, spec: { ...WHOLE.spec, volumes: [], resources: undefined, containers: [{ name: 'main' }] } },
  ['metadata', 'annotations', 'libc-dns.dev/remedy'],
  'sidecar',
);

const MIXES: readonly (readonly Resolver[])[] = [['musl'], ['glibc'], ['musl', 'glibc'], ['unknown']];

function decideInAllWays(view: PodView): void {
  for (const resolvers of MIXES) {
    const verdicts = view.containers.map((_, index) => verdict(resolvers[index % resolvers.length] ?? 'unknown'));
    const [cluster, kubelet] = [{ ...facts, nodeLocal: 'ready' as const }, () => kubeletFor(view, facts)];
    const decision = decide({
      pod: view,
      namespace: enforced(),
      verdicts,
      cluster,
      config: withNodeLocal(),
      reach: REACHES_ALL,
      kubelet,
    });
    expect(decision.reason).not.toBe('MalformedPod');
  }
  const platform = { os: 'linux', architecture: 'amd64' };
  void podVerdicts(view, { namespace: 'shop', budgetMs: 1 }, { platform });
}

const READERS: Readers = { read: readPod, decide: decideInAllWays };

describe('the parts of a Pod that are read', () => {
  const fields = fieldsRead(READERS, [...PODS, ASKING]);
  const names = fields.map((path) => path.join('.'));

  it('the check sees what is read', () => {
    expect(names).toEqual(
      expect.arrayContaining([
        'spec.dnsConfig.options.0.value',
        'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms.0.matchExpressions.1.values.0',
        'spec.containers.1.args.0',
        'metadata.labels.libc-dns.dev/mode',
        'metadata.labels.alibabacloud.com/eci',
        'metadata.annotations.libc-dns.dev/decision',
        'metadata.annotations.libc-dns.dev/libc.main',
        'metadata.annotations.kubernetes.io/config.mirror',
        'metadata.annotations.libc-dns.dev/remedy',
        'spec.initContainers.0.ports.0.containerPort',
        'spec.volumes.0.name',
        'spec.containers.0.volumeMounts.0.mountPath',
        'spec.resources',
      ]),
    );
    expect(names).not.toContain('metadata.labels.app');
    expect(names).not.toContain('spec.volumes.0.emptyDir');
  });

  it('leave out the ports and volumes that stand in no way: each Pod has a volume of a name of its own', () => {
    const other = (volume: string, containerPort: number) => ({
      spec: { volumes: [{ name: volume }], containers: [{ name: 'main', ports: [{ containerPort }] }] },
    });
    expect(partsRead(other('kube-api-access-x8f2p', 8080))).toEqual(partsRead(other('kube-api-access-9wzkq', 9090)));
    expect(partsRead(other('kube-api-access-x8f2p', 53))).not.toEqual(partsRead(other('kube-api-access-x8f2p', 80)));
    expect(partsRead(other('libc-dns-cache', 80))).not.toEqual(partsRead(other('data', 80)));
  });

  it('of fields of the wrong type, whatever stands there', () => {
    const pod = { spec: { containers: [{ name: 'main', volumeMounts: [{ mountPath: { toString: 1 } }] }] } };
    expect(readPod(templatePartsRead(pod))).toEqual(readPod(pod));
  });

  it('hold all that readPod and a decision read', () => {
    expect(lost(fields, WHOLE, partsRead)).toEqual([]);
    for (const pod of PODS) expect(lost(fields, pod, partsRead)).toEqual([]);
  });

  it('of a template: all but the command lines and variables', () => {
    const isOwn = /\.(?:command|args|env|envFrom)(?:\.|$)/u;
    const others = lost(fields, WHOLE, templatePartsRead).filter((name) => !isOwn.test(name));
    expect(others).toEqual([]);
  });

  it('of what the audit groups by: all, with the name of a virtual node', () => {
    expect(lost(fields, WHOLE, strippedPod)).toEqual([]);
  });

  it('hold the fields that a patch looks at', () => {
    for (const pod of PODS) {
      const paths: Path[] = [];
      const decision = {
        mode: 'enforce',
        reason: 'OptionsAdded',
        message: '',
        remedy: [],
        containers: [],
        warnings: [],
      } as const;
      const change = { dnsPolicy: 'None', nameservers: [], searches: [], options: [{ name: 'edns0' }] } as const;
      patchFor(
        recorded(pod, (path) => paths.push(path)),
        { ...decision, change },
      );
      expect(paths).not.toEqual([]);
      // Of other annotations it counts the bytes: Pods with many are not remembered.
      const counted = (path: Path): boolean => isEntry(path) && !(path[2] ?? '').startsWith('libc-dns.dev/');
      expect(
        lost(
          paths.filter((path) => !counted(path)),
          pod,
          partsRead,
        ),
      ).toEqual([]);
    }
  });

  it.each([
    [
      'a field of the spec',
      'spec.priorityClassName',
      (pod: typeof WHOLE) => (pod.spec as { priorityClassName?: string }).priorityClassName,
    ],
    [
      'a field of a container',
      'spec.containers.0.terminationMessagePath',
      (pod: typeof WHOLE) => (pod.spec.containers[0] as { terminationMessagePath?: string }).terminationMessagePath,
    ],
    [
      'a field of a toleration',
      'spec.tolerations.0.operator',
      (pod: typeof WHOLE) => pod.spec.tolerations[0]?.operator,
    ],
    ['the name', 'metadata.name', (pod: typeof WHOLE) => pod.metadata.name],
  ])('the check bites where a reader reads %s more', (_, name, more) => {
    const read = (pod: unknown): PodView => {
      void more(pod as typeof WHOLE);
      return readPod(pod);
    };
    expect(lost(fieldsRead({ ...READERS, read }, PODS), WHOLE, partsRead)).toEqual([name]);
  });

  it.each([
    ['a label that is there', 'metadata.labels.app', ({ labels }: PodView) => labels['app']],
    ['a label that is not', 'metadata.labels.tier', ({ labels }: PodView) => 'tier' in labels],
    [
      'an annotation',
      'metadata.annotations.example.com/team',
      ({ annotations }: PodView) => annotations['example.com/team'],
    ],
  ])('the check bites where a decision reads %s more', (_, name, more) => {
    const decideMore = (view: PodView): void => {
      void more(view);
      decideInAllWays(view);
    };
    expect(lost(fieldsRead({ ...READERS, decide: decideMore }, PODS), WHOLE, partsRead)).toEqual([name]);
  });
});

describe('what has the wrong type', () => {
  const outcome = (value: unknown): unknown => {
    try {
      return readPod(value);
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('stays: the parts are refused for what the Pod is refused for', () => {
    for (const path of fieldsRead(READERS, PODS)) {
      for (const value of [1, 'x', [], {}, [1], null]) {
        if (path.slice(0, -1).length > 0 && typeof at(WHOLE, path.slice(0, -1)) !== 'object') continue;
        const pod = changed<unknown>(WHOLE, path, value);
        const strip = (view: unknown): unknown =>
          typeof view === 'string' ? view : { ...(view as PodView), labels: {}, annotations: {} };
        expect(strip(outcome(partsRead(pod)))).toEqual(strip(outcome(pod)));
      }
    }
  });
});
