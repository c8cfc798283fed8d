import type { Config } from '../../config/schema.ts';
import { shellWord } from '../../util/text.ts';
import { type Advice, failure, ok, type Outcome, skipped, summarize, warning, worst } from '../check.ts';
import type { Sight } from '../evidence.ts';
import type { Check } from '../run.ts';
import { type Asked, askTcp, askUdp, type DnsServer, shownMs } from './ask.ts';
import { judgeRace, measureRace } from './race.ts';

/** Milliseconds for one question: an answer from within the cluster takes a few. */
const ASK_MS = 2000;

/** A single packet may well get lost: three do not. */
const TRIES = 3;

interface Targets {
  readonly servers: readonly DnsServer[];
  readonly name: string;
}

/** A name that every cluster has. */
const nameIn = (domain: string): string => `kubernetes.default.svc.${domain}`;

/** The servers that Pods ask: the cluster DNS, and a cache of this node that is there. Those given need no cluster. */
async function targets({ parts, dns }: Pick<Sight, 'parts' | 'dns'>): Promise<Targets> {
  const servers = (addresses: readonly string[]): DnsServer[] =>
    [...new Set(addresses)].map((address) => ({ address, port: parts.dnsPort }));
  const { dns: given, domain = parts.config.cluster.domain } = parts.given;
  if (given !== undefined && given !== 'auto') {
    return { servers: servers(given), name: nameIn(domain === 'auto' ? 'cluster.local' : domain) };
  }
  const { facts, sources, unread } = await dns();
  if (sources.dns === 'built-in' && unread !== undefined) throw unread;
  const cache = facts.nodeLocal === 'ready' ? (facts.nodeLocalAddresses ?? []) : [];
  return { servers: servers([...facts.dns, ...cache]), name: nameIn(facts.domain) };
}

/** How to run this where Pods are: in a replica, in a Pod of its own, on a node. */
async function howInside(sight: Sight): Promise<Advice[]> {
  const target = await sight.target().catch(() => undefined);
  const dns = await sight.dns().catch(() => undefined);
  const address = dns?.facts.dns[0] ?? 'ADDRESS';
  const exec =
    target === undefined
      ? 'kubectl run libc-dns-doctor --rm -i --restart=Never --image=ghcr.io/libc-dns/libc-dns-webhook:VERSION -- main.js doctor --check dns'
      : `kubectl -n ${shellWord(target.namespace)} exec deploy/${shellWord(target.name)} -- /nodejs/bin/node main.js doctor --config /etc/libc-dns/config.yaml --check dns,trust,certificates`;
  return [
    { text: 'In a Pod:', command: exec },
    { text: 'On a node:', command: `libc-dns doctor --check dns --cluster-dns ${address}` },
  ];
}

/** Outside of the cluster its service addresses lead nowhere, or to somebody else. */
async function outside(sight: Sight): Promise<Outcome | undefined> {
  if (sight.parts.inside || sight.parts.given.dns !== undefined) return undefined;
  const seen =
    'not asked: this does not run in the cluster, and the address of the cluster DNS leads nowhere outside of it';
  return skipped(seen, { advice: await howInside(sight) });
}

async function askAgain(ask: () => Promise<Asked>): Promise<Asked> {
  let asked = await ask();
  for (let tries = 1; tries < TRIES && asked.answer === undefined; tries += 1) asked = await ask();
  return asked;
}

type Ask = (server: DnsServer, name: string, timeoutMs: number) => Promise<Asked>;

async function askAll({ servers, name }: Targets, ask: Ask): Promise<AskedServer[]> {
  return await Promise.all(
    servers.map(async (server) => ({
      address: server.address,
      asked: await askAgain(() => ask(server, name, ASK_MS)),
    })),
  );
}

async function race(sight: Sight, signal: AbortSignal): Promise<Outcome> {
  const { servers, name } = await targets(sight);
  const answering = await askAll({ servers, name }, askUdp);
  const some = servers.filter((_, index) => answering[index]?.asked.answer !== undefined);
  if (some.length === 0) return skipped('nobody answers over UDP: there is nothing to measure');
  const ours = await sight.ours().catch(() => []);
  const outcomes: Outcome[] = [];
  // One after the other: two measurements at once would be load for each other.
  for (const server of some) {
    const measured = await measureRace(server, name, sight.parts.race, signal);
    outcomes.push(judgeRace(server.address, measured, ours.length > 0));
  }
  const [only] = outcomes;
  if (outcomes.length === 1 && only !== undefined) return only;
  const data = { servers: outcomes.map((outcome) => outcome.data) };
  const bad = outcomes.filter(({ status }) => status !== 'ok');
  if (bad.length === 0) return summarize([], outcomes.map(({ seen }) => seen).join('; '), { data });
  const [first, ...others] = bad.toSorted((left) => (left.status === worst(bad.map(({ status }) => status)) ? -1 : 1));
  const rest = [...others, ...outcomes.filter(({ status }) => status === 'ok')].map(({ seen }) => seen);
  return { ...(first ?? skipped('')), details: [...(first?.details ?? []), ...rest], data };
}

/** The cluster DNS from where this runs. */
export function dnsChecks(sight: Sight): Check[] {
  return [
    {
      id: 'dns-udp',
      group: 'dns',
      run: async () => {
        const elsewhere = await outside(sight);
        if (elsewhere !== undefined) return elsewhere;
        const where = await targets(sight);
        return judgeUdp(where.name, await askAll(where, askUdp));
      },
    },
    {
      id: 'dns-tcp',
      group: 'dns',
      run: async () => {
        const elsewhere = await outside(sight);
        if (elsewhere !== undefined) return elsewhere;
        const { config } = await sight.webhookConfig();
        return judgeTcp(await askAll(await targets(sight), askTcp), config);
      },
    },
    {
      id: 'dns-race',
      group: 'dns',
      timeoutMs: 60_000,
      run: async (signal) => (await outside(sight)) ?? (await race(sight, signal)),
    },
  ];
}

interface AskedServer {
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

const answered = ({ address, asked }: AskedServer): string => `${address} in ${shownMs(asked.ms)}`;
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
