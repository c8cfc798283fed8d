import { applyVerdict } from '../src/image-libc/writes.ts';
import type { KubeClient } from '../src/kubernetes/client.ts';
import { foundMusl, keyOf } from '../test/support/image-libc.ts';

const AT_ONCE = 16;

async function forEach(from: number, to: number, write: (index: number) => Promise<unknown>): Promise<void> {
  let next = from;
  const lane = async (): Promise<void> => {
    while (next < to) {
      next += 1;
      await write(next);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

/** Adds namespaces and verdicts to a cluster that has `from` of each, until it has `to`. */
export async function fill(client: KubeClient, from: number, to: number): Promise<void> {
  await forEach(from, to, async (index) => {
    const key = keyOf(`registry.example.com/team-${index % 100}/service-${index}:v1.${index}.0-20260101`);
    const digest = `sha256:${index.toString(16).padStart(64, '0')}`;
    const named = digest.replace(':0', ':1');
    await client.request({ ...applyVerdict(key, { ...foundMusl(Date.now(), { digest }), named }), timeoutMs: 60_000 });
    const labels = { 'libc-dns.dev/mode': index % 2 === 0 ? 'enforce' : 'audit' };
    const body = { metadata: { name: `team-${index}`, labels } };
    await client.request({ method: 'POST', path: '/api/v1/namespaces', body, timeoutMs: 60_000 });
  });
}
