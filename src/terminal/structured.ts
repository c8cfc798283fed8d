import { Document, isScalar, visit } from 'yaml';

import { jsonText } from '../util/text.ts';

/** The formats for programs. */
export type Structured = 'json' | 'yaml';

/** Formats a value for programs, without characters that a terminal would act on: what is parsed from it stays the same. */
export const structuredText = (value: unknown, format: Structured): string =>
  format === 'json' ? jsonText(value) : yamlText(value);

/** Long lines are not folded: what is copied from them stays whole. */
function yamlText(value: unknown): string {
  // Without `undefined`, and with the bare values of objects that JSON writes in its own way.
  const document = new Document(JSON.parse(jsonText(value)) as unknown, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_, node) {
      if (typeof node.value === 'string' && isHidden(node.value)) node.type = 'QUOTE_DOUBLE';
    },
    Pair(_, { key }) {
      if (isScalar(key) && isHidden(String(key.value))) key.type = 'QUOTE_DOUBLE';
    },
  });
  return document.toString({ lineWidth: 0 }).replaceAll(HIDDEN, escaped);
}

/** All of these stand in double quotes: see above. */
const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

const isHidden = (text: string): boolean => text.search(HIDDEN) !== -1;

const escaped = (character: string): string => `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, '0')}`;
