import { createTwoFilesPatch } from 'diff';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { CHART, renderText } from './helm.ts';
import { withoutHelmsOwn } from './manifests.ts';

/** The values files of ci/: `cert-manager` to its path. */
export const CI_VALUES: ReadonlyMap<string, string> = new Map(
  readdirSync(join(CHART, 'ci'))
    .filter((file) => file.endsWith('-values.yaml'))
    .map((file) => [file.replace(/-values\.yaml$/, ''), join(CHART, 'ci', file)]),
);

/** What `everything` renders is for schemas, not for eyes: its release has another name, so that every line differs. */
const UNREAD = ['default', 'everything'];

const render = (file: string): string => withoutHelmsOwn(renderText([], ['--values', file, '--skip-tests']));

/** What each values file changes in what the chart gives by default: path from the project's folder on, and a unified diff. */
export function renderGolden(): Map<string, string> {
  const base = renderText([], ['--skip-tests']);
  const golden = new Map<string, string>();
  for (const [name, file] of CI_VALUES) {
    if (UNREAD.includes(name)) continue;
    const patch = createTwoFilesPatch('default', name, withoutHelmsOwn(base), render(file), '', '', { context: 2 });
    golden.set(`test/fixtures/chart/${name}.diff`, patch);
  }
  return golden;
}
