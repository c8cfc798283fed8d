import { describe, expect, it } from 'vitest';

import { readPod } from '../../../src/policy/read-pod.ts';
import { effectiveMode, MODE_LABEL } from '../../../src/policy/scope.ts';
import { policy } from '../../support/policy.ts';

const labelled = (mode: string | undefined) => (mode === undefined ? {} : { [MODE_LABEL]: mode });

const mode = (row: { pod?: string; namespace?: string; name?: string; config?: Parameters<typeof policy>[0] }) =>
  effectiveMode(
    readPod({ metadata: { labels: labelled(row.pod) } }),
    { name: row.name ?? 'shop', labels: labelled(row.namespace) },
    policy(row.config),
    'libc-dns',
  );

const CLUSTER = { scope: 'cluster' } as const;

describe('the effective mode', () => {
  it.each([
    { name: 'kube-system', pod: 'enforce', expected: 'off', reason: 'SystemNamespace' },
    { name: 'kube-public', namespace: 'enforce', expected: 'off', reason: 'SystemNamespace' },
    { name: 'kube-node-lease', config: CLUSTER, expected: 'off', reason: 'SystemNamespace' },
    { name: 'kube-system', config: { ...CLUSTER, excludeNamespaces: [] }, expected: 'off', reason: 'SystemNamespace' },
    { name: 'libc-dns', pod: 'enforce', namespace: 'enforce', expected: 'off', reason: 'OwnNamespace' },
    {
      name: 'vault',
      namespace: 'enforce',
      config: { excludeNamespaces: ['vault'] },
      expected: 'off',
      reason: 'NamespaceExcluded',
    },
    { pod: 'off', namespace: 'enforce', expected: 'off', reason: 'PodOptedOut' },
    { pod: 'audit', namespace: 'enforce', expected: 'audit' },
    { pod: 'enforce', namespace: 'audit', expected: 'audit' },
    { pod: 'enforce', namespace: 'enforce', expected: 'enforce' },
    { pod: 'enforce', namespace: 'off', expected: 'enforce' },
    { pod: 'enforce', expected: 'enforce' },
    { pod: 'enforce', config: { ...CLUSTER, mode: 'audit' as const }, expected: 'enforce' },
    { namespace: 'enforce', expected: 'enforce' },
    { namespace: 'audit', config: CLUSTER, expected: 'audit' },
    { namespace: 'off', config: CLUSTER, expected: 'off', reason: 'NamespaceOptedOut' },
    { config: CLUSTER, expected: 'enforce' },
    { config: { ...CLUSTER, mode: 'audit' as const }, expected: 'audit' },
    { expected: 'off', reason: 'NotOptedIn' },
    { config: { mode: 'audit' as const }, expected: 'off', reason: 'NotOptedIn' },
  ])('$expected: Pod label $pod, namespace label $namespace, namespace $name, $config', (row) => {
    expect(mode(row)).toMatchObject({ mode: row.expected, warnings: [] });
    expect(mode(row).reason).toBe(row.reason);
  });

  it.each([
    { pod: 'Enforce', namespace: 'enforce', expected: 'enforce' },
    { pod: '', expected: 'off' },
    { namespace: 'yes', expected: 'off' },
  ])('a label that is no mode is ignored with a warning: Pod $pod, namespace $namespace', (row) => {
    const scope = mode(row);
    expect(scope.mode).toBe(row.expected);
    expect(scope.warnings[0]).toMatch(
      /^label libc-dns\.dev\/mode of the (Pod|namespace) is ".*": ignored; use enforce/,
    );
  });
});
