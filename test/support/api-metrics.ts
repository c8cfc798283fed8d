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
