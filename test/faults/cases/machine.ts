import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { ephemeralPair } from '../../../src/certificates/ephemeral.ts';
import { isReady } from '../../support/installation.ts';
import { fixture } from '../../support/reviews.ts';
import { post, type WebhookProcess } from '../../support/webhook-process.ts';
import { type Fault, keep } from '../fault.ts';
import { answers, metric, seconds, until } from '../support/measure.ts';
import { createPods, told } from '../support/pods.ts';
import { closeCluster, NotTried, openCluster, temporaryFolder, type World } from '../support/world.ts';

const FAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
const REVIEW = JSON.stringify(fixture('plain'));

interface Files {
  readonly webhook: WebhookProcess;
  readonly write: (cert: string, key: string) => Promise<void>;
}

/** Starts a replica with its certificate in files. */
async function withFiles(world: World, days: number, environment: Readonly<Record<string, string>> = {}) {
  const folder = await temporaryFolder(world);
  const [certFile, keyFile] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  const write: Files['write'] = async (cert, key) => {
    await writeFile(certFile, cert);
    await writeFile(keyFile, key);
  };
  const pair = await ephemeralPair({ names: [{ type: 'ip', value: '127.0.0.1' }], now: Date.now(), days });
  await write(pair.cert, pair.key);
  const settings = { TLS_MODE: 'files', TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile };
  const webhook = { ...(await world.webhook({ settings, environment })), ca: pair.ca };
  return { webhook, write, pair };
}

const certificates: Fault = {
  id: 'certificate-on-disk',
  name: 'a certificate on disk that is cut short, removed, put right, replaced',
  promise: 'the last good one is served meanwhile; a new one is taken without a restart, and no request is lost',
  alsoIn: 'test/server/certificates.test.ts, test/cluster/rotation.test.ts',
  async run(world) {
    const { webhook, write, pair } = await withFiles(world, 30);
    const next = await ephemeralPair({ names: [{ type: 'ip', value: '127.0.0.1' }], now: Date.now(), days: 30 });
    await write(pair.cert.slice(0, 300), pair.key);
    await until(
      () => metric(webhook, 'libc_dns_certificate_reload_failures_total'),
      (count) => count === 1,
    );
    await answers(webhook, REVIEW, 20);
    await write('', '');
    await answers(webhook, REVIEW, 20);
    await write(next.cert, next.key);
    const started = performance.now();
    const renewed = { ...webhook, ca: next.ca };
    const isNew = (): Promise<boolean> =>
      post(webhook.url, next.ca, REVIEW).then(
        () => true,
        () => false,
      );
    await until(isNew, Boolean);
    const took = seconds(performance.now() - started);
    await answers(renewed, REVIEW, 20);
    return `40 answered with the old one, the new one after ${took}, 20 answered with it`;
  },
};

/** Returns the environment of a process whose clock is off by the offset in a file, and a function that writes that file. */
async function clockOf(world: World) {
  if (!existsSync(FAKETIME)) throw new NotTried('no libfaketime: apt-get install faketime');
  const file = join(await temporaryFolder(world), 'clock');
  const set = (offset: string): Promise<void> => writeFile(file, `${offset}\n`);
  await set('+0');
  const environment = {
    LD_PRELOAD: FAKETIME,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
  return { environment, set };
}

const clock: Fault = {
  id: 'clock-jump',
  name: "a replica's clock jumps an hour ahead, two hours back, and right again",
  promise: 'no call is lost, with certificates of its own making',
  async run(world) {
    const { environment, set } = await clockOf(world);
    // A new cluster: an API server keeps its connections to the replicas it knows.
    const opened = await openCluster({ replicas: 1, environment });
    world.afterwards(() => closeCluster(opened));
    const created = await createPods(opened, 20, async () => {
      for (const offset of ['+1h', '-1h', '+0']) {
        await set(offset);
        await sleep(4000);
      }
    });
    const seen = told(created);
    keep(created.failedOpen === 0, seen);
    return seen;
  },
};

const expired: Fault = {
  id: 'certificate-expired',
  name: 'the clock jumps 40 days ahead, past the end of the certificate, and back',
  promise: 'not ready, with the reason, while it is expired; ready again after; it answers all the time',
  async run(world) {
    const { environment, set } = await clockOf(world);
    const { webhook } = await withFiles(world, 30, environment);
    const before = await until(
      () => isReady(webhook),
      (state) => state === 'ok',
    );
    await set('+40d');
    const during = await until(
      () => isReady(webhook),
      (state) => state !== 'ok',
    );
    await answers(webhook, REVIEW, 20);
    await set('-2d');
    await until(
      () => isReady(webhook),
      (state) => state === 'ok',
    );
    await answers(webhook, REVIEW, 20);
    await set('+0');
    await answers(webhook, REVIEW, 20);
    keep(during.includes('expired'), during);
    return `${before}; "${during}"; ok; 60 answered`;
  },
};

export const machineFaults: readonly Fault[] = [certificates, expired, clock];
