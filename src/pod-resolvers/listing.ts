import { compareText } from '../util/text.ts';

/**
 * Images by resolvers (`go+musl`), by place, and by what their containers run (`''`, `bare`, `command WORD`, `args WORD`, `unknown`: see
 * images.ts). Each text is the names, with a space before and after each.
 *
 * Few long texts instead of a key for each image, because from Kubernetes 1.37 on the API server reads the whole object anew for each Pod: an
 * entry of a map costs it eight times as much as a name in a text (docs/decisions/0014-images-as-lists.md).
 */
export type Listing = Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>>>>>>;

/** Most characters of one text, and so of what the policy searches: the API server bounds what an expression may cost. */
const MOST_OF_TEXT = 8000;

/** Of a digest its algorithm and as many digits are kept: `@sha256:` and 64 bits. */
const DIGEST_CHARACTERS = 24;

/** Characters of JSON around a text and its keys, at most. */
const AROUND_TEXT = 14;

/** Where an image is listed. The policy computes the same (templates/_admission-policy.tpl). */
interface Where {
  /** What comes before its name, with the slash: `registry.example/team/`. */
  readonly place: string;
  /** The place if the first holds too much: with the last letters of repository and name. */
  readonly narrower: string;
  readonly name: string;
}

function whereIs(image: string): Where {
  const slash = image.lastIndexOf('/') + 1;
  const [place, name] = [image.slice(0, slash), image.slice(slash)];
  const at = name.indexOf('@');
  const [repository = ''] = name.split(/[:@]/, 1);
  return {
    place,
    narrower: `${place}${lastOf(repository)}${lastOf(name)}`,
    name: at === -1 ? name : name.slice(0, at + DIGEST_CHARACTERS),
  };
}

const lastOf = (text: string): string => `_${text}`.slice(-1);

interface Entry extends Where {
  readonly resolvers: string;
  readonly form: string;
}

/** Returns an entry of images.ts taken apart: an image's name has no space. */
function entryOf(key: string, resolvers: string): Entry {
  const space = key.indexOf(' ');
  const end = space === -1 ? key.length : space;
  return { ...whereIs(key.slice(0, end)), resolvers, form: key.slice(end + 1) };
}

/**
 * Returns the listing of as many entries (see `imageEntry()`) as have room in `mostBytes`, the first ones first, and how many these are.
 */
export function listImages(
  images: ReadonlyMap<string, string>,
  mostBytes: number,
): { readonly images: Listing; readonly count: number } {
  const entries = [...images].map(([key, resolvers]) => entryOf(key, resolvers));
  const full = longTexts(entries);
  const sizes = new Map<string, number>();
  let left = mostBytes;
  const kept = entries.flatMap((entry) => {
    const { resolvers, form, name, narrower } = entry;
    const place = full.has(textKey(entry)) ? narrower : entry.place;
    const key = textKey({ resolvers, place, form });
    const length = (sizes.get(key) ?? 0) + Buffer.byteLength(name) + 1;
    const size =
      Buffer.byteLength(sizes.has(key) ? name : `${place}${form}${name}`) + (sizes.has(key) ? 1 : AROUND_TEXT);
    if (size > left || length > MOST_OF_TEXT) return [];
    left -= size;
    sizes.set(key, length);
    return [{ resolvers, place, form, name }];
  });
  const listing: Record<string, Record<string, Record<string, string>>> = {};
  // Sorted: the same entries are the same object.
  for (const { resolvers, place, form, name } of kept.toSorted((a, b) => compareText(a.name, b.name))) {
    const forms = ((listing[resolvers] ??= {})[place] ??= {});
    forms[form] = `${forms[form] ?? ' '}${name} `;
  }
  return { images: listing, count: kept.length };
}

const textKey = ({ resolvers, place, form }: Pick<Entry, 'resolvers' | 'place' | 'form'>): string =>
  JSON.stringify([resolvers, place, form]);

/** Returns the texts that would be longer than the policy may search. */
function longTexts(entries: readonly Entry[]): ReadonlySet<string> {
  const lengths = new Map<string, number>();
  for (const entry of entries) {
    const key = textKey(entry);
    lengths.set(key, (lengths.get(key) ?? 1) + Buffer.byteLength(entry.name) + 1);
  }
  return new Set([...lengths].filter(([, length]) => length > MOST_OF_TEXT).map(([key]) => key));
}
