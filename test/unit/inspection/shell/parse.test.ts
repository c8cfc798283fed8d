import { describe, expect, it } from 'vitest';

import { parseShell, splitWords } from '../../../../src/inspection/shell/parse.ts';
import type { Command, Commands, Part, Word } from '../../../../src/inspection/shell/syntax.ts';

/** A tree as a short text: `(if a (then b) c)`. */
const shown = (commands: Commands): string => commands.map(one).join('; ');
const words = (list: readonly Word[]): string => list.map(word).join(' ');
const word = (parts: Word): string => parts.map(part).join('');

function part(given: Part): string {
  switch (given.kind) {
    case 'text':
      return given.quoted && given.text !== '' ? `'${given.text}'` : given.text;
    case 'parameter': {
      const { name, prefix, index, operator, argument } = given;
      return `\${${prefix}${name}${index === undefined ? '' : `[${word(index)}]`}${operator}${word(argument)}}`;
    }
    case 'command':
      return `$(${shown(given.body)})`;
    case 'arithmetic':
      return `$((${word(given.text)}))`;
    case 'array':
      return `[${words(given.words)}]`;
    default:
      return `<(${shown(given.body)})`;
  }
}

type Shown<Kind extends Command['kind']> = (command: Extract<Command, { kind: Kind }>) => string;

const shownByKind: { readonly [Kind in Command['kind']]: Shown<Kind> } = {
  simple: (command) =>
    [
      ...command.assignments.map(({ name, append, value }) => `${name}${append ? '+' : ''}=${word(value)}`),
      ...command.words.map(word),
      ...command.redirects.map(({ operator, target }) => `${operator}${word(target)}`),
    ].join(' '),
  pipeline: ({ negated, commands }) => `(${negated ? '! ' : ''}${commands.map(one).join(' | ')})`,
  'and-or': ({ left, operator, right }) => `(${one(left)} ${operator} ${one(right)})`,
  background: ({ command }) => `${one(command)} &`,
  group: ({ body, redirects }) =>
    `{${shown(body)}}${redirects.map(({ operator, target }) => operator + word(target)).join('')}`,
  subshell: ({ body }) => `(sub ${shown(body)})`,
  if: ({ branches, otherwise }) =>
    `(if ${branches.map(({ condition, body }) => `${shown(condition)} ? ${shown(body)}`).join(' : ')} : ${shown(otherwise)})`,
  loop: ({ until, condition, body }) => `(${until ? 'until' : 'while'} ${shown(condition)} do ${shown(body)})`,
  for: ({ name, words: list, body }) => `(for ${name} in ${list === undefined ? '@' : words(list)} do ${shown(body)})`,
  counting: ({ body }) => `(count do ${shown(body)})`,
  case: ({ subject, arms }) =>
    `(case ${word(subject)} ${arms.map(({ patterns, body, end }) => `[${words(patterns)}] ${shown(body)} ${end}`).join(' ')})`,
  function: ({ name, body }) => `(fn ${name} ${one(body)})`,
  test: ({ words: tokens }) =>
    `[[${tokens.map((token) => ('operator' in token ? token.operator : word(token.word))).join(' ')}]]`,
  arithmetic: ({ text }) => `((${word(text)}))`,
};

const one = (command: Command): string => (shownByKind[command.kind] as Shown<Command['kind']>)(command);

describe('a shell text is read as its grammar says', () => {
  it.each([
    ['a b  c # d', 'a b c'],
    ['a; b\nc & d', 'a; b; c &; d'],
    ['a && b || c\n&& d', undefined],
    ['a && b ||\n c', '((a && b) || c)'],
    ['! a | b |& c', '(! a | b | c)'],
    ["A=1 B+='x y' c", "A=1 B+='x y' c"],
    ['a=(1 "2 3" $x) b', "a=[1 '2 3' ${x}] b"],
    ['local -a x=(1 2)', 'local -a x=[1 2]'],
    ['a >x 2>&1 <<<"$y"', 'a >x >&1 <<<${y}'],
    ['a \\\n b', 'a b'],
    ['if a; then b; elif c; then d; else e; fi', '(if a ? b : c ? d : e)'],
    ['if a\nthen\nb\nfi >x', '{(if a ? b : )}>x'],
    ['while a; do b; done; until c; do d; done', '(while a do b); (until c do d)'],
    ['for x in 1 "$@"; do a; done', '(for x in 1 ${@} do a)'],
    ['for x; do a; done; for y do b; done', '(for x in @ do a); (for y in @ do b)'],
    ['for ((i=0; i<3; i++)); do a; done', '(count do a)'],
    ['select x in a b; do c; done', '(for x in a b do c)'],
    ['case $1 in a|"b") c;; (*) d; esac', "(case ${1} [a 'b'] c ;; [*] d ;;)"],
    ['case x in a) b;& c) d;;& e) ;; esac', '(case x [a] b ;& [c] d ;;& [e]  ;;)'],
    ['f() { a; }; function g { b; }; h () ( c )', '(fn f {a}); (fn g {b}); (fn h (sub c))'],
    ['( a; b ) && { c; }', '((sub a; b) && {c})'],
    ['[[ $a == b* && ! -f /x || $c =~ ^(a|b)$ ]]', '[[${a} == b* && ! -f /x || ${c} =~ ^(a|b)$]]'],
    ['(( a > 1 )) && b', "(((' a > 1 ')) && b)"],
    ['((a); b)', '(sub (sub a); b)'],
    ['echo $((1 + (2)))', "echo $(('1 + ''(''2'')'))"],
    ['echo $(a "$(b)" `c \\`d\\``)', 'echo $(a $(b) $(c $(d)))'],
    ['echo $(case x in a) b;; esac)', 'echo $((case x [a] b ;;))'],
    ['echo ${a} ${#b} ${!c} ${d:-e f} ${g##*/} ${h/x/y} ${i:0:1} ${j[@]} ${k[1]} ${l^^}', undefined],
    ['echo "${a:-"b c"}" ${d:+\'e\'}', "echo ${a:-'b c'} ${d:+'e'}"],
    ['cat <<EOF; b\n$x and `y`\nEOF\nc', "cat <<${x}' and '$(y)'\n'; b; c"],
    ["cat <<'EOF'\n$x\nEOF\nc", "cat <<'$x\n'; c"],
    ['cat <<-E\n\tx\n\tE\nc', "cat <<-'x\n'; c"],
    ['a <(b) >(c; d)', 'a <(b) <(c; d)'],
    ['echo $\'a\\nb\' $"c"', "echo 'a\nb' 'c'"],
    ['echo a#b "#" \\#', "echo a#b '#' '#'"],
    ['time -p a', 'a'],
    ['{ a; } 2>&1 | b', '({a}>&1 | b)'],
    ['exec 3<>/dev/tcp/x/1', 'exec <>/dev/tcp/x/1'],
    ['case a in @(x|y)) b;; esac', '(case a [@(x|y)] b ;;)'],
    ['echo {a,b} fi done', 'echo {a,b} fi done'],
    ['a() if b; then c; fi', '(fn a (if b ? c : ))'],
  ])('%j', (text, expected) => {
    const { commands, broken } = parseShell(text);
    if (expected === undefined) expect(broken === undefined).toBe(text.startsWith('echo'));
    else expect({ tree: shown(commands), broken }).toEqual({ tree: expected, broken: undefined });
  });

  it.each([
    ['a; if b', 'a', 'then expected'],
    ['a\nb "c', 'a', '" expected'],
    ['a\n)', 'a', 'a command is expected'],
    ['a b (', 'a b', 'unexpected "("'],
    ['a\nb $(c', 'a', ') expected'],
    ['a\nb ${c', 'a', '} expected'],
    ['a\nfoo=(b', 'a', ') expected'],
    ['a\n;;', 'a', 'a command is expected'],
  ])('%j is read as far as it is a shell text', (text, tree, why) => {
    const { commands, broken } = parseShell(text);
    expect({ tree: shown(commands), broken }).toEqual({ tree, broken: why });
  });

  it('no text can pass for what is not known', () => {
    expect(shown(parseShell('a\0 \u0001').commands)).toBe('a? ?');
  });

  it.each([
    [`a 'b c' "d"`, ['a', 'b c', 'd']],
    ['A=1 b', ['A=1', 'b']],
    ['a ; b', ['a', ';', 'b']],
  ])('%j is split as `env -S` splits it', (text, expected) => {
    expect(splitWords(text)).toEqual(expected);
  });
});

describe('hostile texts', () => {
  // Time that grew with the square would be minutes.
  it.each([
    '"',
    '${',
    "'",
    '\\"',
    '"\\',
    '$(',
    '`',
    'exec ',
    '"$@" ',
    '{ ',
    '# ',
    '<',
    '2>',
    '((',
    '$((',
    '<<E\n',
    'if ',
    'a(',
    '@(',
    '[[ ',
    'case ',
    '${a:-',
    '=~',
  ])('128 KiB of %j are read ten times', (piece) => {
    const text = piece.repeat(131_072 / piece.length);
    const started = performance.now();
    for (let round = 0; round < 10; round += 1) expect(parseShell(text)).toHaveProperty('commands');
    expect(performance.now() - started).toBeLessThan(3000);
  });
});
