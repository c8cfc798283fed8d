import type { BuiltImage } from './inspect-image.ts';

/** All that is in the image besides its base, as tar lists it: nobody who runs it can change it. */
export const FILES: readonly string[] = [
  'drwxr-xr-x 0/0 app/',
  '-rw-r--r-- 0/0 app/LICENSE',
  '-rw-r--r-- 0/0 app/THIRD-PARTY-NOTICES.txt',
  '-rwxr-xr-x 0/0 app/main.js',
  '-rwxr-xr-x 0/0 app/otlp.js',
  '-rw-r--r-- 0/0 app/package.json',
  '-rwxr-xr-x 0/0 app/reader.js',
];

/** Node's flags. */
const FLAGS = ['--initial-old-space-size=32'] as const;

const LABELS: Readonly<Record<string, RegExp>> = {
  'org.opencontainers.image.title': /^libc-dns-webhook$/,
  'org.opencontainers.image.description': /^.{20,}$/,
  'org.opencontainers.image.licenses': /^Apache-2\.0$/,
};

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** What is wrong with how the image starts. */
export function configProblems({ config: { config } }: BuiltImage): string[] {
  const { User = '', Entrypoint = [], Cmd = [], WorkingDir = '', Labels = {}, ExposedPorts = {} } = config;
  const wrong: string[] = [];
  if (!/^[1-9]\d*(:[1-9]\d*)?$/.test(User)) wrong.push(`user ${JSON.stringify(User)}: expected numbers other than 0`);
  if (!same(Entrypoint, ['/nodejs/bin/node', ...FLAGS, '/app/main.js'])) {
    wrong.push(`entry point ${JSON.stringify(Entrypoint)}: expected /app/main.js in Node with ${FLAGS.join(' ')}`);
  }
  if (!same(Cmd, ['serve'])) wrong.push(`command ${JSON.stringify(Cmd)}: expected serve`);
  if (WorkingDir !== '/app') wrong.push(`working directory ${WorkingDir}: expected /app`);
  if (!same(Object.keys(ExposedPorts).toSorted(), ['10250/tcp', '9402/tcp'])) {
    wrong.push(`ports ${Object.keys(ExposedPorts).join(', ')}: expected 10250 and 9402`);
  }
  return [...wrong, ...labelProblems(Labels)];
}

function labelProblems(labels: Readonly<Record<string, string>>): string[] {
  const wrong = Object.entries(LABELS).filter(([name, expected]) => !expected.test(labels[name] ?? ''));
  return wrong.map(([name]) => `label ${name} is ${JSON.stringify(labels[name])}`);
}

/** What is in the image's own layers and should not be, or the other way round. */
export function fileProblems(entries: readonly string[]): string[] {
  const strangers = entries.filter((entry) => !FILES.includes(entry)).map((entry) => `not expected: ${entry}`);
  const missing = FILES.filter((entry) => !entries.includes(entry)).map((entry) => `missing: ${entry}`);
  return [...strangers, ...missing];
}
