import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { fixture, podReview } from '../../support/reviews.ts';
import type { WebhookProcess } from '../../support/webhook-process.ts';
import { keep, type Fault } from '../fault.ts';
import { metric, until } from '../support/measure.ts';
import { openRegistry, temporaryFolder } from '../support/world.ts';

const REVIEW = JSON.stringify(fixture('plain'));

/** Returns a function that sums up what was logged since this call. */
function logging({ lines }: WebhookProcess): () => { lines: number; kilobytes: number; longest: number } {
  const before = lines.length;
  return () => {
    const bytes = lines.slice(before).map((line) => JSON.stringify(line).length + 1);
    const all = bytes.reduce((sum, length) => sum + length, 0);
    return { lines: bytes.length, kilobytes: Math.round(all / 1024), longest: Math.max(0, ...bytes) };
  };
}

/** Sends requests from eight concurrent callers. Resolves to the number of answered ones. */
async function flood(webhook: WebhookProcess, count: number, bodyOf: (index: number) => string): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let next = 0;
  let answered = 0;
  const caller = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      const reply = await webhook.post(bodyOf(next), { agent });
      if (reply.status > 0) answered += 1;
    }
  };
  await Promise.all(Array.from({ length: 8 }, caller));
  agent.destroy();
  return answered;
}

const badRequests: Fault = {
  id: 'bad-requests',
  name: '5,000 requests that are no AdmissionReview, each wrong in its own way',
  promise: 'each is answered, counted, and the log holds 31 lines a minute at most',
  async run(world) {
    const webhook = await world.webhook();
    const logged = logging(webhook);
    await flood(webhook, 5000, (index) => (index % 2 === 0 ? `{"a${index}` : `{"kind":"${'x'.repeat(index)}"}`));
    await sleep(200);
    const counted = await metric(webhook, 'libc_dns_bad_requests_total');
    const { lines, kilobytes } = logged();
    const seen = `${counted} counted; ${lines} lines, ${kilobytes} KB`;
    keep(counted === 5000 && lines <= 62, seen);
    return seen;
  },
};

/** Returns a request that only an attacker would send. */
function hostile(index: number): string {
  const long = `${'n'.repeat(100_000)}${index}`;
  const containers = [{ name: long, image: long, command: [long] }];
  return JSON.stringify(podReview({ metadata: { name: long }, spec: { containers }, request: { namespace: long } }));
}

const decisions: Fault = {
  id: 'log-flood',
  name: '6,000 Pods as fast as they are answered, some with names of 100 KB',
  promise: 'each is answered and counted; 1,000 lines at once and 100 a second are logged, none longer than 8 KB',
  async run(world) {
    const webhook = await world.webhook();
    const logged = logging(webhook);
    const started = performance.now();
    await flood(webhook, 6000, (index) => (index % 20 === 0 ? hostile(index) : REVIEW));
    const took = (performance.now() - started) / 1000;
    const counted = await metric(webhook, 'libc_dns_decisions_total');
    const leftOut = await metric(webhook, 'libc_dns_log_lines_left_out_total');
    await until(
      () => logged().lines,
      (count) => count >= counted - leftOut,
      { ms: 10_000, what: 'lines' },
    );
    const { lines, kilobytes, longest } = logged();
    const seen = `${counted} decided in ${took.toFixed(1)} s; ${lines} lines, ${kilobytes} KB, longest ${longest} bytes, ${leftOut} left out and counted`;
    keep(counted === 6000 && lines <= 1000 + 100 * took + 10 && longest < 8192, seen);
    return seen;
  },
};

const level: Fault = {
  id: 'log-level',
  name: 'SIGUSR1 and SIGUSR2',
  promise: 'the log says more, then less; no debugger opens, nothing ends',
  alsoIn: 'test/unit/commands/serve-log.test.ts',
  async run(world) {
    const webhook = await world.webhook();
    const levels = (): unknown[] =>
      webhook.lines.filter(({ msg }) => msg.startsWith('log level')).map((line) => line['to']);
    webhook.process.kill('SIGUSR1');
    await until(levels, (all) => all.length === 1);
    const update = JSON.stringify(podReview({ request: { operation: 'UPDATE' } }));
    await webhook.post(update);
    webhook.process.kill('SIGUSR2');
    await until(levels, (all) => all.length === 2);
    const inspected = await fetch('http://127.0.0.1:9229/json').then(
      () => true,
      () => false,
    );
    const seen = `${levels().length} changes logged, ${inspected ? 'a' : 'no'} debugger on 9229`;
    keep(!inspected && webhook.process.exitCode === null, seen);
    return seen;
  },
};

const secrets: Fault = {
  id: 'secrets',
  name: 'registry logins that work, are refused and are sent to a host that fails, logged at trace',
  promise: 'no password, token or key is in the log, the metrics, an answer',
  alsoIn: 'test/registry/authentication.test.ts, test/registry/pull-secrets.test.ts',
  async run(world) {
    const password = `pa55-${randomUUID()}`;
    const registry = await openRegistry();
    world.afterwards(() => registry.close());
    const auth = Buffer.from(`robot:${password}`).toString('base64');
    const dockerConfig = join(await temporaryFolder(world), 'config.json');
    await writeFile(dockerConfig, JSON.stringify({ auths: { [registry.host]: { auth } } }));
    const settings = {
      LOG_LEVEL: 'trace',
      DETECTION_REGISTRY_INSECURE: registry.host,
      DETECTION_REGISTRY_DOCKER_CONFIG: dockerConfig,
      DETECTION_BUDGET: '500ms',
    };
    const webhook = await world.webhook({ settings, flags: [] });
    const challenge = { 'www-authenticate': 'Basic realm="x"' };
    const faults = [
      undefined,
      { kind: 'answer', status: 401, headers: challenge, body: password },
      { kind: 'answer', status: 500, body: auth },
      { kind: 'answer', status: 307, headers: { location: `http://user:${password}@127.0.0.1:1/` } },
      { kind: 'not-http' },
      { kind: 'corrupt' },
    ] as const;
    const answered: string[] = [];
    for (const fault of faults) {
      registry.fail(fault);
      const containers = [{ name: 'main', image: registry.newImage() }];
      answered.push((await webhook.post(JSON.stringify(podReview({ spec: { containers } })))).body);
    }
    await sleep(300);
    const decoded = answered.map(
      (body) => body + Buffer.from(/"patch":"([^"]*)"/.exec(body)?.[1] ?? '', 'base64').toString(),
    );
    const metrics = await (await fetch(`${webhook.probes}/metrics`)).text();
    const all = [JSON.stringify(webhook.lines), metrics, ...decoded].join('\n');
    const sent = registry.requests.some(({ headers }) => headers.authorization?.includes(auth) === true);
    const found = [password, auth, 'PRIVATE KEY'].filter((secret) => all.includes(secret));
    const seen = `${faults.length} look-ups, ${webhook.lines.length} lines: ${found.length} secrets found`;
    keep(
      found.length === 0,
      `${seen}: ${all.slice(Math.max(0, all.indexOf(found[0] ?? '') - 200), all.indexOf(found[0] ?? '') + 100)}`,
    );
    keep(sent, 'the login was never used');
    return seen;
  },
};

export const logFaults: readonly Fault[] = [badRequests, decisions, level, secrets];
