import { parse } from 'yaml';
import { z } from 'zod';

import { nearest } from '../../config/options.ts';
import { CommandError } from '../../terminal/io.ts';
import { plainMessage } from '../../util/expectation.ts';
import { counted as numbered, messageOf } from '../../util/text.ts';
import { type AcceptedFinding, type Finding, FINDING_CODES } from '../report/report.ts';

const text = z.string().trim().min(1);
const entrySchema = z.strictObject({
  code: z.enum(FINDING_CODES, {
    error: ({ input }) => {
      const near = nearest(String(input), FINDING_CODES);
      return `there is no finding ${String(input)}${near === undefined ? ': docs/audit.md lists them' : `; did you mean ${near}?`}`;
    },
  }),
  namespace: text.optional(),
  kind: text.optional(),
  name: text.optional(),
  container: text.optional(),
  reason: text,
  expires: z.iso.date({ error: 'expected a day, 2027-03-31 for example' }).optional(),
});
const fileSchema = z.strictObject({
  apiVersion: z.literal('audit.libc-dns.dev/v1').optional(),
  kind: z.literal('AcceptedFindings').optional(),
  accepted: z.array(entrySchema).max(10_000),
});

/** A finding that somebody accepts: of all places that the entry names; what it leaves out may be anything. */
type Entry = z.infer<typeof entrySchema>;

/** The entries of a file of accepted findings. */
export interface Accepted {
  readonly file: string;
  readonly entries: readonly Entry[];
}

/** Reads a file of accepted findings. Throws a `CommandError` (usage) that names each entry that is not valid, by its place from 1. */
export function parseAccepted(file: string, yaml: string): Accepted {
  const { data, error } = fileSchema.safeParse(valueOf(file, yaml), { error: plainMessage });
  if (data !== undefined) return { file, entries: data.accepted };
  const problems = error.issues.map(({ path, message }) => {
    const [, index, key] = path;
    const place =
      typeof index === 'number' ? `entry ${index + 1}${key === undefined ? '' : `, ${String(key)}`}` : path.join('.');
    return `  ${place === '' ? '' : `${place}: `}${message}`;
  });
  throw new CommandError(
    'usage',
    `${file}: not a valid file of accepted findings (docs/audit.md):\n${problems.join('\n')}`,
    { cause: error },
  );
}

function valueOf(file: string, yaml: string): unknown {
  try {
    return parse(yaml, { prettyErrors: false });
  } catch (error) {
    throw new CommandError('usage', `${file} is not YAML: ${messageOf(error)}`, { cause: error });
  }
}

interface Judged {
  /** Accepted by no entry, or by one that has expired. */
  readonly counted: readonly Finding[];
  readonly accepted: readonly AcceptedFinding[];
}

/** Tells accepted findings from those that count. An entry holds to the end of its day, UTC. */
export function judgeAccepted(findings: readonly Finding[], { entries }: Accepted, now: Date): Judged {
  const valid = entries.filter((entry) => !isExpired(entry, now));
  const counted: Finding[] = [];
  const accepted: AcceptedFinding[] = [];
  for (const finding of findings) {
    const entry = valid.find((one) => matches(one, finding));
    if (entry === undefined) counted.push(finding);
    else accepted.push({ finding, reason: entry.reason, expires: entry.expires ?? null });
  }
  return { counted, accepted };
}

const isExpired = ({ expires }: Entry, now: Date): boolean =>
  expires !== undefined && now.toISOString().slice(0, 10) > expires;

const matches = ({ code, namespace, kind, name, container }: Entry, { code: found, where }: Finding): boolean =>
  code === found &&
  (namespace ?? where.namespace) === where.namespace &&
  (kind ?? where.kind) === where.kind &&
  (name ?? where.name) === where.name &&
  (container ?? where.container) === where.container;

/** Names the entries that have expired, and those that no finding matches. Of other namespances than were looked at nothing is known. */
export function acceptedWarnings(
  { file, entries }: Accepted,
  {
    findings,
    namespaces,
    now,
  }: { readonly findings: readonly Finding[]; readonly namespaces: readonly string[]; readonly now: Date },
): string[] {
  return entries.flatMap((entry, index) => {
    const { code, namespace } = entry;
    if (namespace !== undefined && namespaces.length > 0 && !namespaces.includes(namespace)) return [];
    const found = findings.filter((finding) => matches(entry, finding)).length;
    const where = `${file}: entry ${index + 1} (${code})`;
    if (found === 0) return [`${where} matches nothing: remove it`];
    return isExpired(entry, now) ? [`${where} expired on ${entry.expires}: ${numbered(found, 'finding')} again`] : [];
  });
}
