import { createHash } from 'node:crypto';

import { jsonText } from '../../util/text.ts';
import type { Audited } from '../read.ts';
import type { AcceptedFinding, AuditReport, Finding, Severity } from '../report/report.ts';

const SITE = 'https://github.com/libc-dns/libc-dns-webhook';

const LEVELS: Readonly<Record<Severity, 'error' | 'warning' | 'note'>> = {
  error: 'error',
  warning: 'warning',
  info: 'note',
};

/**
 * Formats the findings as a SARIF 2.1.0 log (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), as GitHub's code scanning and other viewers
 * read it. Accepted findings are suppressed results; what could not be read is a notification of the run.
 */
export function auditSarif({ report, placeOf }: Audited): string {
  const all = [...report.findings.map((finding) => ({ finding })), ...report.accepted];
  const rules = [...new Map(all.map(({ finding }) => [finding.code, finding])).values()];
  const run = {
    tool: {
      driver: {
        name: 'libc-dns',
        semanticVersion: report.version,
        informationUri: SITE,
        rules: rules.map(({ code, why, severity }) => ({
          id: code,
          shortDescription: { text: code },
          fullDescription: { text: why },
          helpUri: `${SITE}/blob/main/docs/audit.md#findings`,
          defaultConfiguration: { level: LEVELS[severity] },
        })),
      },
    },
    automationDetails: { id: `libc-dns/audit/${report.source.kind}/` },
    invocations: [
      { executionSuccessful: true, endTimeUtc: report.generatedAt, toolExecutionNotifications: notifications(report) },
    ],
    results: all.map((one) => result(one, placeOf)),
    columnKind: 'utf16CodeUnits',
  };
  const $schema = 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json';
  return jsonText({ $schema, version: '2.1.0', runs: [run] });
}

function result(
  { finding, reason }: { readonly finding: Finding } & Partial<AcceptedFinding>,
  placeOf: Audited['placeOf'],
): Record<string, unknown> {
  const { code, severity, where, what, why, change } = finding;
  const { namespace, kind, name, container } = where;
  const object = `${namespace}/${kind}/${name}`;
  const place = placeOf(where);
  const key = [code, namespace, kind, name, container ?? ''].join('\0');
  return {
    ruleId: code,
    level: LEVELS[severity],
    message: { text: `${object}${container === null ? '' : `, container ${container}`}: ${what} ${why} ${change}` },
    locations: [
      {
        // GitHub shows no result without a file; an object of a cluster has none but its name.
        physicalLocation: {
          artifactLocation: { uri: uriOf(place?.file ?? object) },
          region: { startLine: place?.line ?? 1 },
        },
        logicalLocations: [{ name, fullyQualifiedName: object, kind: 'resource' }],
      },
    ],
    partialFingerprints: { 'finding/v1': createHash('sha256').update(key).digest('hex') },
    ...(reason !== undefined && {
      suppressions: [{ kind: 'external', status: 'accepted', justification: reason }],
    }),
  };
}

/** Relative paths stay relative: viewers look for them from the root of the repository on. */
const uriOf = (path: string): string =>
  `${path.startsWith('/') ? 'file://' : ''}${path
    .replace(/^(?:\.\/)+/, '')
    .split('/')
    .map(encodeURIComponent)
    .join('/')}`;

function notifications({ gaps, unreadable }: AuditReport): object[] {
  const texts = [
    ...gaps.map(({ what, message, grant }) => `${what} could not be read: ${message}. ${grant}`),
    ...unreadable.map(
      ({ image, platform, code, message, grant }) => `${image} (${platform}): ${code}: ${message}. ${grant}`,
    ),
  ];
  return texts.map((text) => ({ level: 'warning', message: { text } }));
}
