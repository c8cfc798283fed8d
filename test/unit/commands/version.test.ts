import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import type { PodSeen } from '../../../src/cluster/pod-seen.ts';
import type { DoctorContext, OpenDoctor } from '../../../src/commands/doctor.ts';
import type { DoctorParts } from '../../../src/doctor/evidence.ts';
import type { ClusterView, WebhookConfiguration } from '../../../src/doctor/view/view.ts';
import { readPod } from '../../../src/policy/read-pod.ts';
import { cli } from '../../support/cli.ts';

const CLIENT = `client   0.0.0-test (Node ${process.versions.node}, ${process.platform}/${process.arch})\n`;

const replica = (name: string, labels: Readonly<Record<string, string>> = {}): PodSeen => ({
  namespace: 'libc-dns',
  name,
  view: readPod({ metadata: { labels }, spec: { containers: [{ name: 'a' }] } }),
  phase: 'Running',
  ready: true,
  ip: '10.0.0.1',
  restarts: 0,
  trouble: [],
});

const registered = {
  name: 'libc-dns-webhook',
  entries: [{ name: 'enforce.libc-dns.dev', service: { namespace: 'libc-dns', name: 'webhook' } }],
} as unknown as WebhookConfiguration;

/** A cluster with these replicas, whose metrics are what is given for their names. */
function openDoctor(pods: readonly PodSeen[], metrics: Readonly<Record<string, string>>, registrations = [registered]) {
  const view: Partial<ClusterView> = {
    version: async () => 'v1.36.0',
    webhookConfigurations: async () => registrations,
    service: async () => ({ type: 'ClusterIP', selector: { app: 'webhook' }, ports: [443] }),
    deployments: async () => [],
    podsWith: async () => pods,
    podMetrics: async ({ name }) => {
      const line = metrics[name];
      if (line === undefined) throw new Error('pods/proxy is forbidden');
      return [line];
    },
  };
  return async ({ config, flags }: DoctorContext): Promise<OpenDoctor> => ({
    parts: { view, config, given: {}, namespace: flags.namespace } as DoctorParts,
    close: async () => {},
  });
}

const build = (version: string): string => `libc_dns_build_info{version="${version}"} 1`;

describe('version', () => {
  it('of this program alone asks no cluster', async () => {
    expect(await cli(['version', '--client'])).toEqual({ code: 0, out: CLIENT, err: '' });
  });

  it('says what each replica runs: what it tells itself, else its label', async () => {
    const label = { 'app.kubernetes.io/version': '1.2.2' };
    const pods = [replica('a', label), replica('b', label), replica('c', label), replica('d')];
    const given = { openDoctor: openDoctor(pods, { a: build('1.2.3'), b: build('1.2.3') }) };
    const { out } = await cli(['version'], given);
    expect(out).toBe(`${CLIENT}webhook  1.2.2 (1 replica), 1.2.3 (2 replicas), unknown version (1 replica)\n`);
    const { webhook } = JSON.parse((await cli(['version', '-o', 'json'], given)).out) as { webhook: unknown };
    expect(webhook).toEqual({
      replicas: [
        { pod: 'libc-dns/a', version: '1.2.3', from: 'metrics' },
        { pod: 'libc-dns/b', version: '1.2.3', from: 'metrics' },
        { pod: 'libc-dns/c', version: '1.2.2', from: 'label' },
        { pod: 'libc-dns/d', from: 'label' },
      ],
    });
  });

  it.each([['-n'], ['--namespace']])('%s says of which release, where there are several', async (flag) => {
    const other = {
      ...registered,
      name: 'other',
      entries: [{ name: 'enforce.libc-dns.dev', service: { namespace: 'team', name: 'webhook' } }],
    };
    const given = { openDoctor: openDoctor([replica('a')], { a: build('1.2.3') }, [registered, other as never]) };
    const { out } = await cli(['version', '-o', 'yaml', flag, 'team'], given);
    expect(parse(out)).toMatchObject({ webhook: { replicas: [{ pod: 'team/a', version: '1.2.3', from: 'metrics' }] } });
  });

  it('says that there is no webhook', async () => {
    const { code, out } = await cli(['version'], { openDoctor: openDoctor([], {}, []) });
    expect([code, out]).toEqual([0, `${CLIENT}webhook  none in this cluster\n`]);
  });

  it('says why it does not know', async () => {
    const nowhere = async ({ config }: DoctorContext): Promise<OpenDoctor> => ({
      parts: { noCluster: 'no cluster here', config, given: {} } as unknown as DoctorParts,
      close: async () => {},
    });
    const { code, out } = await cli(['version'], { openDoctor: nowhere });
    expect([code, out]).toEqual([0, `${CLIENT}webhook  not known: no cluster here\n`]);
  });
});
