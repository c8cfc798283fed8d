/** Who has set which field: many small objects, which cost a parser more than their length, and nobody reads them. */
const MANAGED_FIELDS = Buffer.from(',"managedFields":[');

const code = (character: string): number => character.charCodeAt(0);
const [QUOTE, BACKSLASH] = [code('"'), code('\\')];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [code('['), code(']'), code('{'), code('}')];

/** Where the string ends that begins before `at`: at its quote, or at the end of the body. */
function endOfString(body: Buffer, at: number): number {
  while (at < body.length && body[at] !== QUOTE) at += body[at] === BACKSLASH ? 2 : 1;
  return at;
}

/** What follows the list that begins at `from`; undefined where it does not end. */
function afterList(body: Buffer, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < body.length; at += 1) {
    const byte = body[at];
    if (byte === QUOTE) at = endOfString(body, at + 1);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth += 1;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth -= 1;
    if (depth === 0) return at + 1;
  }
  return undefined;
}

/**
 * The text of a review but for the first list called `managedFields`: the Pod's, or one of the caller's `extra`; nothing of that
 * name is read. A quote after a comma is never one within a string, where it has a backslash before it, so that what is found is a
 * name, and what is left is JSON where the body was. What stands in the list is not looked at.
 */
export function withoutManagedFields(body: Buffer): string {
  const from = body.indexOf(MANAGED_FIELDS);
  const to = from === -1 ? undefined : afterList(body, from + MANAGED_FIELDS.length - 1);
  return to === undefined ? body.toString() : body.toString('utf8', 0, from) + body.toString('utf8', to);
}
