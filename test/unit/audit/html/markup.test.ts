import { describe, expect, it } from 'vitest';

import { instructionParts } from '../../../../src/audit/html/instruction.ts';
import { embeddedJson, html, NOTHING, trusted } from '../../../../src/audit/html/markup.ts';
import { isYaml, shown, shownLines } from '../../../../src/audit/html/text.ts';

describe('markup', () => {
  it.each([
    ['<b>', '&lt;b&gt;'],
    ['&lt;', '&amp;lt;'],
    [`"'`, '&quot;&#39;'],
    ['plain', 'plain'],
  ])('escapes %s as text and as an attribute', (text, escaped) => {
    expect(html`<p title="${text}">${text}</p>`.markup).toBe(`<p title="${escaped}">${escaped}</p>`);
  });

  it('keeps markup, lists of it and numbers as they are', () => {
    const items = [html`<li>${1}</li>`, html`<li>${'<'}</li>`];
    const made =
      html`<ul>
        ${items}${NOTHING}
      </ul>`.markup + html`${trusted('<hr>')}`.markup;
    expect(made.replaceAll(/\s/g, '')).toBe('<ul><li>1</li><li>&lt;</li></ul><hr>');
  });

  it('embeds JSON that cannot end its element, and reads the same', () => {
    const value = { '</script>': '<!-- & \u2028 \u2029 "\\' };
    const text = embeddedJson(value);
    expect(text).not.toMatch(/[<>&\u2028\u2029]/);
    expect(JSON.parse(text)).toEqual(value);
  });
});

describe("somebody else's text", () => {
  it.each([
    ['api.example', 'api.example'],
    ['\u001b[31mred\u0007', '\\u{1b}[31mred\\u{7}'],
    ['a\u202egnp.exe', 'a\\u{202e}gnp.exe'],
    ['two\nlines', 'two\\u{a}lines'],
    ['\u2028\u200b\ufeff', '\\u{2028}\\u{200b}\\u{feff}'],
    ['half \ud83d of a pair', 'half \ufffd of a pair'],
    ['schön 日本 🦀', 'schön 日本 🦀'],
  ])('%j is shown as %j', (text, expected) => {
    expect(shown(text)).toBe(expected);
  });

  it('is cut, and says how long it was', () => {
    expect(shown('x'.repeat(10_000), 3)).toBe('xxx… (10000 characters)');
    expect(shown('x'.repeat(500))).toBe('x'.repeat(500));
    expect(shown('🦀🦀', 1)).toBe('\ufffd… (4 characters)');
  });

  it('keeps its lines where it has several, up to 200', () => {
    expect(shownLines('a: 1\r\nb: \u0000')).toBe('a: 1\nb: \\u{0}');
    expect(shownLines('x\n'.repeat(100_000)).split('\n')).toHaveLength(200);
  });

  it.each([
    ['metadata:\n  name: x', true],
    ['kubectl get pods', false],
    ['First.\nSecond.', false],
  ])('%j is YAML: %s', (text, expected) => {
    expect(isYaml(text)).toBe(expected);
  });
});

describe('an instruction', () => {
  const commands = (text: string): string[] =>
    instructionParts(text).flatMap((part) => (part.isCommand ? [part.text] : []));

  it.each<[string, string[]]>([
    ['kubectl -n shop rollout restart deployment/web', ['kubectl -n shop rollout restart deployment/web']],
    [
      'Begin with a namespace: kubectl label namespace shop libc-dns.dev/mode=audit',
      ['kubectl label namespace shop libc-dns.dev/mode=audit'],
    ],
    [
      "Begin with a namespace: kubectl label namespace 'a (b); x' libc-dns.dev/mode=audit",
      ["kubectl label namespace 'a (b); x' libc-dns.dev/mode=audit"],
    ],
    ['Log in (docker login ghcr.io) before the audit; or say it.', ['docker login ghcr.io']],
    ['Remove timeout in spec.dnsConfig of Deployment shop/kubectl web.', []],
    ['Write a valid value, or remove it.', []],
  ])('has its commands apart from its words: %s', (text, expected) => {
    expect(commands(text)).toEqual(expected);
    expect(
      instructionParts(text)
        .map((part) => part.text)
        .join(''),
    ).toBe(text);
  });
});
