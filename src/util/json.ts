/** A JSON object, whose fields may hold anything. */
export type Json = Readonly<Record<string, unknown>>;

/** Reports whether `value` is an object and no list. */
export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Returns `value` if it is an object, else an empty one. */
export const asObject = (value: unknown): Json => (isObject(value) ? value : {});

/** Returns `value` if it is a string, else an empty one. */
export const asText = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Returns the object at `path`, from `value` on; an empty one if there is none. */
export function objectAt(value: unknown, path: readonly string[]): Json {
  let node = asObject(value);
  for (const key of path) node = asObject(node[key]);
  return node;
}

/** For `JSON.stringify`: writes bigints, whole numbers that a float does not hold, as numbers. */
export const bigIntegers = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value)) : value;
