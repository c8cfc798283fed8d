const FORBIDDEN = /cannot (\w+) resource "([^"]+)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]+)")?/;

/** `list nodes`, `get secrets in libc-dns`: the right that an API server's refusal names; undefined for any other text. */
export function missingRight(message: string): string | undefined {
  const [, verb, resource, group = '', namespace] = FORBIDDEN.exec(message.slice(0, 2000)) ?? [];
  if (verb === undefined || resource === undefined) return undefined;
  return `${verb} ${resource}${group === '' ? '' : `.${group}`}${namespace === undefined ? '' : ` in ${namespace}`}`;
}

const text = (error: unknown): string => {
  const { message } = error as { message?: unknown };
  return typeof message === 'string' && message !== '' ? message : String(error);
};

/** Why something could not be read, as short as it is understood. */
export function why(error: unknown): string {
  const right = missingRight(text(error));
  return right === undefined ? text(error) : `may not ${right}`;
}
