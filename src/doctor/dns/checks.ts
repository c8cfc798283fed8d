import type { Config } from '../../config/schema.ts';
import { INSTALL_GUIDE } from '../../audit/report/need.ts';
import { shellWord } from '../../util/text.ts';
import { type Advice, failure, ok, type Outcome, skipped, summarize, warning, worst } from '../check.ts';
import type { Evidence } from '../evidence.ts';
import type { Check } from '../run.ts';
import { type QueryResult, askTcp, askUdp, type DnsServer, shownMs } from './ask.ts';
import { judgeRace, measureRace } from './race.ts';

/** Returns the checks of the cluster DNS as seen from here. */
export function dnsChecks(evidence: Evidence): Check[] {
  return [
    {
      id: 'dns-udp',
      group: 'dns',
      run: async () => {
        const elsewhere = await outside(evidence);
        if (elsewhere !== undefined) return elsewhere;
        const where = await targets(evidence);
        return judgeUdp(where.name, await askAll(where, askUdp));
      },
    },
    {
      id: 'dns-tcp',
      group: 'dns',
      run: async () => {
        const elsewhere = await outside(evidence);
        if (elsewhere !== undefined) return elsewhere;
        const { config } = await evidence.webhookConfig();
        return judgeTcp(await askAll(await targets(evidence), askTcp), config);
      },
    },
    {
      id: 'dns-race',
      group: 'dns',
      timeoutMs: 60_000,
      run: async (signal) => (await outside(evidence)) ?? (await race(evidence, signal)),
    },
  ];
}

/** Skips the check outside the cluster: there a Service address leads nowhere, or to a different host. */
async function outside(evidence: Evidence): Promise<Outcome | undefined> {
  if (evidence.parts.inside || evidence.parts.given.dns !== undefined) return undefined;
  const seen =
    'not asked: this does not run in the cluster, and the address of the cluster DNS leads nowhere outside of it';
  return skipped(seen, { advice: await howInside(evidence) });
}

/** Advises how to run this check inside the cluster: in a replica or a new Pod, and on a node. */
async function howInside(evidence: Evidence): Promise<Advice[]> {
  const target = await evidence.target().catch(() => undefined);
  const dns = await evidence.dns().catch(() => undefined);
  const address = dns?.facts.dns[0] ?? 'ADDRESS';
  const exec =
    target === undefined
      ? 'kubectl run libc-dns-doctor --rm -i --restart=Never --image=IMAGE -- doctor --check dns'
      : `kubectl -n ${shellWord(target.namespace)} exec deploy/${shellWord(target.name)} -- /nodejs/bin/node main.js doctor --config /etc/libc-dns/config.yaml --check dns,trust,certificates`;
  return [
    { text: target === undefined ? `In a Pod (IMAGE: see ${INSTALL_GUIDE}):` : 'In a Pod:', command: exec },
    { text: 'On a node:', command: `libc-dns doctor --check dns --cluster-dns ${address}` },
  ];
}

interface Targets {
  readonly servers: readonly DnsServer[];
  readonly name: string;
}

/** Returns a name that exists in every cluster. */
const nameIn = (domain: string): string => `kubernetes.default.svc.${domain}`;

/** Returns the servers that Pods ask: the cluster DNS and a ready node-local cache. Given addresses need no cluster. */
async function targets({ parts, dns }: Pick<Evidence, 'parts' | 'dns'>): Promise<Targets> {
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

/** Milliseconds for one query; an answer within the cluster takes a few. */
const ASK_MS = 2000;

/** Queries per server: a single packet may get lost by chance. */
const TRIES = 3;

interface ServerResult {
  readonly address: string;
  readonly result: QueryResult;
}

type Ask = (server: DnsServer, name: string, timeoutMs: number) => Promise<QueryResult>;

async function askAll({ servers, name }: Targets, ask: Ask): Promise<ServerResult[]> {
  return await Promise.all(
    servers.map(async (server) => ({
      address: server.address,
      result: await askAgain(() => ask(server, name, ASK_MS)),
    })),
  );
}

async function askAgain(ask: () => Promise<QueryResult>): Promise<QueryResult> {
  let result = await ask();
  for (let tries = 1; tries < TRIES && result.answer === undefined; tries += 1) result = await ask();
  return result;
}

async function race(evidence: Evidence, signal: AbortSignal): Promise<Outcome> {
  const { servers, name } = await targets(evidence);
  const answering = await askAll({ servers, name }, askUdp);
  const some = servers.filter((_, index) => answering[index]?.result.answer !== undefined);
  if (some.length === 0) return skipped('nobody answers over UDP: there is nothing to measure');
  const ours = await evidence.ours().catch(() => []);
  const outcomes: Outcome[] = [];
  // One after another: concurrent measurements would disturb each other.
  for (const server of some) {
    const measured = await measureRace(server, name, evidence.parts.race, signal);
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

/** Judges whether the DNS servers of Pods answer over UDP for a name that exists in every cluster. */
export function judgeUdp(name: string, servers: readonly ServerResult[]): Outcome {
  const data = { data: { name, ...dataOf(servers) } };
  const without = servers.filter(({ result }) => result.answer === undefined);
  if (without.length > 0) {
    const advice = [
      { text: 'See whether the Pods of the cluster DNS are ready, and whether a NetworkPolicy allows port 53.' },
      { text: 'The Pods behind it:', command: 'kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide' },
    ];
    return failure(`no answer over UDP from ${without.map(silent).join(', ')}`, { ...data, advice });
  }
  const bad = servers.filter(({ result }) => result.answer?.code !== 'NOERROR' || result.answer.answers === 0);
  const broken = bad.filter(({ result }) => !['NXDOMAIN', 'NOERROR'].includes(result.answer?.code ?? ''));
  if (broken.length > 0) {
    const what = broken.map(({ address, result }) => `${address}: ${result.answer?.code}`).join(', ');
    return failure(`the cluster DNS answers with an error (${what})`, {
      ...data,
      advice: [{ text: 'Its log says why.', command: 'kubectl -n kube-system logs -l k8s-app=kube-dns --tail=50' }],
    });
  }
  if (bad.length > 0) return wrongName(name, bad, data);
  return ok(`answers over UDP: ${servers.map(answered).join(', ')}`, data);
}

/** Judges whether they answer over TCP, which `use-vc` needs: without it each look-up of glibc takes minutes. */
export function judgeTcp(servers: readonly ServerResult[], { glibc }: Pick<Config, 'glibc'>): Outcome {
  const data = { data: dataOf(servers) };
  const without = servers.filter(({ result }) => result.answer === undefined);
  const wanted = glibc.options.includes('use-vc');
  if (without.length === 0) return ok(`answers over TCP: ${servers.map(answered).join(', ')}`, data);
  const seen = `no answer over TCP from ${without.map(silent).join(', ')}`;
  const allow = { text: 'Allow TCP on port 53 to it: NetworkPolicies and firewalls often allow only UDP.' };
  if (!wanted) return ok(`${seen}; use-vc is not configured, so nobody needs it`, data);
  if (!glibc.tcpPreflight) {
    const advice = [{ text: 'Turn glibc.tcpPreflight on, or remove use-vc from glibc.options.' }, allow];
    const details = [
      'use-vc is given without asking first (glibc.tcpPreflight is off): every look-up of glibc waits minutes',
    ];
    return failure(seen, { ...data, details, advice });
  }
  const details = ['the webhook does not give use-vc while that is so: glibc gets single-request-reopen alone'];
  return warning(seen, { ...data, details, advice: [allow] });
}

const dataOf = (servers: readonly ServerResult[]): { servers: object[] } => ({
  servers: servers.map(({ address, result }) => ({
    address,
    code: result.answer?.code ?? null,
    error: result.error ?? null,
    ms: Math.round(result.ms * 10) / 10,
  })),
});

const answered = ({ address, result }: ServerResult): string => `${address} in ${shownMs(result.ms)}`;
const silent = ({ address, result }: ServerResult): string => `${address}: ${result.error}`;

function wrongName(name: string, servers: readonly ServerResult[], data: object): Outcome {
  const codes = servers.map(({ address, result }) => `${address}: ${result.answer?.code}`).join(', ');
  const advice = [
    {
      text: "Is this the cluster's domain? Say which one it is with --cluster-domain, and to the webhook as cluster.domain.",
    },
  ];
  return warning(`answers, but knows no ${name} (${codes})`, { ...data, advice });
}
