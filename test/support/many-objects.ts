import { applyVerdict } from '../../src/image-libc/writes.ts';
import type { KubeClient } from '../../src/kubernetes/client.ts';
import { foundMusl, keyOf } from './image-libc.ts';

const AT_ONCE = 16;

async function forEach(count: number, write: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await write(next);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Writes verdicts for `count` images, like replicas. */
export async function writeVerdicts(client: KubeClient, count: number): Promise<void> {
  await forEach(count, async (index) => {
    const key = keyOf(`registry.example.com/team-${index % 100}/service-${index}:v1.${index}.0-20260101`);
    const digest = `sha256:${index.toString(16).padStart(64, '0')}`;
    await client.request({ ...applyVerdict(key, foundMusl(Date.now(), { digest })), timeoutMs: 60_000 });
  });
}

/** Creates `count` namespaces; half of them enforce, half audit. */
export async function writeNamespaces(client: KubeClient, count: number): Promise<void> {
  await forEach(count, async (index) => {
    const labels = { 'libc-dns.dev/mode': index % 2 === 0 ? 'enforce' : 'audit' };
    const body = { metadata: { name: `team-${index}`, labels } };
    await client.request({ method: 'POST', path: '/api/v1/namespaces', body, timeoutMs: 60_000 });
  });
}
