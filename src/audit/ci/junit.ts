import { printable } from '../../util/text.ts';
import type { Audited } from '../read.ts';
import type { AcceptedFinding, AuditReport, Finding } from '../report/report.ts';

/** A test of a suite. */
interface Case {
  readonly suite: string;
  readonly class: string;
  readonly name: string;
  readonly file?: string;
  readonly outcome: Outcome;
}

type Outcome =
  | { readonly kind: 'passed'; readonly text?: string }
  | { readonly kind: 'failure'; readonly type: string; readonly message: string; readonly text: string }
  | { readonly kind: 'skipped'; readonly message: string };

/**
 * Formats the report as JUnit XML, as Jenkins, GitLab and others read it (https://github.com/testmoapp/junitxml): a suite for each namespace, a
 * test for each workload without findings, and for each finding. Errors and warnings fail; what is accepted or could not be read is skipped.
 */
export function auditJunit({ report, placeOf }: Audited): string {
  const cases = [...workloadCases(report, placeOf), ...unreadCases(report)];
  const suites = [...Map.groupBy(cases, ({ suite }) => suite)].map(([name, tests]) => {
    const timestamp = report.generatedAt.slice(0, 19);
    return `  <testsuite ${attributes({ name, ...counts(tests), time: '0', timestamp })}>\n${tests.map(caseXml).join('')}  </testsuite>\n`;
  });
  const head = attributes({ name: 'libc-dns audit', ...counts(cases), time: '0' });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${head}>\n${suites.join('')}</testsuites>\n`;
}

function workloadCases({ workloads, findings, accepted }: AuditReport, placeOf: Audited['placeOf']): Case[] {
  const all = [...findings.map((finding) => ({ finding })), ...accepted];
  const objects = new Map(workloads.map((one) => [`${one.namespace}/${one.kind}/${one.name}`, one]));
  return [...objects.values()].flatMap(({ namespace, kind, name }) => {
    const own = all.filter(
      ({ finding: { where } }) => where.namespace === namespace && where.kind === kind && where.name === name,
    );
    const file = placeOf({ namespace, kind, name })?.file;
    const common = { suite: namespace, class: `${namespace}.${kind}`, ...(file !== undefined && { file }) };
    if (own.length === 0) return [{ ...common, name, outcome: { kind: 'passed' } }];
    return own.map((one): Case => {
      const { code, where } = one.finding;
      const { container } = where;
      const test = `${name}: ${code}${container === null ? '' : ` (${container})`}`;
      return Object.assign({ name: test, outcome: outcomeOf(one) }, common);
    });
  });
}

function outcomeOf({ finding, reason, expires }: { readonly finding: Finding } & Partial<AcceptedFinding>): Outcome {
  const { code, severity, what, why, change } = finding;
  if (reason !== undefined) {
    return { kind: 'skipped', message: `accepted${expires === null ? '' : ` (until ${expires})`}: ${reason}` };
  }
  const text = `${what}\n${why}\n${change}`;
  return severity === 'info' ? { kind: 'passed', text } : { kind: 'failure', type: code, message: what, text };
}

const unreadCases = ({ unreadable, gaps }: AuditReport): Case[] => [
  ...unreadable.map(({ image, platform, code, message, grant }): Case => {
    const outcome = { kind: 'skipped', message: `${code}: ${message}. ${grant}` } as const;
    return { suite: 'images that could not be read', class: platform, name: image, outcome };
  }),
  ...gaps.map(({ what, message, grant }): Case => {
    const outcome = { kind: 'skipped', message: `${message}. ${grant}` } as const;
    return { suite: 'what could not be read', class: 'cluster', name: what, outcome };
  }),
];

const counts = (cases: readonly Case[]): Record<string, string> => ({
  tests: String(cases.length),
  failures: String(cases.filter(({ outcome }) => outcome.kind === 'failure').length),
  errors: '0',
  skipped: String(cases.filter(({ outcome }) => outcome.kind === 'skipped').length),
});

function caseXml({ class: classname, name, file, outcome }: Case): string {
  const head = attributes({ classname, name, time: '0', ...(file !== undefined && { file }) });
  const body = outcomeXml(outcome);
  return body === '' ? `    <testcase ${head}/>\n` : `    <testcase ${head}>\n      ${body}\n    </testcase>\n`;
}

function outcomeXml(outcome: Outcome): string {
  if (outcome.kind === 'skipped') return `<skipped ${attributes({ message: outcome.message })}/>`;
  if (outcome.kind === 'passed')
    return outcome.text === undefined ? '' : `<system-out>${xml(outcome.text)}</system-out>`;
  const { type, message, text } = outcome;
  return `<failure ${attributes({ type, message })}>${xml(text)}</failure>`;
}

const attributes = (values: Readonly<Record<string, string>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}="${xml(value)}"`)
    .join(' ');

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** XML 1.0 has no place for most control characters, escaped or not: they are spelled out. */
const xml = (text: string): string =>
  text
    .split('\n')
    .map((line) => printable(line).replaceAll(/[&<>"]/g, (character) => ENTITIES[character] ?? ''))
    .join('\n');
