import { createServer } from 'node:net';
import { Agent } from 'node:https';
import { connect as connectTls } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';

import { answerOf, fixture } from '../support/reviews.ts';
import { startWebhook, type WebhookProcess } from '../support/webhook-process.ts';

const body = JSON.stringify(fixture('plain'));

let webhook: WebhookProcess | undefined;

afterEach(async () => {
  webhook?.process.kill('SIGKILL');
});

describe('shutting down', () => {
  it('answers all that still comes in, tells callers to leave, then ends with 0', async () => {
    webhook = await startWebhook({ flags: ['--namespace-mode', 'enforce', '--offline'] });
    const { post, probes, stop } = webhook;
    const agent = new Agent({ keepAlive: true, maxSockets: 4 });
    let failed = 0;
    let closing = 0;
    const caller = async (): Promise<void> => {
      for (let calls = 0; calls < 100; calls += 1) {
        const reply = await post(body, { agent }).catch(() => undefined);
        if (reply === undefined) failed += 1;
        else if (reply.headers['connection'] === 'close') closing += 1;
      }
    };
    const calls = Promise.all([caller(), caller(), caller(), caller()]);
    const code = stop();
    await expect.poll(() => closing).toBeGreaterThan(0);
    expect((await fetch(`${probes}/readyz`)).status).toBe(503);
    await calls;
    expect(failed).toBe(0);
    expect(closing).toBeGreaterThan(100);
    agent.destroy();
    expect(await code).toBe(0);
  });

  it('an idle keep-alive connection does not hold it up', async () => {
    webhook = await startWebhook({ flags: ['--offline'] });
    const agent = new Agent({ keepAlive: true });
    await webhook.post(body, { agent });
    expect(await webhook.stop()).toBe(0);
    agent.destroy();
  });

  it('keeps idle connections for at least the 90 s that API servers do', async () => {
    webhook = await startWebhook({ flags: ['--offline'] });
    const reply = await webhook.post(body);
    expect(reply.headers['keep-alive']).toMatch(/^timeout=(9[5-9]|1\d\d)$/);
  });
});

describe('starting', () => {
  it.each(['0.0.0.0', '::'])('on all addresses: the log has %s, not the loopback', async (address) => {
    webhook = await startWebhook({ flags: ['--offline'], settings: { SERVER_ADDRESS: address } });
    const named = address === '::' ? '[::]' : address;
    expect([webhook.url, webhook.probes].map((url) => new URL(url).hostname)).toEqual([named, named]);
    expect(
      (await fetch(`${webhook.probes.replace(named, address === '::' ? '[::1]' : '127.0.0.1')}/livez`)).status,
    ).toBe(200);
  });

  it.each(['SERVER_PORT', 'SERVER_METRICS_PORT'])(
    '%s in use: the message says so, and what to set',
    async (variable) => {
      const taken = createServer();
      await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
      const { port } = taken.address() as { port: number };
      const key = variable === 'SERVER_PORT' ? 'server.port' : 'server.metricsPort';
      await expect(startWebhook({ settings: { [variable]: String(port) }, flags: ['--offline'] })).rejects.toThrow(
        `port ${port} on 127.0.0.1 is in use: stop what listens there or set ${key}`,
      );
      taken.close();
    },
  );

  it('tls.mode self-managed is refused, not ignored', async () => {
    await expect(startWebhook({ settings: { TLS_MODE: 'self-managed' } })).rejects.toThrow('serve ended with 2');
  });

  it('a context of no kubeconfig is refused', async () => {
    await expect(startWebhook({ flags: ['--context', 'prod'] })).rejects.toThrow(
      /serve ended with 2: .*--context names a context of --kubeconfig: give both/,
    );
  });
});

describe('slow and broken callers', () => {
  it('half a request, then silence: others are served', async () => {
    webhook = await startWebhook({ flags: ['--namespace-mode', 'enforce', '--offline'] });
    const { hostname, port } = new URL(webhook.url);
    const sockets = Array.from({ length: 50 }, () => {
      const socket = connectTls({ host: hostname, port: Number(port), rejectUnauthorized: false });
      socket.on('error', () => {});
      socket.write(
        'POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
      );
      return socket;
    });
    await sleep(200);
    expect(answerOf(await webhook.post(body)).patch.length).toBeGreaterThan(0);
    for (const socket of sockets) socket.destroy();
    await sleep(100);
    expect(answerOf(await webhook.post(body)).allowed).toBe(true);
  });
});

describe('the rehearsal of reviews in a Pod', () => {
  const rehearsed = 'reviews have been rehearsed';
  const IN_POD = {
    flags: ['--namespace-mode', 'enforce', '--offline'],
    environment: { KUBERNETES_SERVICE_HOST: '127.0.0.1' },
    settings: { TLS_MODE: 'ephemeral', SERVER_ADDRESS: '127.0.0.1' },
  };

  it('comes after the first Pod, and is seen neither in the metrics nor in the log', async () => {
    webhook = await startWebhook(IN_POD);
    const { lines, post, probes } = webhook;
    await post(body);
    await expect.poll(() => lines.some(({ msg }) => msg === rehearsed), { timeout: 12_000 }).toBe(true);
    const metrics = await (await fetch(`${probes}/metrics`)).text();
    expect(metrics).toContain('libc_dns_decision_duration_seconds_count 1\n');
    expect(lines.filter(({ uid }) => typeof uid === 'string')).toHaveLength(1);
  });

  it('does not come once the server has to stop', async () => {
    webhook = await startWebhook(IN_POD);
    const { lines, post, stop } = webhook;
    await post(body);
    expect(await stop()).toBe(0);
    expect(lines.filter(({ msg }) => msg.includes('rehears'))).toEqual([]);
  });

  it('does not come outside a Pod', async () => {
    webhook = await startWebhook({ flags: ['--namespace-mode', 'enforce', '--offline'] });
    const { lines, post } = webhook;
    await post(body);
    await sleep(3000);
    expect(lines.filter(({ msg }) => msg.includes('rehears'))).toEqual([]);
  });
});
