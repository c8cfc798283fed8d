import { LRUCache } from 'lru-cache';

import type { Reporter } from '../../telemetry/reporter.ts';
import { type Backoff, doublingMs } from '../../util/abort.ts';
import type { Clock } from '../../util/clock.ts';
import type { Tenant } from '../../util/limits/recent-use.ts';

/** Remembers the namespaces whose new images end reader processes. Quarantine does not keep these off: each is another image. */
export interface Distrust {
  /** Reports whether the namespace's images are read one by one for now. */
  has(tenant: Tenant): boolean;
  /** Notes that a new image of the namespace ended a process. */
  blame(tenant: Tenant): void;
}

const MOST = 1000;

/** One process may have been ended by a defect of ours; the second makes a habit. */
const FORGIVEN = 1;

/** Milliseconds: doubled with each process, to an hour. */
const WAIT: Backoff = { first: 60_000, most: 3_600_000 };

/** Milliseconds after which a process counts no more if no other ended since. */
const REMEMBERED_MS = 2 * 3_600_000;

interface Record {
  readonly ends: number;
  readonly lastAt: number;
  readonly until: number;
}

export function createDistrust(clock: Pick<Clock, 'monotonic'>, reporter: Reporter): Distrust {
  const warn = reporter.warnings();
  const records = new LRUCache<string, Record>({ max: MOST });
  return {
    has: (tenant) => tenant !== undefined && (records.get(tenant)?.until ?? 0) > clock.monotonic(),
    blame(tenant) {
      if (tenant === undefined) return;
      const now = clock.monotonic();
      const known = records.get(tenant);
      const before = known !== undefined && now - known.lastAt < REMEMBERED_MS ? known.ends : 0;
      const ms = before < FORGIVEN ? 0 : doublingMs(WAIT, before - FORGIVEN);
      records.set(tenant, { ends: before + 1, lastAt: now, until: now + ms });
      if (ms === 0) return;
      const fields = { namespace: tenant, ends: before + 1, seconds: ms / 1000 };
      warn('images of a namespace keep ending reader processes: its images are read one by one for a while', fields);
    },
  };
}
