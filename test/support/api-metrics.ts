import type { TestCluster } from './cluster.ts';

/** What the API server itself counted of calls to our webhooks. */
export interface WebhookCounts {
  readonly calls: number;
  readonly failedOpen: number;
  readonly rejected: number;
}

const OURS = /name="[a-z]+\.libc-dns\.dev"/;

/** Reads the API server's own metrics; a webhook that failed open is one whose answer was not waited for or not trusted. */
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

/** Calls to our webhooks that the API server waited for longer than 2.5 s. */
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
