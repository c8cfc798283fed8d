import { describe, expect, it } from 'vitest';

import { createEvaluator } from '../../../src/admission/evaluate.ts';
import { createMutate, type Mutate } from '../../../src/admission/mutate.ts';
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
  peek: ({ reference, command, args }) => {
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

const metrics = createMetrics('test');

function serverIn(labels: () => NamespaceView['labels'] = () => ({})): Server {
  const lines: Json[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Json);
  const mutate = createMutate({
    evaluator: createEvaluator({
      config: withNodeLocal({ scope: 'cluster' }),
      cluster: () => facts,
      verdicts: { detector, platform: { os: 'linux', architecture: 'amd64' } },
    }),
    namespaces: { get: (name) => ({ name, labels: labels() }) },
    budget: 1000,
    warnings: true,
    verified: false,
    metrics,
    log: everyLine({ level: 'debug', format: 'json', destination: { write } }),
  });
  return { mutate, lines };
}

/** What a server answers and logs, but for the time it took. */
async function said({ mutate, lines }: Server, review: object): Promise<unknown> {
  try {
    const answer = JSON.parse(await mutate(Buffer.from(JSON.stringify(review)), '', 0)) as unknown;
    return { answer, lines: lines.splice(0).map(({ ms: _ms, time: _time, ...line }) => line) };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

const saidByNew = async (review: object): Promise<unknown> => await said(serverIn(), review);

/** What is said once the template is remembered. */
async function saidAgain(server: Server, review: object): Promise<unknown> {
  for (let time = 0; time < 2; time += 1) await said(server, review);
  return await said(server, review);
}

describe('a Pod of a remembered template is answered and logged as by a new server', () => {
  it.each(['plain', 'mixed', 'generated', 'storefront', 'report', 'postgres-0', 'node-agent'])(
    '%s, whatever else changes',
    async (name) => {
      const review = fixture(name);
      const server = serverIn();
      await saidAgain(server, review);
      for (const path of pathsIn(review).filter(({ length }) => length > 0)) {
        for (const value of [undefined, null, 'x', 'off', 1, []]) {
          const other = changed(review, path, value);
          const at = `${path.join('.')}: ${String(value)}`;
          const expected = { at, said: await saidByNew(other) };
          for (let time = 0; time < 2; time += 1) expect({ at, said: await said(server, other) }).toEqual(expected);
        }
      }
      expect(await said(server, review)).toEqual(await saidByNew(review));
    },
  );

  it("a StatefulSet's Pods: each is logged by its own name", async () => {
    const server = serverIn();
    for (let number = 0; number < 12; number += 1) {
      const review = JSON.parse(
        JSON.stringify(fixture('postgres-0'))
          .replaceAll('postgres-0', `postgres-${number}`)
          .replace('pod-index":"0"', `pod-index":"${number}"`),
      ) as object;
      const answered = await saidAgain(server, review);
      expect(answered).toEqual(await saidByNew(review));
      expect(answered).toMatchObject({ lines: [{ pod: `postgres-${number}` }] });
    }
  });

  it("an Indexed Job's Pods: each is logged by what its name is generated from", async () => {
    const server = serverIn();
    for (let number = 0; number < 12; number += 1) {
      const review = fixture('report');
      const { metadata, spec } = review.request.object;
      const index = { 'batch.kubernetes.io/job-completion-index': String(number) };
      Object.assign(metadata, { generateName: `report-${number}-`, annotations: index, labels: index });
      Object.assign(spec, { hostname: `report-${number}` });
      const answered = await saidAgain(server, review);
      expect(answered).toEqual(await saidByNew(review));
      expect(answered).toMatchObject({ lines: [{ pod: `report-${number}-` }] });
    }
  });

  it('a namespace that changes its label changes the answer', async () => {
    const review = fixture('plain');
    let labels = {};
    const server = serverIn(() => labels);
    const enforced = await saidAgain(server, review);
    labels = { 'libc-dns.dev/mode': 'audit' };
    const audited = await said(server, review);
    expect(audited).toMatchObject({ lines: [{ mode: 'audit', patched: false }] });
    const fresh = serverIn(() => labels);
    expect(audited).toEqual(await said(fresh, review));
    labels = {};
    expect(await said(server, review)).toEqual(enforced);
  });
});
