import { connect } from 'node:tls';

import type { Served } from './certificates.ts';

export interface AskedReplica {
  readonly host: string;
  readonly port: number;
  /** The name that the API server asks for (SNI). */
  readonly servername: string;
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** The certificate that a replica shows. It is not verified here: that is what the check is about. Never rejects. */
export function askCertificate({ host, port, servername }: AskedReplica, timeoutMs: number): Promise<Served> {
  const from = `${host}:${port}`;
  return new Promise((resolve) => {
    const socket = connect({ host, port, servername, rejectUnauthorized: false });
    const settle = (served: Omit<Served, 'from'>): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ from, ...served });
    };
    const timer = setTimeout(() => settle({ error: 'no answer' }), timeoutMs);
    socket.on('secureConnect', () => {
      const { raw } = socket.getPeerCertificate() as { raw?: Buffer };
      settle(raw === undefined ? { error: 'no certificate' } : { certificate: pemOf(raw) });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => settle({ error: error.code ?? error.message }));
    socket.on('close', () => settle({ error: 'closed' }));
  });
}
