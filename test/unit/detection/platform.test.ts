import { expect, it } from 'vitest';

import { podPlatform } from '../../../src/detection/platform.ts';
import { readPod } from '../../../src/policy/read-pod.ts';

const fallback = { os: 'linux', architecture: 'amd64' };

it.each([
  ['as its node selector says', 'arm64', { os: 'linux', architecture: 'arm64' }],
  ['the usual one if that cannot be a label', 'x'.repeat(64), fallback],
])('a Pod runs on a platform: %s', (_name, architecture, expected) => {
  const nodeSelector = { 'kubernetes.io/arch': architecture };
  expect(podPlatform(readPod({ spec: { nodeSelector, containers: [] } }), fallback)).toEqual(expected);
});

it('a Pod runs on a platform of its node affinity that can be a label', () => {
  const expressions = [{ key: 'kubernetes.io/arch', operator: 'In', values: ['x'.repeat(3_000_000), 's390x'] }];
  const required = { nodeSelectorTerms: [{ matchExpressions: expressions }] };
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
  expect(podPlatform(readPod({ spec: { affinity, containers: [] } }), fallback).architecture).toBe('s390x');
});
