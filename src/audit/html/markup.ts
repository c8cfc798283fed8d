/** HTML whose parts from elsewhere are escaped. Only {@link html} and {@link trusted} make it. */
export interface Markup {
  readonly markup: string;
}

type Part = string | number | Markup | readonly Markup[];

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? '');

function rendered(part: Part): string {
  if (typeof part === 'string') return escaped(part);
  if (typeof part === 'number') return String(part);
  return 'markup' in part ? part.markup : part.map(({ markup }) => markup).join('');
}

/**
 * A template of HTML: text is escaped for elements and for quoted attributes (HTML Standard, 13.3), markup stands as it is. A place
 * without quotes around it, or inside a script or style, is not safe for text.
 */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return { markup: strings.reduce((text, string, index) => text + rendered(parts[index - 1] ?? '') + string) };
}

/** Markup from a text of our own. */
export const trusted = (markup: string): Markup => ({ markup });

export const NOTHING: Markup = trusted('');

const unicodeEscape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * A value as JSON for a `<script type="application/json">`: what could end the element, or the line in an older parser, is written
 * as an escape.
 */
export function embeddedJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[<>&\u2028\u2029]/g, unicodeEscape);
}
