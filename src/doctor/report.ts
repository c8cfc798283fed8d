import type { Checked } from './run-checks.ts';
import type { Status } from './check.ts';

/** What `libc-dns doctor` found; `-o json` prints exactly this. Names and messages may be other people's. */
export interface DoctorReport {
  readonly apiVersion: 'doctor.libc-dns.dev/v1';
  readonly kind: 'DoctorReport';
  /** RFC 3339, UTC. */
  readonly generatedAt: string;
  /** Of the program. */
  readonly version: string;
  /** The API server's address; null where there is none. */
  readonly server: string | null;
  /** Where the webhook's configuration was read: a file, `ConfigMap namespace/name`, `defaults`. */
  readonly configuration: string;
  readonly summary: Readonly<Record<Status, number>>;
  /** In the order of the output. */
  readonly checks: readonly CheckEntry[];
}

export interface CheckEntry {
  readonly id: string;
  readonly group: string;
  readonly status: Status;
  /** What was seen, one sentence. */
  readonly seen: string;
  readonly details: readonly string[];
  /** What to do; a command line where one does it. */
  readonly advice: readonly { readonly text: string; readonly command?: string }[];
  /** By check: docs/doctor.md. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly durationMs: number;
}

export interface ReportFrame {
  readonly now: Date;
  readonly version: string;
  readonly server?: string;
  readonly configuration: string;
}

export function doctorReport(
  checks: readonly Checked[],
  { now, version, server, configuration }: ReportFrame,
): DoctorReport {
  const summary = { ok: 0, warning: 0, failure: 0, skipped: 0 };
  for (const { status } of checks) summary[status] += 1;
  return {
    apiVersion: 'doctor.libc-dns.dev/v1',
    kind: 'DoctorReport',
    generatedAt: now.toISOString(),
    version,
    server: server ?? null,
    configuration,
    summary,
    checks: checks.map(({ durationMs, ...check }) => ({ ...check, durationMs: Math.round(durationMs) })),
  };
}

/**
 * Whether a program that goes by the exit status should stop; `strict`: for a warning, too. Where nothing could be looked at,
 * nothing is known to be well.
 */
export function fails({ summary }: DoctorReport, strict: boolean): boolean {
  const { ok, warning, failure } = summary;
  return failure > 0 || (strict && warning > 0) || ok + warning + failure === 0;
}
