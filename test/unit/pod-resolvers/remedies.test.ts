import { describe, expect, it } from 'vitest';

import { REACHES_ALL } from '../../../src/exposure/dns-target.ts';
import type { ClusterFacts, PolicyConfig } from '../../../src/policy/model.ts';
import { type FinishedRemedy, finishedRemedies, type Remedies } from '../../../src/pod-resolvers/remedies.ts';
import { enforced, facts, policy, withNodeLocal } from '../../support/policy.ts';

const remediesFor = (config: PolicyConfig, cluster: ClusterFacts = facts): Remedies =>
  finishedRemedies({ namespace: enforced(), cluster, config, reach: REACHES_ALL });

const of = (
  { classes, remedies }: Remedies,
  shape: keyof Remedies['classes'],
  resolvers: string,
): FinishedRemedy | undefined => remedies[classes[shape][resolvers] ?? -1];

describe('finished remedies', () => {
  it('has one for each set of resolvers, and each only once', () => {
    const { classes, remedies } = remediesFor(withNodeLocal());
    for (const entries of Object.values(classes)) expect(Object.keys(entries)).toHaveLength(31);
    expect(new Set(remedies.map((one) => JSON.stringify(one))).size).toBe(remedies.length);
    expect(JSON.stringify({ classes, remedies }).length).toBeLessThan(8000);
  });

  it.each([
    ['plain', ['169.254.20.10', '10.96.0.10'], 'MuslRedirected'],
    ['virtual', undefined, 'VirtualNode'],
    ['searches', undefined, 'MuslRetried'],
    ['nameservers', undefined, 'MuslRetried'],
  ] as const)('musl in a Pod of shape %s: nameservers %j', (shape, nameservers, reason) => {
    const remedy = of(remediesFor(withNodeLocal()), shape, 'musl');
    expect(remedy?.nameservers).toEqual(nameservers);
    expect(remedy?.reason).toBe(reason);
  });

  it('gives no use-vc beside nameservers that nobody has asked over TCP', () => {
    const made = remediesFor(policy());
    expect(of(made, 'plain', 'glibc')?.options).toContainEqual({ name: 'use-vc' });
    expect(of(made, 'nameservers', 'glibc')?.options).not.toContainEqual({ name: 'use-vc' });
  });

  it('leaves a Pod alone that should have the cache in it', () => {
    const config = { ...withNodeLocal(), virtualNodes: 'sidecar' } as const;
    const made = remediesFor(config, { ...facts, nativeSidecars: true });
    expect(of(made, 'virtual', 'musl')).toBeUndefined();
    expect(of(made, 'virtual', 'glibc')).toBeDefined();
  });

  it('gives nothing while no node can lose packets', () => {
    const made = remediesFor(policy({ exposure: 'auto' }), { ...facts, exposed: false });
    expect(of(made, 'plain', 'musl')).toEqual({ reason: 'NotExposed', remedy: [], options: [] });
  });
});
