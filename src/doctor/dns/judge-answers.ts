import type { Config } from '../../config/schema.ts';
import { failure, ok, warning, type Outcome } from '../check.ts';
import type { Asked } from './ask.ts';

const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;

export interface AskedServer {
  readonly address: string;
  readonly asked: Asked;
}

const dataOf = (servers: readonly AskedServer[]): { servers: object[] } => ({
  servers: servers.map(({ address, asked }) => ({
    address,
    code: asked.answer?.code ?? null,
    error: asked.why ?? null,
    ms: Math.round(asked.ms * 10) / 10,
  })),
});

const answered = ({ address, asked }: AskedServer): string => `${address} in ${ms(asked.ms)}`;
const silent = ({ address, asked }: AskedServer): string => `${address}: ${asked.why}`;

function wrongName(name: string, servers: readonly AskedServer[], data: object): Outcome {
  const codes = servers.map(({ address, asked }) => `${address}: ${asked.answer?.code}`).join(', ');
  const advice = [
    {
      text: "Is this the cluster's domain? Say which one it is with --cluster-domain, and to the webhook as cluster.domain.",
    },
  ];
  return warning(`answers, but knows no ${name} (${codes})`, { ...data, advice });
}

/** Whether the DNS servers that Pods ask answer over UDP for a name that every cluster has. */
export function judgeUdp(name: string, servers: readonly AskedServer[]): Outcome {
  const data = { data: { name, ...dataOf(servers) } };
  const without = servers.filter(({ asked }) => asked.answer === undefined);
  if (without.length > 0) {
    const advice = [
      { text: 'See whether the Pods of the cluster DNS are ready, and whether a NetworkPolicy allows port 53.' },
      { text: 'The Pods behind it:', command: 'kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide' },
    ];
    return failure(`no answer over UDP from ${without.map(silent).join(', ')}`, { ...data, advice });
  }
  const bad = servers.filter(({ asked }) => asked.answer?.code !== 'NOERROR' || asked.answer.answers === 0);
  const broken = bad.filter(({ asked }) => !['NXDOMAIN', 'NOERROR'].includes(asked.answer?.code ?? ''));
  if (broken.length > 0) {
    const what = broken.map(({ address, asked }) => `${address}: ${asked.answer?.code}`).join(', ');
    return failure(`the cluster DNS answers with an error (${what})`, {
      ...data,
      advice: [{ text: 'Its log says why.', command: 'kubectl -n kube-system logs -l k8s-app=kube-dns --tail=50' }],
    });
  }
  if (bad.length > 0) return wrongName(name, bad, data);
  return ok(`answers over UDP: ${servers.map(answered).join(', ')}`, data);
}

/** Whether they answer over TCP, which `use-vc` needs: where it is given in vain, a look-up takes minutes. */
export function judgeTcp(servers: readonly AskedServer[], { glibc }: Pick<Config, 'glibc'>): Outcome {
  const data = { data: dataOf(servers) };
  const without = servers.filter(({ asked }) => asked.answer === undefined);
  const wanted = glibc.options.includes('use-vc');
  if (without.length === 0) return ok(`answers over TCP: ${servers.map(answered).join(', ')}`, data);
  const seen = `no answer over TCP from ${without.map(silent).join(', ')}`;
  const allow = { text: 'Allow TCP on port 53 to it: NetworkPolicies and firewalls often name UDP alone.' };
  if (!wanted) return ok(`${seen}; use-vc is not configured, so nobody needs it`, data);
  if (!glibc.tcpPreflight) {
    const advice = [{ text: 'Turn glibc.tcpPreflight on, or take use-vc out of glibc.options.' }, allow];
    const details = [
      'use-vc is given without asking first (glibc.tcpPreflight is off): every look-up of glibc waits minutes',
    ];
    return failure(seen, { ...data, details, advice });
  }
  const details = ['the webhook does not give use-vc while that is so: glibc gets single-request-reopen alone'];
  return warning(seen, { ...data, details, advice: [allow] });
}
