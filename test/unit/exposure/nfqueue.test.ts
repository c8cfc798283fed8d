import { describe, expect, it } from 'vitest';

import { nfqueueProduct } from '../../../src/exposure/nfqueue.ts';

describe('DaemonSets that use NFQUEUE', () => {
  it.each<[string, string[], string | undefined]>([
    ['kindnet', ['docker.io/kindest/kindnetd:v20250214-acbabc1a'], 'kindnet'],
    ['renamed', ['docker.io/kindest/kindnetd@sha256:0123'], 'kindnet'],
    ['netpol-kube-network-policies', [], 'kube-network-policies'],
    ['x', ['registry.k8s.io/networking/kube-network-policies:v0.8.0'], 'kube-network-policies'],
    ['neuvector-enforcer-pod', ['registry:5000/neuvector/enforcer:5.4'], 'NeuVector'],
    [
      'twistlock-defender-ds',
      ['registry-auth.twistlock.com/tw_x/twistlock/defender:defender_33'],
      'Prisma Cloud Defender',
    ],
    ['calico-node', ['quay.io/tigera/cnx-node:v3.19.1'], 'Calico Enterprise'],
    ['calico-node', ['quay.io/calico/node:v3.29.1'], undefined],
    ['kube-proxy', ['registry.k8s.io/kube-proxy:v1.36.0'], undefined],
    ['neuvector-prometheus', ['registry/neuvector/prometheus-exporter:1'], undefined],
    ['kindnetd', ['localhost:5000/x'], undefined],
    ['strange', ['', ':', '@', '/'], undefined],
  ])('%s %s', (name, images, product) => {
    expect(nfqueueProduct({ name, images })).toBe(product);
  });
});
