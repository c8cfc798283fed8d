type Json = Record<string, unknown>;

/** Returns the paths of a value and of everything in it. */
export const pathsIn = (value: unknown, path: readonly string[] = []): (readonly string[])[] =>
  typeof value === 'object' && value !== null
    ? [path, ...Object.entries(value).flatMap(([key, one]) => pathsIn(one, [...path, key]))]
    : [path];

/** Returns a copy of `root` with the value at `path` replaced, or deleted if `value` is undefined. Lists stay without holes. */
export function changed<T>(root: T, path: readonly string[], value: unknown): T {
  const copy = structuredClone(root);
  let parent = copy as Json;
  for (const key of path.slice(0, -1)) parent = parent[key] as Json;
  const last = path.at(-1) ?? '';
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return JSON.parse(JSON.stringify(copy)) as T;
}
