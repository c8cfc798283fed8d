import { styleText } from 'node:util';

import { sideBySide } from '../../src/commands/explain.ts';
import { readPod } from '../../src/policy/read-pod.ts';
import { type Reason, REASONS } from '../../src/policy/reasons.ts';
import { kubeletResolvConf } from '../../src/resolv-conf/kubelet.ts';
import type { Paint } from '../../src/terminal/io.ts';
import { startRegistry } from '../support/registry-server.ts';
import { type Answer, answerOf, patched, podReview, type Review } from '../support/reviews.ts';
import { type LogLine, startWebhook, type WebhookProcess } from '../support/webhook-process.ts';
import { CASES, type DemoCase, type Server } from './cases.ts';
import { demoImages } from './images.ts';

const paint: Paint = (style, text) =>
  process.stdout.isTTY && !process.env['NO_COLOR'] ? styleText(style, text) : text;

const say = (text = ''): void => console.log(text);

/** A review as a real API server sent it, with the Pod of a case in it. */
function reviewOf({ containers, spec = {}, labels = {} }: DemoCase, registry: string): Review {
  const list = Object.entries(containers).map(([name, image]) => ({ name, image: `${registry}/${image}:v1` }));
  return podReview({
    metadata: { labels },
    spec: { ...spec, containers: list },
    request: { uid: crypto.randomUUID() },
  });
}

function resolvConf(review: Review) {
  const pod = readPod(review.request.object);
  const kubelet = {
    clusterDns: ['10.96.0.10'],
    clusterDomain: 'cluster.local',
    node: { servers: ['10.0.0.2'], searches: [], options: [] },
  };
  return kubeletResolvConf(kubelet, { name: '', namespace: 'shop', ...pod }).resolvConf;
}

/** What the answer should have been and was not; empty: nothing. */
function mistakes({ expected }: DemoCase, review: Review, first: Answer, second: Answer): string[] {
  const { options, nameservers } = expected;
  const after = readPod(patched(review, first.patch).request.object).dnsConfig;
  const shown = after.options.map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));
  const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
  const checks: [boolean, string][] = [
    [first.allowed, 'the Pod was refused'],
    [
      first.audit.decision.reason === expected.reason,
      `the reason is ${first.audit.decision.reason}, not ${expected.reason}`,
    ],
    [
      same(first.audit.decision.resolvers, expected.resolvers),
      `the resolvers are ${JSON.stringify(first.audit.decision.resolvers)}`,
    ],
    [
      first.patch.length > 0 === (options !== undefined),
      options === undefined ? 'the Pod was patched' : 'the Pod was not patched',
    ],
    [options === undefined || same(shown, options), `the options are ${shown.join(' ')}`],
    [
      nameservers === undefined || same(after.nameservers, nameservers),
      `the nameservers are ${after.nameservers.join(' ')}`,
    ],
    [second.patch.length === 0, 'sent again, the patched Pod was patched once more'],
  ];
  return checks.filter(([right]) => !right).map(([, mistake]) => mistake);
}

const evidenceOf = (line: LogLine): string[] =>
  Object.entries((line['evidence'] as Record<string, string> | undefined) ?? {})
    .filter(([, text]) => !text.startsWith('not looked up'))
    .map(([name, text]) => `${name}: ${text}`);

async function show(one: DemoCase, number: number, webhook: WebhookProcess, registry: string): Promise<boolean> {
  const review = reviewOf(one, registry);
  const started = performance.now();
  const first = answerOf(await webhook.post(JSON.stringify(review)));
  const milliseconds = performance.now() - started;
  const again = patched(review, first.patch);
  const second = answerOf(await webhook.post(JSON.stringify(again)));
  const { reason, remedy } = first.audit.decision;
  const done =
    first.patch.length > 0 ? remedy.join(' + ') : remedy.length > 0 ? `would be ${remedy.join(' + ')}` : 'left alone';

  say(paint('bold', `${number}. ${one.title}`));
  say(
    `   ${Object.entries(one.containers)
      .map(([name, image]) => `${name} = ${image}`)
      .join(', ')}, ${one.server}`,
  );
  say(`   ${paint(first.patch.length > 0 ? 'green' : 'yellow', done)} (${reason}): ${REASONS[reason as Reason]}`);
  for (const line of evidenceOf(await webhook.decision(review.request.uid))) say(`   seen in ${line}`);
  if (first.patch.length > 0)
    say(`\n${sideBySide(resolvConf(review), resolvConf(again), paint, { width: 80, indent: '   ' }).trimEnd()}`);
  const wrong = mistakes(one, review, first, second);
  say(
    wrong.length === 0
      ? paint('green', `   right, in ${milliseconds.toFixed(0)} ms`)
      : paint('red', `   WRONG: ${wrong.join('; ')}`),
  );
  say();
  return wrong.length === 0;
}

async function run(): Promise<boolean> {
  say('A registry, two webhooks with certificates of their own, and real AdmissionReviews over verified TLS:');
  const registry = await startRegistry();
  for (const { name, about, image } of demoImages()) {
    registry.put(`${name}:v1`, image);
    say(`  ${registry.host}/${name}:v1`.padEnd(36) + about);
  }
  const flags = ['--namespace-mode', 'enforce', '--cluster-dns', '10.96.0.10', '--cluster-domain', 'cluster.local'];
  // The registry is on loopback, which is refused unless it is named; no cluster DNS is here to be asked over TCP.
  const settings = { DETECTION_REGISTRY_INSECURE: registry.host, GLIBC_TCP_PREFLIGHT: 'false' };
  const [local, none] = await Promise.all([
    startWebhook({ settings, flags: [...flags, '--node-local', 'on'] }),
    startWebhook({ settings, flags: [...flags, '--node-local', 'off'] }),
  ]);
  const servers: Readonly<Record<Server, WebhookProcess>> = {
    'with node-local cache': local,
    'without node-local cache': none,
  };
  say(`  ${local.url}`.padEnd(36) + 'the webhook, for nodes with NodeLocal DNSCache');
  say(`  ${none.url}`.padEnd(36) + 'the webhook, for nodes without\n');
  let right = 0;
  for (const [index, one] of CASES.entries()) {
    if (await show(one, index + 1, servers[one.server], registry.host)) right += 1;
  }
  await Promise.all([local.stop(), none.stop()]);
  await registry.close();
  say(`${right} of ${CASES.length} answers are what they should be.`);
  say(
    `${registry.requests.length} requests went to the registry, which sent ${(registry.bytesSent() / 1024).toFixed(0)} KiB: each server looked an image up once.`,
  );
  return right === CASES.length;
}

// `npm run demo | head` closes the pipe: nobody reads on.
process.stdout.on('error', () => process.exit(1));

process.exitCode = (await run()) ? 0 : 1;
