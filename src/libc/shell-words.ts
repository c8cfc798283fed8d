const maxText = 64 * 1024;
const maxTokens = 8192;

export interface ShellToken {
  readonly kind: 'word' | 'operator';
  /** Quotes removed; `$` expressions are kept as they are and listed in order in `expansions`. */
  readonly text: string;
  /** The word is `"$@"` or `$@`, alone. */
  readonly allArguments: boolean;
  /** It has a `$(...)` or a backtick in it, whose value only the shell knows. */
  readonly computed: boolean;
}

/**
 * Cuts a shell text into words and operators (POSIX.1-2024 XCU 2.3, as far as simple commands need). Here-documents,
 * functions and nested substitutions are not understood: their words come out as words. Linear in the text.
 */
export function tokenize(source: string): readonly ShellToken[] {
  const text = source.slice(0, maxText);
  const tokens: ShellToken[] = [];
  // Comment, operator, or a word made of quoted and plain pieces.
  const pattern =
    /[ \t]+|\\\n|#[^\n]*|(?<operator>&&|\|\||;;|[;&|\n()])|\d?(?:>>|<<|[<>])&?[ \t]*[^\s;&|]*|(?<word>(?:\\[\s\S]|'[^']*'|"(?:\\[\s\S]|[^"\\])*"|\$\{[^}\n]{0,256}\}|[^\s;&|()<>"'\\])+)|(?<stray>[\s\S])/gu;
  for (const match of text.matchAll(pattern)) {
    if (tokens.length >= maxTokens) break;
    const { operator, word, stray } = match.groups ?? {};
    if (word !== undefined) tokens.push(wordToken(word));
    else if (operator !== undefined || stray !== undefined) {
      tokens.push({ kind: 'operator', text: operator ?? stray ?? '', allArguments: false, computed: false });
    }
  }
  return tokens;
}

/** Splits words as a shell does, without expansion: for `env -S`. */
export function splitWords(text: string): readonly string[] {
  return tokenize(text)
    .filter(({ kind }) => kind === 'word')
    .map(({ text: word }) => word);
}

/** Replaces `$NAME`, `${NAME}` and `${NAME:-default}`; undefined where a name is not known. */
export function expandWord(word: string, env: ReadonlyMap<string, string>): string | undefined {
  let known = true;
  const expanded = word.replaceAll(
    /\$(?:(?<plain>\w+)|\{(?<name>\w+)(?::?-(?<fallback>[^}]*))?\})/gu,
    (_whole, plain: string | undefined, name: string | undefined, fallback: string | undefined) => {
      const value = env.get(plain ?? name ?? '');
      if (value !== undefined && value !== '') return value;
      if (fallback === undefined) known = false;
      return fallback ?? '';
    },
  );
  return known && !expanded.includes('$') ? expanded : undefined;
}

function wordToken(raw: string): ShellToken {
  const text = raw.replaceAll(
    /'(?<literal>[^']*)'|\\(?<escaped>[\s\S])|"/gu,
    (_whole, literal?: string, escaped?: string) => (escaped === '\n' ? '' : (literal ?? escaped ?? '')),
  );
  return {
    kind: 'word',
    text,
    allArguments: raw === '"$@"' || raw === '$@' || raw === '"${@}"' || raw === '$*',
    computed: /\$\(|`/u.test(raw),
  };
}
