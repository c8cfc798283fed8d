import { execFile } from 'node:child_process';

/** What `npm audit` came to. `unknown`: it did not run, and why. */
export type AuditResult =
  | { readonly outcome: 'clean' | 'vulnerable'; readonly found: readonly string[] }
  | { readonly outcome: 'unknown'; readonly why: string };

interface Report {
  readonly message?: string;
  readonly error?: { readonly summary?: string; readonly detail?: string };
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string; readonly range: string }>>;
}

const GRAVE = ['high', 'critical'];

/** Reads what `npm audit --json` has printed, as far as it is about packages of these names. */
export function readAudit(json: string, names: readonly string[]): AuditResult {
  let report: Report;
  try {
    report = JSON.parse(json) as Report;
  } catch {
    return { outcome: 'unknown', why: 'npm audit printed no JSON' };
  }
  if (report.vulnerabilities === undefined) {
    const why = [report.message, report.error?.summary, report.error?.detail].find(Boolean);
    return { outcome: 'unknown', why: why ?? 'the registry gave no report' };
  }
  const grave = Object.entries(report.vulnerabilities).filter(
    ([name, { severity }]) => names.includes(name) && GRAVE.includes(severity),
  );
  const found = grave.map(([name, { severity, range }]) => `${name} ${range}: ${severity}`);
  return { outcome: found.length > 0 ? 'vulnerable' : 'clean', found };
}

/** Asks the registry about the packages that come with the product. Never rejects. */
export function npmAudit(names: readonly string[]): Promise<AuditResult> {
  return new Promise((resolve) => {
    const options = { timeout: 60_000, maxBuffer: 64 * 1024 * 1024 };
    execFile('npm', ['audit', '--json'], options, (_error, out) => resolve(readAudit(out, names)));
  });
}
