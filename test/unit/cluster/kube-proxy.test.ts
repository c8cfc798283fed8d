import { afterEach, describe, expect, it } from 'vitest';

import type { Gap } from '../../../src/audit/report/report.ts';
import { scanKubeProxy } from '../../../src/audit/scan/cluster.ts';
import { judgeKubeProxy } from '../../../src/doctor/fault/checks.ts';
import { createDoctorView } from '../../../src/doctor/view/reader.ts';
import { type Asked, type SmallApi, startSmallApi, status } from '../kubernetes/small-api.ts';

let api: SmallApi;
afterEach(async () => await api.close());

const MAPS = '/api/v1/namespaces/kube-system/configmaps';
const PODS = '/api/v1/namespaces/kube-system/pods';

const map = (data: object | null) => ({ metadata: { name: 'x' }, data });
const pod = (...command: string[]) => ({
  metadata: { name: 'kube-proxy-n1', namespace: 'kube-system' },
  spec: { containers: [{ name: 'kube-proxy', image: 'x', command }] },
});
const ipvs = map({ 'config.conf': 'mode: ipvs' });

interface Cluster {
  readonly maps?: Readonly<Record<string, object>>;
  /** By label selector. */
  readonly pods?: Readonly<Record<string, object>>;
  readonly forbidden?: string;
}

async function start({ maps = {}, pods = {}, forbidden }: Cluster): Promise<void> {
  api = await startSmallApi(({ path, query, send }: Asked) => {
    if (forbidden !== undefined && path.startsWith(forbidden)) return send(status(403, `cannot get ${path}`), 403);
    const found = pods[query.get('labelSelector') ?? ''];
    if (path === PODS) return send({ metadata: {}, items: found === undefined ? [] : [found] });
    const object = maps[path.slice(MAPS.length + 1)];
    return object === undefined ? send(status(404, 'not found'), 404) : send(object);
  });
}

/** As each of the commands has it. */
async function bothSay() {
  const gaps: Gap[] = [];
  const audit = await scanKubeProxy({ client: api.client, signal: AbortSignal.timeout(10_000) }, gaps);
  const doctor = judgeKubeProxy(await createDoctorView(api.client, {} as never).kubeProxy());
  return { audit, doctor, gaps };
}

describe('audit and doctor say the same of a cluster', () => {
  it.each<[string, Cluster, string, string]>([
    ['kubeadm', { maps: { 'kube-proxy': ipvs } }, 'ipvs', 'ConfigMap kube-system/kube-proxy'],
    [
      'EKS',
      { maps: { 'kube-proxy-config': map({ config: 'mode: nftables' }) } },
      'nftables',
      'ConfigMap kube-system/kube-proxy-config',
    ],
    [
      'flags of a Pod',
      { pods: { 'component=kube-proxy': pod('kube-proxy', '--proxy-mode=iptables') } },
      'iptables',
      'Pod kube-system/kube-proxy-n1',
    ],
    [
      'a DaemonSet that mounts the ConfigMap',
      { maps: { 'kube-proxy': ipvs }, pods: { 'k8s-app=kube-proxy': pod('kube-proxy', '--config=/f') } },
      'ipvs',
      'ConfigMap kube-system/kube-proxy',
    ],
    [
      'Pods may not be listed, and the ConfigMap tells',
      { maps: { 'kube-proxy': ipvs }, forbidden: PODS },
      'ipvs',
      'ConfigMap kube-system/kube-proxy',
    ],
    [
      'ConfigMaps may not be read, and a Pod tells',
      { pods: { 'k8s-app=kube-proxy': pod('kube-proxy', '--proxy-mode=ipvs') }, forbidden: MAPS },
      'ipvs',
      'Pod kube-system/kube-proxy-n1',
    ],
  ])('%s', async (_, cluster, mode, source) => {
    await start(cluster);
    const { audit, doctor, gaps } = await bothSay();
    expect(audit).toMatchObject({ mode, source });
    expect(doctor).toMatchObject({ status: 'ok', data: { mode, source } });
    expect(doctor.seen).toBe(`${mode} mode (${source}: ${audit.detail})`);
    expect(gaps).toEqual([]);
  });

  it('Cilium in its place', async () => {
    await start({ maps: { 'cilium-config': map({ 'kube-proxy-replacement': 'strict' }), 'kube-proxy': ipvs } });
    const { audit, doctor } = await bothSay();
    const source = 'ConfigMap kube-system/cilium-config';
    expect(audit).toMatchObject({ mode: 'other', source });
    expect(doctor).toMatchObject({ status: 'ok', data: { mode: 'ebpf', source } });
  });

  it.each<[string, Cluster, string[]]>([
    ['nothing is there', {}, []],
    ['it holds nothing', { maps: { 'kube-proxy': map(null) } }, []],
    ['nothing may be read', { forbidden: '/api' }, ['kube-proxy in kube-system']],
  ])('not known: %s', async (_, cluster, missing) => {
    await start(cluster);
    const { audit, doctor, gaps } = await bothSay();
    expect([audit.mode, doctor.status]).toEqual(['unknown', 'skipped']);
    expect(gaps.map(({ what }) => what)).toEqual(missing);
  });

  it('whoever stops the audit stops this, too', async () => {
    await start({ maps: { 'kube-proxy': ipvs } });
    const stopped = scanKubeProxy({ client: api.client, signal: AbortSignal.abort(new Error('stopped')) }, []);
    await expect(stopped).rejects.toThrow('stopped');
  });
});
