/** A part of a body that may hold anything. */
export type Json = Readonly<Record<string, unknown>>;

/** Lists are objects too. */
export const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null;

/** An empty object for what is none. */
export const asObject = (value: unknown): Json => (isObject(value) ? value : {});
