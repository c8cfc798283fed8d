import { describe, expect, it } from 'vitest';

import {
  MalformedPodError,
  partsRead,
  readPod,
  templatePartsRead,
  withCommandLines,
} from '../../../src/policy/read-pod.ts';

describe('reading a Pod', () => {
  it.each([undefined, null, {}, { metadata: null, spec: null }])(
    '%j is an empty Pod with the API defaults',
    (value) => {
      expect(readPod(value)).toMatchObject({
        dnsPolicy: 'ClusterFirst',
        dnsConfig: { nameservers: [], searches: [], options: [] },
        hostNetwork: false,
        serviceAccountName: 'default',
        containers: [],
      });
    },
  );

  it('nulls are absent', () => {
    const dnsConfig = { nameservers: null, searches: null, options: [{ name: 'ndots', value: null }] };
    expect(readPod({ spec: { dnsConfig, tolerations: null } }).dnsConfig).toEqual({
      nameservers: [],
      searches: [],
      options: [{ name: 'ndots' }],
    });
  });

  it('init containers come first, ephemeral ones do not count', () => {
    const spec = { initContainers: [{ name: 'i' }], containers: [{ name: 'c' }], ephemeralContainers: [{ name: 'e' }] };
    expect(readPod({ spec }).containers.map((container) => container.name)).toEqual(['i', 'c']);
  });

  it.each([
    { env: undefined, read: undefined },
    { env: 'x', read: undefined },
    { env: [null, 7, {}, { name: 'PATH', value: '/bin' }, { name: 'N', value: 5 }], read: { PATH: '/bin' } },
    { env: [{ name: 'GODEBUG', value: 'netdns=cgo' }, { name: 'HOME' }], read: { GODEBUG: 'netdns=cgo', HOME: '' } },
    { env: [{ name: { toString: 1 } }, { name: ['GODEBUG'], value: 'netdns=cgo' }], read: undefined },
    {
      env: [{ name: 'LOCALDOMAIN' }, { name: 'RES_OPTIONS', value: null }],
      read: { LOCALDOMAIN: '', RES_OPTIONS: '' },
    },
    {
      env: [
        { name: 'RES_OPTIONS', value: 'a' },
        { name: 'HOSTALIASES', value: 'b' },
        { name: 'RES_OPTIONS', value: 'c' },
      ],
      read: { HOSTALIASES: 'b', RES_OPTIONS: 'c' },
    },
    { env: [{ name: 'GODEBUG', valueFrom: { configMapKeyRef: { name: 'x', key: 'y' } } }], read: undefined },
  ])('the variables that the Pod gives a value: $env', ({ env, read }) => {
    const pod = { spec: { containers: [{ name: 'c', image: 'x', env }] } };
    expect(readPod(pod).containers[0]?.env).toEqual(read);
    expect(readPod(partsRead(pod))).toEqual(readPod(pod));
    expect(withCommandLines(readPod(templatePartsRead(pod)), pod)).toEqual(readPod(pod));
  });

  it('variables are no part of a template: Pods of CI have their own', () => {
    const named = (value: string) => ({ spec: { containers: [{ name: 'c', env: [{ name: 'ID', value }] }] } });
    expect(templatePartsRead(named('a'))).toEqual(templatePartsRead(named('b')));
    expect(partsRead(named('a'))).not.toEqual(partsRead(named('b')));
  });

  it('where values come from, and how volumes are mounted, is not read', () => {
    const from = (name: string) => ({
      spec: {
        containers: [
          {
            name: 'c',
            env: [{ name: 'ID', valueFrom: { secretKeyRef: { name } } }],
            envFrom: [{ configMapRef: { name } }],
            volumeMounts: [{ mountPath: '/app', name, readOnly: true }],
          },
        ],
      },
    });
    expect(partsRead(from('a'))).toEqual(partsRead(from('b')));
    expect(readPod(from('a')).containers[0]).toMatchObject({ envElsewhere: ['ID'], envFrom: true, mounts: ['/app'] });
    expect(readPod(partsRead(from('a')))).toEqual(readPod(from('a')));
  });

  it.each([
    [{ workingDir: '/w' }, { workingDir: '/w' }],
    [{ workingDir: 5 }, {}],
    [{ securityContext: { runAsUser: 0 } }, { user: '0' }],
    [{ securityContext: {} }, { user: '7' }],
    [{ securityContext: 'x' }, { user: '7' }],
    [{ volumeMounts: [{ mountPath: '/b' }, 5, { mountPath: '/a' }, { name: 'x' }] }, { mounts: ['/a', '/b'] }],
    [{ volumeMounts: [{ mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }] }, {}],
    [{ volumeMounts: 'x' }, {}],
    [{ envFrom: [] }, {}],
  ])('what the program is found by: %j', (fields, expected) => {
    const pod = { spec: { securityContext: { runAsUser: 7 }, containers: [{ name: 'c', image: 'x', ...fields }] } };
    const plain = { name: 'c', image: 'x', command: [], args: [], user: '7' };
    expect(readPod(pod).containers[0]).toEqual({ ...plain, ...expected });
    expect(readPod(partsRead(pod))).toEqual(readPod(pod));
  });

  it('a label called constructor or __proto__ is just a label', () => {
    const labels = JSON.parse('{"constructor":"a","__proto__":"b"}') as unknown;
    expect(readPod({ metadata: { labels } }).labels['constructor']).toBe('a');
    expect(readPod({ metadata: {} }).labels['toString']).toBeUndefined();
  });

  it('reads what the required node affinity lets in by value', () => {
    const matchExpressions = [
      { key: 'disk', operator: 'In', values: ['ssd'] },
      { key: 'kubernetes.io/arch', operator: 'In', values: ['arm64', 'amd64'] },
      { key: 'zone', operator: 'NotIn', values: ['a'] },
      { key: 'gpu', operator: 'Exists' },
    ];
    const required = { nodeSelectorTerms: [{ matchFields: [] }, { matchExpressions }] };
    const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
    expect(readPod({ spec: { affinity } }).nodeAffinity).toEqual([
      [],
      [
        { key: 'disk', values: ['ssd'] },
        { key: 'kubernetes.io/arch', values: ['arm64', 'amd64'] },
      ],
    ]);
  });

  it.each([
    { value: 'x', field: 'the Pod' },
    { value: { spec: [] }, field: 'spec' },
    { value: { spec: { containers: {} } }, field: 'spec.containers' },
    { value: { spec: { containers: [null] } }, field: 'spec.containers[0]' },
    { value: { spec: { containers: [{ image: 7 }] } }, field: 'spec.containers[0].image' },
    { value: { spec: { containers: [{ command: 'sh' }] } }, field: 'spec.containers[0].command' },
    { value: { spec: { dnsPolicy: 'clusterFirst' } }, field: 'spec.dnsPolicy' },
    { value: { spec: { hostNetwork: 'true' } }, field: 'spec.hostNetwork' },
    { value: { spec: { dnsConfig: 'x' } }, field: 'spec.dnsConfig' },
    { value: { spec: { dnsConfig: { options: [null] } } }, field: 'spec.dnsConfig.options[0]' },
    { value: { spec: { dnsConfig: { options: [{ name: 5 }] } } }, field: 'spec.dnsConfig.options[0].name' },
    { value: { spec: { dnsConfig: { nameservers: [1] } } }, field: 'spec.dnsConfig.nameservers[0]' },
    { value: { metadata: { annotations: { a: 1 } } }, field: 'metadata.annotations[a]' },
  ])('what the API server refuses is named: $field', ({ value, field }) => {
    expect(() => readPod(value)).toThrow(MalformedPodError);
    expect(() => readPod(value)).toThrow(`${field} is not`);
  });
});
