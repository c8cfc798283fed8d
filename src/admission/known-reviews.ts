import { LRUCache } from 'lru-cache';

import type { Alike } from './alike.ts';

/** What is read of a request to create a Pod, besides its uid and the parts that the decision depends on. */
export interface PodCreation {
  readonly namespace: string;
  /** Its name, or what it is generated from. */
  readonly pod: string;
  readonly dryRun: boolean;
  /** `metadata.ownerReferences`, as the request has them. */
  readonly owners: unknown;
}

/** A review that was read before, but for what is new in each. */
export interface KnownReview {
  readonly request: PodCreation;
  readonly alike: Alike;
}

export interface KnownReviews {
  /** What a body says, found without parsing it, and the uid of its request. */
  find(body: Buffer): (KnownReview & { readonly uid: string }) | undefined;
  /** Remembers what was parsed from a body, where it is one as API servers write them. The body is copied. */
  keep(body: Buffer, uid: string, review: KnownReview): void;
  /** How many are held, and about how many bytes they take. */
  size(): { readonly entries: number; readonly bytes: number };
}

/** A text that is new in each review, and stands in it at one or more places. */
interface Value {
  readonly length: number;
  readonly places: readonly number[];
}

interface Held {
  /** The review's text, with the values of whichever body it was last compared with. */
  readonly bytes: Buffer;
  readonly values: readonly Value[];
  readonly review: KnownReview;
  readonly cost: number;
}

/** How an API server begins, the uid of the request following. */
const BEGIN = '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"';

/** Where a review names the Pod or its namespace, wherever that is exactly: told apart by this, reviews need not be compared. */
const [NAMES_FROM, NAMES_TO] = [BEGIN.length + 266, BEGIN.length + 366];

const UID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

/**
 * What else is new with each Pod of a template: the volume that the API server adds for the service account's token, and the second
 * in which it says that the Pod was made.
 */
const NEW_EACH_TIME = [/"(kube-api-access-[\da-z]{5})"/, /"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"/];

/** Characters that stand for themselves in JSON, so that a value of them ends where the remembered one does. */
const PLAIN = new Uint8Array(256);
for (const character of '0123456789abcdefghijklmnopqrstuvwxyzTZ:-') PLAIN[character.charCodeAt(0)] = 1;

const kindOf = (body: Buffer): string => `${body.length} ${body.toString('latin1', NAMES_FROM, NAMES_TO)}`;

/** Where a value stands; undefined where it stands anywhere but in quotes, by itself. */
function placesOf(text: string, value: string): number[] | undefined {
  const places: number[] = [];
  for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + value.length)) {
    if (text[at - 1] !== '"' || text[at + value.length] !== '"') return undefined;
    places.push(at);
  }
  return places;
}

/** The values that are new in each review like this one; undefined where a decision or a log line may depend on one of them. */
function valuesOf(text: string, uid: string, read: string): Value[] | undefined {
  if (!UID.test(uid) || !text.startsWith(`${BEGIN}${uid}"`)) return undefined;
  const values: Value[] = [];
  for (const value of [uid, ...NEW_EACH_TIME.map((one) => one.exec(text)?.[1])]) {
    if (value === undefined) continue;
    const places = read.includes(value) ? undefined : placesOf(text, value);
    if (places === undefined) return undefined;
    values.push({ length: value.length, places });
  }
  return values;
}

/** Gives the remembered text the body's values: if they are the same then, they are the same but for these. */
function isSame({ bytes, values }: Held, body: Buffer): boolean {
  for (const { length, places } of values) {
    const [first = 0] = places;
    for (let index = 0; index < length; index += 1) {
      const byte = body[first + index] ?? 0;
      if (PLAIN[byte] !== 1) return false;
      for (const place of places) bytes[place + index] = byte;
    }
  }
  return bytes.equals(body);
}

/** All texts, and what was read of them, approximately. */
const MOST_BYTES = 8 * 1024 * 1024;

/** One text. */
const LARGEST = 512 * 1024;

/** Characters of what was read of it. */
const MOST_READ = 16 * 1024;

/** Kinds of text: of one length and with the same names. */
const MOST_KINDS = 500;

/** Texts of a kind: each is compared. */
const MOST_OF_KIND = 4;

/** Milliseconds after which another text of Pods that are alike is remembered: those of a StatefulSet are never seen again. */
const PAUSE_MS = 1000;

/** Bytes for an entry, and for each character of what was read: text, parsed parts, decision and patch. */
const [BYTES_EACH, BYTES_PER_CHARACTER] = [1000, 6];

/**
 * Remembers reviews by their text, so that the Pods of a ReplicaSet or Job, whose reviews differ in three values that nothing
 * depends on, are not even parsed. `now`: milliseconds, monotonic.
 */
export function createKnownReviews(now: () => number): KnownReviews {
  const byKind = new LRUCache<string, readonly Held[]>({
    max: MOST_KINDS,
    maxSize: MOST_BYTES,
    sizeCalculation: (all) => all.reduce((sum, { cost }) => sum + cost, 0),
  });
  const keptAt = new WeakMap<Alike, number>();
  return {
    find(body) {
      for (const held of byKind.get(kindOf(body)) ?? []) {
        if (!isSame(held, body)) continue;
        const uid = body.toString('latin1', BEGIN.length, BEGIN.length + (held.values[0]?.length ?? 0));
        return { ...held.review, uid };
      }
      return undefined;
    },
    keep(body, uid, review) {
      const { key } = review.alike;
      if (key === undefined || body.length > LARGEST) return;
      const time = now();
      if (time - (keptAt.get(review.alike) ?? -Infinity) < PAUSE_MS) return;
      keptAt.set(review.alike, time);
      const read = `${key} ${JSON.stringify(review.request)}`;
      if (read.length > MOST_READ) return;
      const values = valuesOf(body.toString('latin1'), uid, read);
      if (values === undefined) return;
      const bytes = Buffer.allocUnsafeSlow(body.length);
      body.copy(bytes);
      const kind = kindOf(body);
      const cost = bytes.length + BYTES_EACH + BYTES_PER_CHARACTER * read.length;
      const others = byKind.get(kind) ?? [];
      byKind.set(kind, [{ bytes, values, review, cost }, ...others].slice(0, MOST_OF_KIND));
    },
    size: () => ({
      entries: byKind.values().reduce((sum, all) => sum + all.length, 0),
      bytes: byKind.calculatedSize,
    }),
  };
}
