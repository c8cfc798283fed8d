import { readdirSync, readFileSync } from 'node:fs';

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import type { Finding } from '../../../../src/audit/report/report.ts';
import { createPolicySet, NETWORK_POLICIES, readObject } from '../../../../src/exposure/policies/kinds.ts';
import type { ClusterFacts } from '../../../../src/policy/model.ts';
import { readPod } from '../../../../src/policy/read-pod.ts';
import { auditOf } from '../../../support/audit-report.ts';

const FOLDER = new URL('../../../fixtures/audit/findings/', import.meta.url);
const SCHEMA = new URL('../../../../docs/audit-report.schema.json', import.meta.url);

interface Fixture {
  readonly behaviour: string;
  readonly kind?: string;
  /** The Pod's spec. */
  readonly pod: Record<string, unknown>;
  readonly annotations?: Record<string, string>;
  /** The template's spec; `same`: as the Pod's; absent: not known. */
  readonly template?: Record<string, unknown> | 'same';
  readonly cluster?: Partial<ClusterFacts>;
  /** Specs of NetworkPolicies of the Pod's namespace. */
  readonly policies?: readonly unknown[];
  /** Whether the webhook looks at them; absent: it does. */
  readonly respected?: boolean;
  readonly expect: readonly (Partial<Omit<Finding, 'where'>> & { readonly container?: string })[];
}

const fixtures = readdirSync(FOLDER)
  .toSorted()
  .map((file): [string, Fixture] => [file, parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Fixture]);

async function findingsOf(fixture: Fixture): Promise<readonly Finding[]> {
  const {
    kind = 'Deployment',
    pod: spec,
    annotations = {},
    template,
    cluster = {},
    policies = [],
    respected = true,
  } = fixture;
  const pod = { metadata: { name: 'p', labels: { app: 'storefront' }, annotations }, spec };
  const settings = template === undefined ? undefined : readPod({ spec: template === 'same' ? spec : template });
  const networkPolicies = createPolicySet();
  for (const [index, one] of policies.entries()) {
    const metadata = { namespace: 'shop', name: `policy-${index}` };
    networkPolicies.add(readObject(NETWORK_POLICIES, { metadata, spec: one }));
  }
  const told = settings && { template: { dnsPolicy: settings.dnsPolicy, dnsConfig: settings.dnsConfig } };
  const report = await auditOf([{ owner: { kind }, pod, ...told }], {
    facts: cluster,
    scanned: { networkPolicies },
    respected,
  });
  return report.findings;
}

describe('findings', () => {
  it.each(fixtures.map(([file, fixture]) => [fixture.behaviour, file, fixture] as const))(
    '%s (%s)',
    async (_behaviour, _file, fixture) => {
      const found = await findingsOf(fixture);
      expect(found.map(({ code }) => code)).toEqual(fixture.expect.map(({ code }) => code));
      for (const [index, { container = null, ...wanted }] of fixture.expect.entries()) {
        expect(found[index]).toMatchObject(wanted);
        const where = { namespace: 'shop', name: 'storefront', kind: fixture.kind ?? 'Deployment', pods: 1, container };
        expect(found[index]?.where).toEqual(where);
      }
    },
  );

  it('have no backtick: neither a page nor a terminal shows them as code', () => {
    const sentences = fixtures.flatMap(([, fixture]) =>
      fixture.expect.flatMap((one) => [one.what, one.why, one.change]),
    );
    expect(sentences.filter((one) => one?.includes('`'))).toEqual([]);
  });

  it('each has a fixture in which all of its sentences are written out', () => {
    const schema = JSON.parse(readFileSync(SCHEMA, 'utf8')) as { $defs: { findingCode: { enum: string[] } } };
    const whole = fixtures.flatMap(([, fixture]) =>
      fixture.expect.filter(({ what, why, change }) => what && why && change),
    );
    expect(new Set(whole.map(({ code }) => code))).toEqual(new Set(schema.$defs.findingCode.enum));
  });
});
