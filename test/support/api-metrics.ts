import type { TestCluster } from './cluster.ts';

/** The API server's own counts of calls to our webhooks. */
interface WebhookCounts {
  readonly calls: number;
  readonly failedOpen: number;
  readonly rejected: number;
}

const OURS = /name="[a-z]+\.libc-dns\.dev"/;

/** Reads the API server's metrics. A call fails open if the response came too late or was not trusted. */
export async function webhookCounts({ kubectl }: Pick<TestCluster, 'kubectl'>): Promise<WebhookCounts> {
  const lines = (await kubectl(['get', '--raw', '/metrics'])).split('\n').filter((line) => OURS.test(line));
  const sum = (metric: string): number =>
    lines
      .filter((line) => line.startsWith(`${metric}{`))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0);
  return {
    calls: sum('apiserver_admission_webhook_request_total'),
    failedOpen: sum('apiserver_admission_webhook_fail_open_count'),
    rejected: sum('apiserver_admission_webhook_rejection_count'),
  };
}

/** Returns the number of calls to our webhooks that took longer than 2.5 s. */
export async function slowCalls({ kubectl }: Pick<TestCluster, 'kubectl'>): Promise<number> {
  const lines = (await kubectl(['get', '--raw', '/metrics'])).split('\n').filter((line) => OURS.test(line));
  const sum = (suffix: string): number =>
    lines
      .filter(
        (line) => line.startsWith('apiserver_admission_webhook_admission_duration_seconds') && line.includes(suffix),
      )
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0);
  return sum('_count{') - sum('le="2.5"');
}
