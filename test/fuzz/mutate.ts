import type { Random } from './random.ts';

/** Changes an input: bytes, and the structure of JSON. Never longer than `most` bytes, as a reader takes no more. */
export function mutate(input: Uint8Array, random: Random, most: number, json: boolean): Uint8Array {
  let bytes: Uint8Array = input;
  for (let change = random.below(4); change >= 0; change -= 1) {
    const changed = json && random.below(4) > 0 ? changedJson(bytes, random, most) : undefined;
    bytes = (changed ?? changedBytes(bytes, random, most)).subarray(0, most);
  }
  return bytes;
}

/** Texts that readers take for something. */
const tokens = [
  '[',
  ']',
  '{',
  '}',
  '"',
  '\\',
  "'",
  '`',
  '(',
  ')',
  '<',
  '>',
  '#',
  '!',
  '=',
  ',',
  ':',
  ';',
  ' ',
  '\n',
  '\0',
  '/',
  '../',
  '/../',
  '$(A)',
  '$A',
  '${A}',
  '${A:-$A}',
  '$((',
  '$(',
  '"$@"',
  '<<E\n',
  '|',
  '&&',
  'if ',
  'case x in ',
  '() {',
  'exec ',
  'sh -c ',
  'env -S',
  'apk --',
  'apk add ',
  'dnf -',
  'apt-get -y ',
  'ubuntu-',
  'make install ',
  'rm -r /',
  'COPY a /',
  '#(nop)  COPY ',
  '{"entries":[',
  '"entries":',
  '{"a":',
  '[[',
  '{},',
  '"\\u0000"',
  '1e999',
  '-0',
  '999999999999999999999',
  '\u{1F600}',
  '\uD800',
  '.wh.',
  '.wh..wh..opq',
  'Bearer realm="',
  'Basic ',
  'a="b\\',
  '-',
  '.',
  'a',
  'A=',
  '64:',
  'PATH=',
  '65 path=',
  '0 ',
  '18 linkpath=abc\n',
  'sha256:',
  '::',
  '[::',
  '%25',
  '127.1',
  'xn--',
  '@',
  'true',
  'null',
  'registry/',
  'http://',
] as const;

function token(random: Random): string {
  const [first, ...rest] = tokens;
  return random.pick([first, ...rest]);
}

function changedBytes(bytes: Uint8Array, random: Random, most: number): Uint8Array {
  const at = random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + random.size(bytes.length + 1));
  const [before, piece, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
  switch (random.below(5)) {
    case 0: {
      const copy = Uint8Array.from(bytes);
      if (at < copy.length) copy[at] = random.below(256);
      return copy;
    }
    case 1:
      return Buffer.concat([before, after]);
    case 2:
      return Buffer.concat([before, repeated(piece, random, most - bytes.length), after]);
    case 3:
      return Buffer.concat([before, Buffer.from(token(random)), piece, after]);
    default:
      return Buffer.concat([before, repeated(Buffer.from(token(random)), random, most - bytes.length), piece, after]);
  }
}

function repeated(piece: Uint8Array, random: Random, room: number): Uint8Array {
  const times = random.size(Math.max(1, Math.floor(Math.min(room, 4 << 20) / Math.max(1, piece.length))));
  return Buffer.alloc(piece.length * times, piece);
}

type Holder = unknown[] | Record<string, unknown>;

function changedJson(bytes: Uint8Array, random: Random, most: number): Uint8Array | undefined {
  let root: unknown;
  try {
    root = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
  const { holder, key } = placeIn(root, random);
  if (holder === undefined) return undefined;
  const room = most - bytes.length;
  const old = Array.isArray(holder) ? holder[Number(key)] : holder[key];
  const fresh = value(old, random, room);
  if (Array.isArray(holder)) holder[Number(key)] = fresh;
  else holder[random.below(8) === 0 ? token(random) : key] = fresh;
  try {
    return Buffer.from(JSON.stringify(root));
  } catch {
    // Nested too deep to be written.
    return undefined;
  }
}

/** Chooses a member somewhere below `root`. */
function placeIn(root: unknown, random: Random): { holder?: Holder; key: string } {
  let place: { holder?: Holder; key: string } = { key: '' };
  let at = root;
  for (let depth = 0; depth < 8 && typeof at === 'object' && at !== null; depth += 1) {
    const holder = at as Holder;
    const keys = Object.keys(holder);
    const key = keys[random.below(keys.length)];
    if (key === undefined) break;
    place = { holder, key };
    at = Array.isArray(holder) ? holder[Number(key)] : holder[key];
    if (random.below(4) === 0) break;
  }
  return place;
}

function value(old: unknown, random: Random, room: number): unknown {
  const size = JSON.stringify(old)?.length ?? 0;
  const times = random.size(Math.max(1, Math.floor(Math.min(room, 2 << 20) / (size + 1))));
  return typeof old === 'string' && random.below(2) === 0 ? longer(old, random, times) : other(old, random, times);
}

function longer(old: string, random: Random, times: number): string {
  const at = random.below(old.length + 1);
  switch (random.below(3)) {
    case 0:
      return old.slice(0, at) + token(random) + old.slice(at);
    case 1:
      return old.slice(0, at) + token(random).repeat(Math.min(times, 1 << 17)) + old.slice(at);
    default:
      return old.repeat(times);
  }
}

function other(old: unknown, random: Random, times: number): unknown {
  switch (random.below(6)) {
    case 0:
      return Array.from({ length: times }, () => old);
    case 1:
      return Array.isArray(old) ? Array.from({ length: times }, () => old).flat() : [old, old];
    case 2:
      return Object.fromEntries(
        Array.from({ length: Math.min(times, 1 << 17) }, (_, at) => [`${token(random)}${at}`, old]),
      );
    case 3:
      return nested(old, Math.min(times, 2000));
    case 4:
      return random.size(2 ** 40) - 2 ** 20;
    default:
      return random.pick([null, true, '', 0, -1, 1e308, [], {}, token(random)]);
  }
}

function nested(inner: unknown, depth: number): unknown {
  let outer = inner;
  for (let level = 0; level < depth; level += 1) outer = [outer];
  return outer;
}
