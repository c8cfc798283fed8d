import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { clientAuthority, type Pair } from '../support/client-certificates.ts';
import { type RegistryServer, startRegistry } from '../support/registry-server.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

const GENERAL =
  'The resolver is unknown, so the Pod gets the options that help glibc and that musl ignores.' +
  " main: the webhook's log says why.";

let folder: string;
let client: Pair;
let silent: Server;
let registry: RegistryServer;
let guarded: RegistryServer;
let failing: RegistryServer;
let closedPort: number;

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-untold-'));
  const authority = await clientAuthority();
  client = await authority.sign();
  writeFileSync(join(folder, 'ca.crt'), authority.cert);
  silent = createServer(() => {});
  await listen(silent);
  const closing = createServer();
  closedPort = await listen(closing);
  await new Promise((resolve) => {
    closing.close(resolve);
  });
  registry = await startRegistry();
  guarded = await startRegistry({ auth: { kind: 'basic', username: 'a', password: 'b' } });
  failing = await startRegistry({ fault: () => ({ kind: 'answer', status: 500, body: 'secret stack trace' }) });
});

afterAll(async () => {
  rmSync(folder, { recursive: true });
  silent.close();
  await Promise.all([registry.close(), guarded.close(), failing.close()]);
});

/** Where images cannot be looked up, and what the log says of each. */
const places = (): readonly (readonly [string, RegExp])[] => [
  [`127.0.0.1:${closedPort}/app:1`, /ECONNREFUSED|refused/],
  [`127.0.0.1:${(silent.address() as AddressInfo).port}/app:1`, /did not finish in the time/],
  ['no-such-host.invalid/app:1', /no-such-host\.invalid/],
  [`${registry.host}/app:1`, /no such image/],
  [`${guarded.host}/app:1`, /401|login|unauthorized|credential/i],
  [`${failing.host}/app:1`, /500/],
  ['127.0.0.2/app:1', /127\.0\.0\.2/],
  ['169.254.169.254/app:1', /169\.254\.169\.254/],
  ['UPPER/app:1', /UPPER/],
];

async function start(settings: Record<string, string> = {}): Promise<WebhookProcess> {
  const insecure = places()
    .map(([image]) => image.split('/')[0] ?? '')
    .filter((host) => host.startsWith('127.0.0.1:'));
  return await startWebhook({
    settings: {
      SCOPE: 'cluster',
      SERVER_WARNINGS: 'true',
      // The first look-up starts the process that reads images.
      DETECTION_BUDGET: '8s',
      DETECTION_REGISTRY_INSECURE: insecure.join(','),
      ...settings,
    },
  });
}

const review = (uid: string, image: string): string =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid,
      resource: { group: '', version: 'v1', resource: 'pods' },
      operation: 'CREATE',
      namespace: 'shop',
      object: { metadata: { name: 'web' }, spec: { containers: [{ name: 'main', image }] } },
    },
  });

interface Answer {
  readonly response: {
    readonly patch: string;
    readonly warnings: readonly string[];
    readonly auditAnnotations: Readonly<Record<string, string>>;
  };
}

/** Asks about the image twice: the second answer comes from what is remembered. */
async function asked(webhook: WebhookProcess, image: string, options: object): Promise<readonly string[]> {
  const texts: string[] = [];
  // A look-up that never ends is waited for a second.
  const path = image.includes(`:${(silent.address() as AddressInfo).port}/`) ? '/mutate?timeout=1300ms' : '/mutate';
  for (const uid of [`${image} 1`, `${image} 2`]) {
    const { status, body } = await webhook.post(review(uid, image), { path, ...options });
    expect(status).toBe(200);
    const { response } = JSON.parse(body) as Answer;
    const patch = Buffer.from(response.patch, 'base64').toString();
    texts.push(JSON.stringify({ ...response, uid: '', patch }));
  }
  return texts;
}

describe('what an answer says of a look-up that failed', () => {
  it('is the same for every cause where callers are not verified; the log has the cause', async () => {
    const webhook = await start();
    try {
      const answers = new Set<string>();
      for (const [image, cause] of places()) {
        for (const text of await asked(webhook, image, {})) answers.add(text);
        const { evidence } = await webhook.decision(`${image} 1`);
        expect(evidence).toMatchObject({ main: expect.stringMatching(cause) as string });
      }
      expect([...answers]).toHaveLength(1);
      const { auditAnnotations, warnings } = (JSON.parse(`{"response":${[...answers][0]}}`) as Answer).response;
      expect(auditAnnotations).toMatchObject({
        decision: '{"reason":"UnknownOptions","remedy":["options"],"resolvers":{"main":"unknown"}}',
        message: GENERAL,
      });
      expect(warnings).toEqual([`libc-dns: applied options (UnknownOptions): ${GENERAL}`]);
    } finally {
      await webhook.stop();
    }
  });

  it('is the cause where callers are verified', async () => {
    const webhook = await start({ TLS_CLIENT_CA_FILE: join(folder, 'ca.crt') });
    try {
      for (const [image, cause] of places()) {
        for (const text of await asked(webhook, image, { client })) expect(text).toMatch(cause);
      }
    } finally {
      await webhook.stop();
    }
  });
});
