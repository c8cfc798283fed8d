import { LRUCache } from 'lru-cache';

import { kindOf, reviewText, type ReviewText, uidIn } from './review-text.ts';
import { type Alike, createMet, type Template } from './template-cache.ts';

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
interface KnownReview {
  readonly request: PodCreation;
  readonly alike: Alike;
}

interface FoundReview extends KnownReview {
  readonly uid: string;
}

export interface KnownReviews {
  /** What a body says, found without parsing it. */
  find(body: Buffer): FoundReview | undefined;
  /** Remembers what was parsed from a body, where it is one as API servers write them. The body is copied. */
  keep(body: Buffer, uid: string, review: KnownReview): void;
  /** How many are held, and about how many bytes they take. */
  size(): { readonly entries: number; readonly bytes: number };
}

interface Held {
  readonly text: ReviewText;
  readonly review: KnownReview;
  readonly cost: number;
}

/** All texts, and what was read of them, approximately. */
const MOST_BYTES = 8 * 1024 * 1024;

/** One text. */
const LARGEST = 512 * 1024;

/** Characters of what was read of it. */
const MOST_READ = 16 * 1024;

/** Kinds of text: of one length and with the same names. */
const MOST_KINDS = 500;

/** Texts of a kind: each is compared. StatefulSets list their claims in any order: three of them in six. */
const MOST_OF_KIND = 8;

/** Milliseconds after which another text of Pods that are alike is remembered: some have a text each, and are not seen again. */
const PAUSE_MS = 1000;

/** Bytes for an entry, and for each character of what was read: text, parsed parts, decision and patch. */
const [BYTES_EACH, BYTES_PER_CHARACTER] = [1000, 6];

/**
 * Remembers reviews by their text, so that the Pods of one template, whose reviews differ in a few values that no decision depends
 * on, are not even parsed. `now`: milliseconds, monotonic.
 */
export function createKnownReviews(now: () => number): KnownReviews {
  const byKind = new LRUCache<string, readonly Held[]>({
    max: MOST_KINDS,
    maxSize: MOST_BYTES,
    sizeCalculation: (all) => all.reduce((sum, { cost }) => sum + cost, 0),
  });
  const keptAt = new WeakMap<Template, number>();
  const met = createMet();
  return {
    find(body) {
      for (const { text, review } of byKind.get(kindOf(body)) ?? []) {
        if (!text.isOf(body)) continue;
        const { alike, request } = review;
        const pod = text.nameIn(body);
        return { uid: uidIn(body), alike, request: pod === undefined ? request : { ...request, pod } };
      }
      return undefined;
    },
    keep(body, uid, review) {
      const { template, pod: view } = review.alike;
      if (template === undefined || body.length > LARGEST) return;
      const time = now();
      if (time - (keptAt.get(template) ?? -Infinity) < PAUSE_MS) return;
      const commandLines = JSON.stringify(view.containers.map(({ command, args }) => [command, args]));
      if (commandLines.length <= MOST_READ && !met(commandLines)) return;
      keptAt.set(template, time);
      const { pod, ...others } = review.request;
      const rest = `${template.key} ${commandLines} ${JSON.stringify(others)}`;
      if (rest.length > MOST_READ) return;
      const text = reviewText(body, { uid, pod, rest });
      if (text === undefined) return;
      const kind = kindOf(body);
      const cost = body.length + BYTES_EACH + BYTES_PER_CHARACTER * rest.length;
      byKind.set(kind, [{ text, review, cost }, ...(byKind.get(kind) ?? [])].slice(0, MOST_OF_KIND));
    },
    size: () => ({
      entries: byKind.values().reduce((sum, all) => sum + all.length, 0),
      bytes: byKind.calculatedSize,
    }),
  };
}
