import { answersOverTcp } from '../../../src/cluster/dns-over-tcp.ts';

/** Runs the webhook's preflight: `node preflight.ts ADDRESS...` prints whether all DNS servers answer over TCP. */
async function look(): Promise<boolean> {
  const servers = process.argv.slice(2).map((address) => ({ address, timeoutMs: 2000 }));
  const results = await Promise.all(
    servers.map((server) => answersOverTcp(server, 'kubernetes.shop.svc.cluster.local')),
  );
  return results.every(Boolean);
}

// Like the webhook, which repeats it: on a new link the first packets may be lost.
console.log((await look()) || (await look()));
