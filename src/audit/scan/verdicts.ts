import { platformName } from '../../detection/platform.ts';
import type { VerdictStore } from '../../detection/verdict-store.ts';
import { createLibcCopy } from '../../image-libc/copy.ts';
import { storedVerdict } from '../../image-libc/object.ts';
import type { KubeClient } from '../../kubernetes/client.ts';
import type { KubeError } from '../../kubernetes/errors.ts';
import { pause } from '../../util/abort.ts';
import { systemClock } from '../../util/clock.ts';
import type { Gap } from '../report/report.ts';

interface ReaderOptions {
  readonly client: KubeClient;
  readonly canonical: (reference: string) => string;
  /** The most objects to read. */
  readonly most: number;
}

/** Read-only access to the verdicts that the webhook's replicas share. */
interface VerdictReader extends VerdictStore {
  /** Resolves when the verdicts have been read (to undefined) or could not be read (to a gap). Never rejects. */
  readonly ready: Promise<Gap | undefined>;
  close(): Promise<void>;
}

const READ_MS = 30_000;

/** A missing resource is not a gap: clusters without the webhook do not have it. */
function gapOf(error: KubeError | undefined): Gap | undefined {
  if (error === undefined || error.code === 'not-found') return undefined;
  const grant = 'list imagelibcs.libc-dns.dev: without it, images that are known already are looked up again';
  return { what: 'imagelibcs.libc-dns.dev', message: error.message, grant };
}

/** Reads the ImageLibcs of a cluster. Writes nothing: an audit must not change the cluster. */
export function createVerdictReader({ client, canonical, most }: ReaderOptions): VerdictReader {
  const { reflector, index, lost } = createLibcCopy({ client, canonical, most, clock: systemClock });
  const end = new AbortController();
  const timeout = pause(READ_MS, end.signal);
  return {
    ready: Promise.race([reflector.ready, lost, timeout]).then((failure) =>
      reflector.synced ? undefined : gapOf(failure ?? undefined),
    ),
    declared: ({ image, platform, runs }) => index.declared(image, platformName(platform), runs)?.verdict,
    get({ image, platform, runs }) {
      const held = index.detected(image, platformName(platform), runs);
      return held && storedVerdict(held, platform);
    },
    quarantined: (subject) => index.quarantined(subject),
    put: () => {},
    forget: () => {},
    quarantine: () => {},
    release: () => {},
    async close() {
      end.abort();
      await reflector.close();
    },
  };
}
