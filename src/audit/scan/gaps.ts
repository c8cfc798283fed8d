import { KubeError } from '../../kubernetes/errors.ts';
import type { Gap } from '../report/report.ts';

/** Runs a reading that the audit can do without: what fails becomes a gap. */
export async function orGap(gaps: Gap[], what: string, grant: string, read: () => Promise<void>): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    gaps.push({ what, message: error.message, grant });
  }
}
