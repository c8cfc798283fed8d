import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { cli } from '../../support/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'libc-dns-completion-'));
const script = (shell: string): string => join(folder, shell);

beforeAll(async () => {
  writeFileSync(join(folder, 'manifest.yaml'), '');
  for (const shell of ['bash', 'zsh', 'fish']) {
    writeFileSync(script(shell), (await cli(['completion', shell])).out);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

function hasShell(shell: string): boolean {
  const found = spawnSync(shell, ['--version']).status === 0;
  if (!found) console.error(`\n!! THE COMPLETION OF ${shell} WAS NOT TESTED: apt-get install ${shell}\n`);
  return found;
}

/** What each line, of words and of what is typed so far, is completed to. */
const LINES: readonly [line: string[], expected: string[]][] = [
  [['do'], ['doctor']],
  [['detect', '--plat'], ['--platform']],
  [
    ['detect', '-o', ''],
    ['json', 'table', 'yaml'],
  ],
  [['inject', '--output', 'd'], ['diff']],
  [['serve', '--namespace-mode', 'e'], ['enforce']],
  [['completion', 'z'], ['zsh']],
  [['explain', '-f', 'mani'], ['manifest.yaml']],
];

describe.runIf(hasShell('bash'))('bash', () => {
  /** As readline does: the function, then files where it gives nothing. */
  const complete = (words: readonly string[]): string[] => {
    const list = ['libc-dns', ...words].map((word) => `'${word}'`).join(' ');
    const current = words.at(-1) ?? '';
    const out = execFileSync(
      'bash',
      [
        '--norc',
        '-c',
        `source ${script('bash')}; COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _libc_dns
         printf '%s\\n' "\${COMPREPLY[@]:-$(compgen -o default -- '${current}')}"; complete -p libc-dns`,
      ],
      { cwd: folder, encoding: 'utf8' },
    );
    const lines = out.trim().split('\n');
    expect(lines.pop()).toBe('complete -o default -F _libc_dns libc-dns');
    return lines.toSorted();
  };

  it.each(LINES)('completes %j to %j', (words, expected) => {
    expect(complete(words)).toEqual(expected);
  });

  it('completes what readline cuts at an equals sign', () => {
    expect(complete(['detect', '--output', '=', 't'])).toEqual(['table']);
    expect(complete(['detect', '--output', '='])).toEqual(['json', 'table', 'yaml']);
  });

  it('offers all commands, and only the flags of the one that is typed', () => {
    expect(complete([''])).toEqual(
      expect.arrayContaining(['audit', 'config', 'detect', 'doctor', 'explain', 'inject']),
    );
    expect(complete(['completion', '-'])).toEqual(['--help', '-h']);
  });
});

describe.runIf(hasShell('fish'))('fish', () => {
  it.each(LINES)('completes %j to %j', (words, expected) => {
    const line = ['libc-dns', ...words].join(' ');
    const command = `source ${script('fish')}; complete --do-complete '${line}'`;
    const out = execFileSync('fish', ['--no-config', '-c', command], { cwd: folder, encoding: 'utf8' });
    const offered = out.split('\n').flatMap((each) => each.split('\t', 1)[0] || []);
    expect(offered.toSorted()).toEqual(expected);
  });
});

describe.runIf(hasShell('zsh'))('zsh', () => {
  /** Types into a shell on a terminal of its own, with Tab: what it inserts is what it has completed. */
  const typed = (line: string): string => {
    const program = [
      'zmodload zsh/zpty',
      'zpty shell zsh -f -i',
      String.raw`zpty -w shell "PS1='> '; autoload -Uz compinit; compinit -u -d ${folder}/dump; source ${script('zsh')}; libc-dns() { print -r -- \"[\$*]\"; }; print rea''dy"`,
      "zpty -r shell seen '*ready*'",
      `zpty -w -n shell $'libc-dns ${line}\\t\\n'`,
      "zpty -r shell seen '*\\[*\\]*'",
      'print -r -- "$seen"',
    ].join('\n');
    const out = execFileSync('zsh', ['-f', '-c', program], { cwd: folder, encoding: 'utf8', timeout: 20_000 });
    return /\[(.*?)\s*\]/.exec(out.slice(out.lastIndexOf('[')))?.[1] ?? out;
  };

  it.each(LINES.filter(([, expected]) => expected.length === 1))('completes %j to %j', (words, [expected]) => {
    expect(typed(words.join(' '))).toBe([...words.slice(0, -1), expected].join(' '));
  });
});
