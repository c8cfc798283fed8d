/** One way of logging in that a registry offers (RFC 9110 section 11.3). */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case; of a name given twice, the first counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const longestHeader = 8192;
const mostChallenges = 8;
const mostParameters = 16;

interface Cursor {
  readonly text: string;
  at: number;
}

/**
 * Reads the challenges of one or several `WWW-Authenticate` headers, in order (RFC 9110 section 11.6.1): commas part
 * challenges and parameters alike, so a name not followed by `=` begins the next challenge. What cannot be read ends
 * that header; what came before it counts. Never throws, and takes time linear in the input: headers beyond 8 KiB, 8
 * challenges and 16 parameters each are left out.
 */
export function parseChallenges(headers: readonly string[]): Challenge[] {
  const challenges: Challenge[] = [];
  for (const header of headers.slice(0, mostChallenges)) {
    const cursor: Cursor = { text: header.slice(0, longestHeader), at: 0 };
    while (challenges.length < mostChallenges) {
      const challenge = readChallenge(cursor);
      if (challenge === undefined) break;
      challenges.push(challenge);
    }
  }
  return challenges;
}

function readChallenge(cursor: Cursor): Challenge | undefined {
  skip(cursor, /[\s,]*/y);
  const scheme = take(cursor, tokenPattern);
  if (scheme === undefined) return undefined;
  const parameters = new Map<string, string>();
  for (;;) {
    const start = cursor.at;
    const parameter = readParameter(cursor);
    if (parameter === undefined) {
      // What stands here is the next challenge's scheme, or rubbish that its reading will stop at.
      cursor.at = start;
      return { scheme: scheme.toLowerCase(), parameters };
    }
    const [name, value] = parameter;
    if (!parameters.has(name) && parameters.size < mostParameters) parameters.set(name, value);
  }
}

function readParameter(cursor: Cursor): [name: string, value: string] | undefined {
  skip(cursor, /[\s,]*/y);
  const name = take(cursor, tokenPattern);
  if (name === undefined || take(cursor, /\s*=\s*/y) === undefined) return undefined;
  const quoted = take(cursor, /"(?:[^"\\]|\\.)*"/sy);
  if (quoted !== undefined) return [name.toLowerCase(), quoted.slice(1, -1).replaceAll(/\\(.)/gs, '$1')];
  // Bare URLs are not tokens, yet some registries send realm=https://… without quotes.
  const bare = take(cursor, /[^\s,"]+/y);
  return bare === undefined ? undefined : [name.toLowerCase(), bare];
}

const tokenPattern = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;

function take(cursor: Cursor, pattern: RegExp): string | undefined {
  pattern.lastIndex = cursor.at;
  const match = pattern.exec(cursor.text);
  if (match === null) return undefined;
  cursor.at = pattern.lastIndex;
  return match[0];
}

function skip(cursor: Cursor, pattern: RegExp): void {
  take(cursor, pattern);
}
