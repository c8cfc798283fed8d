/** YAML 1.1 ends lines at CR, NEL, LS and PS, too, and Kubernetes reads it so. YAML 1.2 and the `yaml` package know CR LF and LF alone. */
const OTHER_BREAKS = /\r(?!\n)|[\u0085\u2028\u2029]/g;

const BREAK = /\r\n|[\r\n\u0085\u2028\u2029]/g;

const SEPARATOR = /[\u2028\u2029]/;

/** Returns a text of the same length that ends its lines as the `yaml` package knows it. */
export const withLineFeeds = (text: string): string => text.replaceAll(OTHER_BREAKS, '\n');

/** Reports whether a text has LS or PS: a scalar keeps these where it would fold or normalise other line breaks. */
export const hasSeparator = (text: string): boolean => SEPARATOR.test(text);

/** Reports whether a text ends with a line break. */
export const endsLine = (text: string): boolean => /[\r\n\u0085\u2028\u2029]$/.test(text);

/**
 * Puts the separators of a literal block scalar (`|`) back into its value, given the scalar's source with its first line. Source:
 * `yaml_parser_scan_block_scalar` in goyaml.v2/scannerc.go of sigs.k8s.io/yaml.
 */
export function withSeparators(value: string, source: string): string {
  const [, ...breaks] = source.match(BREAK) ?? [];
  return value.replaceAll('\n', () => kept(breaks.shift() ?? '\n'));
}

const kept = (lineBreak: string, newline = '\n'): string => (hasSeparator(lineBreak) ? lineBreak : newline);

/** Begins at the first of several blanks: linear in time. */
const FOLDS = /(?<![ \t])[ \t]*(?:(?:\r\n|[\r\n\u0085\u2028\u2029])[ \t]*)+/g;
const ESCAPES_AND_FOLDS = new RegExp(String.raw`\\(?:\r\n|[^])|${FOLDS.source}`, 'g');

/**
 * Folds the lines of a plain or single-quoted scalar: a separator that ends a line stays, and so do empty lines behind it. Source:
 * `yaml_parser_scan_plain_scalar` and `yaml_parser_scan_flow_scalar` in goyaml.v2/scannerc.go of sigs.k8s.io/yaml.
 */
export const folded = (source: string): string => source.replaceAll(FOLDS, (blanks) => fold(blanks, '\n'));

/** Folds the lines of a double-quoted scalar as {@link folded}. Keeps escapes, and writes line ends as one. */
export const foldedWithEscapes = (source: string): string =>
  source.replaceAll(ESCAPES_AND_FOLDS, (found) => (found.startsWith('\\') ? found : fold(found, String.raw`\n`)));

function fold(blanks: string, newline: string): string {
  const [first = '', ...others] = (blanks.match(BREAK) ?? []).map((one) => kept(one, newline));
  if (first !== newline) return first + others.join('');
  return others.length === 0 ? ' ' : others.join('');
}
