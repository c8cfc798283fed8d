import { answersOverTcp } from '../../../src/cluster/dns-over-tcp.ts';

/** The webhook's own look at DNS servers: `node preflight.ts ADDRESS...` prints whether all answer over TCP. */
async function look(): Promise<boolean> {
  const servers = process.argv.slice(2).map((address) => ({ address, timeoutMs: 2000 }));
  const results = await Promise.all(
    servers.map((server) => answersOverTcp(server, 'kubernetes.shop.svc.cluster.local')),
  );
  return results.every(Boolean);
}

// As the webhook does it again and again: on a new link the first packets may be lost.
console.log((await look()) || (await look()));
