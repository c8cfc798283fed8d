import { KubeError } from '../../kubernetes/errors.ts';
import type { Gap } from '../report/report.ts';

/** Runs `read`; a `KubeError` becomes a gap, because the audit can do without this part. Rejects with any other error. */
export async function orGap(gaps: Gap[], what: string, grant: string, read: () => Promise<void>): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    gaps.push({ what, message: error.message, grant });
  }
}
