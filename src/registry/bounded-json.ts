import { z } from 'zod';

const mostValues = 50_000;
const deepest = 64;

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const opening = new Set([0x5b, 0x7b]);
const closing = new Set([0x5d, 0x7d]);

/**
 * Parses JSON that a stranger wrote: at most 50,000 values, nested at most 64 deep, which is far more than a manifest has. In
 * 4 MiB JSON.parse can otherwise be kept busy for half a second. Undefined for what is no such JSON.
 */
export function parseBoundedJson(bytes: Uint8Array): unknown {
  if (!isBounded(bytes)) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // The error quotes its input: it helps nobody, and may hold what should not be shown.
    return undefined;
  }
}

function isBounded(bytes: Uint8Array): boolean {
  let values = 1;
  let depth = 0;
  let inString = false;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index] ?? 0;
    if (inString) {
      if (byte === backslash) index += 1;
      else if (byte === quote) inString = false;
    } else if (byte === quote) {
      inString = true;
    } else {
      if (opening.has(byte)) depth += 1;
      else if (closing.has(byte)) depth -= 1;
      if (byte === comma || opening.has(byte)) values += 1;
      if (values > mostValues || depth > deepest) return false;
    }
  }
  return true;
}

/**
 * A list of at most `most` items; empty for null or undefined, as Go writes an empty one. Unlike zod's own array it
 * stops at the first item that is wrong: a report on a million of them takes seconds and gigabytes.
 */
export function boundedList<T>(item: z.ZodType<T>, most: number): z.ZodPipe<z.ZodUnknown, z.ZodTransform<T[]>> {
  return z.unknown().transform((value, context): T[] => {
    const items: T[] = [];
    if (value === null || value === undefined) return items;
    if (!Array.isArray(value) || value.length > most) {
      context.addIssue({ code: 'custom', message: `expected a list of at most ${most} items` });
      return z.NEVER;
    }
    for (const [index, entry] of value.entries()) {
      const result = item.safeParse(entry);
      if (!result.success) {
        const path = [index, ...(result.error.issues[0]?.path ?? [])];
        context.addIssue({ code: 'custom', message: 'not what was expected', path });
        return z.NEVER;
      }
      items.push(result.data);
    }
    return items;
  });
}

/** An object whose values are strings; empty for null or undefined. Stops at the first value that is not one. */
export const stringMap = z.unknown().transform((value, context): Record<string, string> => {
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    context.addIssue({ code: 'custom', message: 'expected an object' });
    return z.NEVER;
  }
  const entries = Object.entries(value);
  const wrong = entries.find(([, text]) => typeof text !== 'string');
  if (wrong === undefined) return Object.fromEntries(entries);
  context.addIssue({ code: 'custom', message: 'expected a string', path: [wrong[0]] });
  return z.NEVER;
});
