import { describe, expect, it } from 'vitest';

import { createEvaluator } from '../../../src/admission/evaluate.ts';
import { createMutate, type Mutate } from '../../../src/admission/mutate.ts';
import { createAlikeMemory } from '../../../src/admission/template-cache.ts';
import type { Detector } from '../../../src/detection/detector.ts';
import type { NamespaceView } from '../../../src/policy/model.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { everyLine } from '../../support/every-line.ts';
import { changed, pathsIn } from '../../support/json-paths.ts';
import { facts, verdict, withNodeLocal } from '../../support/policy.ts';
import { fixture } from '../../support/reviews.ts';

type Json = Record<string, unknown>;

/** Every image says its own name, so that an answer shows what was looked up. */
const detector: Detector = {
  detect: () => Promise.reject(new Error('not asked')),
  recall: ({ reference, command, args }) => {
    const { evidence, ...found } = verdict('musl');
    const detail = JSON.stringify([reference, command, args]);
    return {
      from: 'memory',
      verdict: { ...found, evidence: { ...evidence, detail } },
      meter: { requests: 0, bytes: 0 },
    };
  },
};

interface Server {
  readonly mutate: Mutate;
  readonly lines: Json[];
}

function serverIn(
  labels: () => NamespaceView['labels'] = () => ({}),
  get: (name: string) => NamespaceView | Promise<NamespaceView> = (name) => ({ name, labels: labels() }),
): Server {
  const lines: Json[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Json);
  const mutate = createMutate({
    evaluator: createEvaluator({
      config: withNodeLocal({ scope: 'cluster' }),
      cluster: () => facts,
      verdicts: { detector, platform: { os: 'linux', architecture: 'amd64' } },
      memory: createAlikeMemory(() => performance.now()),
    }),
    namespaces: { get },
    budget: 1000,
    warnings: true,
    metrics: createMetrics('test'),
    log: everyLine({ level: 'debug', format: 'json', destination: { write } }),
  });
  return { mutate, lines };
}

/** What a server answers and logs, but for the time it took. */
async function said({ mutate, lines }: Server, review: string): Promise<unknown> {
  try {
    const answer = JSON.parse(await mutate(Buffer.from(review), {}, 0)) as unknown;
    return { answer, lines: lines.splice(0).map(({ ms: _ms, time: _time, ...line }) => line) };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/** What is said where the review is known by its text: template and command lines were met twice each, and parsed. */
async function saidAgain(server: Server, review: string): Promise<unknown> {
  for (let time = 0; time < 3; time += 1) await said(server, review);
  return await said(server, review);
}

/** The same review, as no API server writes it: not known by its text. */
const parsed = (review: string): string => ` ${review}`;

describe('a review that is known by its text is answered and logged as if it were parsed', () => {
  it.each(['plain', 'mixed', 'generated', 'storefront', 'report', 'postgres-0', 'node-agent'])(
    '%s, whatever else changes',
    async (name) => {
      const review = fixture(name);
      const [known, parsing] = [serverIn(), serverIn()];
      await saidAgain(known, JSON.stringify(review));
      for (const path of pathsIn(review).filter(({ length }) => length > 0)) {
        for (const value of [
          undefined,
          null,
          'x',
          'off',
          '2026-11-20T19:51:42Z',
          'kube-api-access-abcde',
          'postgres-1',
          1,
          [],
        ]) {
          const other = JSON.stringify(changed(review, path, value));
          expect(await said(known, other), `${path.join('.')}: ${String(value)}`).toEqual(
            await said(parsing, parsed(other)),
          );
        }
      }
      expect(await said(known, JSON.stringify(review))).toEqual(await said(parsing, parsed(JSON.stringify(review))));
    },
  );
});

it('the Pods of a StatefulSet: each is logged by its own name', async () => {
  const [known, parsing] = [serverIn(), serverIn()];
  for (let number = 0; number < 12; number += 1) {
    const review = JSON.stringify(fixture('postgres-0'))
      .replaceAll('postgres-0', `postgres-${number}`)
      .replace('pod-index":"0"', `pod-index":"${number}"`);
    const answered = await saidAgain(known, review);
    expect(answered).toEqual(await said(parsing, parsed(review)));
    expect(answered).toMatchObject({ lines: [{ pod: `postgres-${number}` }] });
  }
});

it("an Indexed Job's Pods: each is logged by what its name is generated from", async () => {
  const [known, parsing] = [serverIn(), serverIn()];
  for (let number = 0; number < 12; number += 1) {
    const review = fixture('report');
    const { metadata, spec } = review.request.object;
    const index = { 'batch.kubernetes.io/job-completion-index': String(number) };
    Object.assign(metadata, { generateName: `report-${number}-`, annotations: index, labels: index });
    Object.assign(spec, { hostname: `report-${number}` });
    const answered = await saidAgain(known, JSON.stringify(review));
    expect(answered).toEqual(await said(parsing, parsed(JSON.stringify(review))));
    expect(answered).toMatchObject({ lines: [{ pod: `report-${number}-` }] });
  }
});

it("a DaemonSet's Pods: by their text, whatever their node is called, wherever that stands", async () => {
  const [known, parsing] = [serverIn(), serverIn()];
  const review = fixture('node-agent');
  await saidAgain(known, JSON.stringify(review));
  for (const path of pathsIn(review).filter(({ length }) => length > 0)) {
    const terms = [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['node-a'] }] }];
    for (const node of ['node-a', 'node-b', 'n.o-de']) {
      const other = JSON.stringify(changed(review, path, terms)).replaceAll('"node-a"', `"${node}"`);
      expect(await saidAgain(known, other)).toEqual(await said(parsing, parsed(other)));
    }
  }
});

it('a namespace that changes its label changes the answer to a known review', async () => {
  const text = JSON.stringify(fixture('plain'));
  let labels = {};
  const server = serverIn(() => labels);
  const enforced = await saidAgain(server, text);
  labels = { 'libc-dns.dev/mode': 'audit' };
  const audited = await said(server, text);
  expect(audited).toMatchObject({ lines: [{ mode: 'audit', patched: false }] });
  expect(audited).toEqual(
    await said(
      serverIn(() => labels),
      text,
    ),
  );
  labels = {};
  expect(await said(server, text)).toEqual(enforced);
});

it('a body is not remembered once something was waited for, for another may stand in its place', async () => {
  const shop: NamespaceView = { name: 'shop', labels: {} };
  const arrived: PromiseWithResolvers<NamespaceView> = Promise.withResolvers();
  let get = (): NamespaceView | Promise<NamespaceView> => shop;
  const server = serverIn(undefined, () => get());
  const [first, second] = ['busybox', 'busybix'].map((image) =>
    JSON.stringify(fixture('plain')).replaceAll('"image":"busybox"', `"image":"${image}"`),
  ) as [string, string];
  for (let time = 0; time < 2; time += 1) await said(server, first);
  get = () => arrived.promise;
  const body = Buffer.from(first);
  const answer = server.mutate(body, {}, 0);
  body.write(second);
  arrived.resolve(shop);
  await answer;
  expect(JSON.stringify(server.lines.splice(0))).toContain('busybox');
  get = () => shop;
  expect(await said(server, second)).toEqual(await said(serverIn(), parsed(second)));
});
