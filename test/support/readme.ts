import { readFileSync } from 'node:fs';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/**
 * Returns the commands of a page's blocks of shell, one a line: without prompts and comments, lines that end in a backslash joined,
 * `one && two` as it is.
 */
export function commandsOf(text: string = README): string[] {
  return [...text.matchAll(/^```(?:sh|console)\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) =>
    block
      .replaceAll(/\\\n\s*/g, '')
      .split('\n')
      .map((line) => line.replace(/^\$ /, '').replace(/\s+#.*$/, ''))
      .filter((line) => line !== ''),
  );
}

/** How a command of README.md is tried, by its beginning. */
const TRIED_BY: readonly [command: RegExp, how: 'newcomer' | 'api-server' | 'shape'][] = [
  // test/newcomer runs it, as it is printed.
  [/^libc-dns /, 'newcomer'],
  [/^npm ci && npm run (package|demo)$/, 'newcomer'],
  [/^export PATH=/, 'newcomer'],
  // test/cluster/readme.test.ts runs it on a real API server.
  [/^helm install /, 'api-server'],
  [/^kubectl (create|label|apply) /, 'api-server'],
  [/^IMAGE=/, 'api-server'],
  // Needs a docker daemon or a kubelet, which are not here: test/unit/docs/readme.test.ts looks at its arguments. The cluster of
  // `npm run e2e` shows that the same chart gives such Pods such a resolv.conf.
  [/^(docker|kind) /, 'shape'],
  [/^kubectl (-n \S+ )?(rollout status|exec|get pods) /, 'shape'],
];

/** Returns how a command of README.md is tried; undefined if it is not. */
export const triedBy = (command: string): 'newcomer' | 'api-server' | 'shape' | undefined =>
  TRIED_BY.find(([begin]) => begin.test(command))?.[1];
