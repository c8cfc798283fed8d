type Json = Record<string, unknown>;

/** The paths of a value and of all that it holds. */
export const pathsIn = (value: unknown, path: readonly string[] = []): (readonly string[])[] =>
  typeof value === 'object' && value !== null
    ? [path, ...Object.entries(value).flatMap(([key, one]) => pathsIn(one, [...path, key]))]
    : [path];

/** What stands at a path of `root`, replaced; deleted where `value` is undefined. As JSON has it: lists have no holes. */
export function changed<T>(root: T, path: readonly string[], value: unknown): T {
  const copy = structuredClone(root);
  let parent = copy as Json;
  for (const key of path.slice(0, -1)) parent = parent[key] as Json;
  const last = path.at(-1) ?? '';
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return JSON.parse(JSON.stringify(copy)) as T;
}
