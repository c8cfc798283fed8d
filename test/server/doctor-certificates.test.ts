import { createServer, type Server } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net';

import { afterEach, beforeAll, describe, expect, it } from 'vitest';

import { ephemeralPair, type EphemeralPair } from '../../src/certificates/ephemeral.ts';
import type { PodSeen } from '../../src/cluster/pod-seen.ts';
import { configSchema } from '../../src/config/schema.ts';
import { createEvidence, type DoctorParts } from '../../src/doctor/evidence.ts';
import type { ClusterView } from '../../src/doctor/view/view.ts';
import { certificateEvidence } from '../../src/doctor/webhook/certificate-evidence.ts';
import { askCertificate, judgeTrust } from '../../src/doctor/webhook/certificates.ts';
import { systemClock } from '../../src/util/clock.ts';

const NAME = 'webhook.libc-dns.svc';

let pair: EphemeralPair;
let server: Server | TcpServer | undefined;
beforeAll(async () => {
  pair = await ephemeralPair({ names: [{ type: 'dns', value: NAME }], now: Date.now(), days: 1 });
});
afterEach(() => void server?.close());

async function listen(one: Server | TcpServer): Promise<number> {
  server = one;
  await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
  return (one.address() as AddressInfo).port;
}

describe('the certificate of a replica', () => {
  it('is what it serves, whoever signed it', async () => {
    const port = await listen(createServer({ cert: pair.cert, key: pair.key }));
    const served = await askCertificate({ host: '127.0.0.1', port, servername: NAME }, 2000);
    expect(served.from).toBe(`127.0.0.1:${port}`);
    expect(served.certificate?.replaceAll(/\s/g, '')).toBe(pair.cert.replaceAll(/\s/g, ''));
  });

  it.each<[string, () => TcpServer, string]>([
    ['no TLS', () => createTcpServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')), 'ERR_SSL_'],
    ['nothing', () => createTcpServer((socket) => socket.on('error', () => {})), 'no answer'],
    ['a closed door', () => createTcpServer((socket) => socket.destroy()), 'ECONNRESET'],
  ])('is not shown by something that speaks %s', async (_, make, error) => {
    const port = await listen(make());
    const served = await askCertificate({ host: '127.0.0.1', port, servername: NAME }, 300);
    expect(served.error).toContain(error);
  });
});

describe('in the cluster', () => {
  const pod = (ip: string, ready = true): PodSeen => ({ ip, ready }) as PodSeen;
  const parts = (port: number, view: Partial<ClusterView>): DoctorParts =>
    ({
      inside: true,
      given: {},
      config: configSchema.parse({ server: { port } }),
      configGiven: 'file',
      askCertificate: (replica: Parameters<typeof askCertificate>[0]) => askCertificate(replica, 1000),
      clock: systemClock,
      view: {
        version: async () => 'v1.36.0',
        webhookConfigurations: async () => [
          {
            name: 'x',
            entries: [
              {
                name: 'pods.libc-dns.dev',
                caBundle: pair.ca,
                service: { namespace: 'libc-dns', name: 'webhook', port: 443 },
              },
            ],
          },
        ],
        service: async () => ({ type: 'ClusterIP', selector: { app: 'w' }, ports: [443] }),
        deployments: async () => [],
        secretCertificates: async () => undefined,
        podsWith: async () => [],
        ...view,
      },
    }) as unknown as DoctorParts;

  it('every replica that is ready is asked, at its own address', async () => {
    const port = await listen(createServer({ cert: pair.cert, key: pair.key }));
    const pods = async (): Promise<PodSeen[]> => [pod('127.0.0.1'), pod('127.0.0.2', false), pod('')];
    const seen = await certificateEvidence(createEvidence(parts(port, { podsWith: pods })));
    expect(seen?.served.map(({ from }) => from)).toEqual([`127.0.0.1:${port}`]);
    expect(judgeTrust(seen!)).toMatchObject({
      status: 'ok',
      seen: 'the caBundle holds the CA of what 1 replica serves',
    });
  });

  it('without the right to list Pods, the Service is asked by its name', async () => {
    const forbidden = async (): Promise<never> => {
      throw Object.assign(new Error('no'), { code: 'forbidden' });
    };
    const seen = await certificateEvidence(createEvidence(parts(1, { podsWith: forbidden, service: forbidden })));
    expect(seen?.served).toMatchObject([{ from: `${NAME}:443`, error: expect.any(String) as string }]);
  });
});
