/** Safe HTML: untrusted parts are escaped. Only {@link html} and {@link trusted} create it. */
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
 * Template tag for HTML. Escapes text for element content and quoted attributes (HTML Standard, 13.3); inserts markup unchanged.
 * Never put text into unquoted attributes, scripts or styles: the escaping is not safe there.
 */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return { markup: strings.reduce((text, string, index) => text + rendered(parts[index - 1] ?? '') + string) };
}

/** Marks text of our own as safe HTML. */
export const trusted = (markup: string): Markup => ({ markup });

export const NOTHING: Markup = trusted('');

const unicodeEscape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * Returns JSON for a `<script type="application/json">`. Escapes the characters that could end the element, and those that older
 * parsers take as line ends.
 */
export function embeddedJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[<>&\u2028\u2029]/g, unicodeEscape);
}
