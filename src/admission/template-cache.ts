import { LRUCache } from 'lru-cache';

import { REACHES_ALL } from '../exposure/dns-target.ts';
import { namespaceLabelsRead } from '../policy/exemptions.ts';
import type { ClusterFacts, NamespaceView, PodView, Reach } from '../policy/model.ts';
import { readPod, templatePartsRead, withCommandLines } from '../policy/read-pod.ts';
import type { Verdict } from '../policy/verdict.ts';
import { asObject } from '../util/json.ts';
import type { Evaluation, Evaluator, Subject } from './evaluate.ts';

/** What Pods of one template in one namespace have in common, and what was last decided for one of them. */
interface Template {
  /** What a decision and its patch depend on, without command lines and variables. */
  readonly object: unknown;
  /** Read from `object`. */
  readonly pod: PodView;
  last?: LastDecision;
}

/** A decision, and all it came from that may have changed since. */
interface LastDecision {
  readonly facts: ClusterFacts;
  /** Absent: the precheck decided, without verdicts. */
  readonly verdicts?: readonly Verdict[];
  readonly evaluation: Evaluation;
}

interface TemplateSubject extends Subject {
  /** Absent: the Pod is decided for anew. */
  readonly template?: Template;
}

export interface TemplateCache extends Evaluator<TemplateSubject> {
  /** Returns the number of templates held, and about how many bytes they take. */
  size(): { readonly entries: number; readonly bytes: number };
}

/** Templates held. To decide for another takes some 50 us. */
const MOST = 1000;

/** Bytes of all templates, approximately: key, parsed parts, decision and patch come to about six times the key. */
const MOST_BYTES = 12 * 1024 * 1024;
const BYTES_PER_CHARACTER = 6;

/** Characters of a key. The author of a Pod chooses how many there are. */
const LONGEST = 8 * 1024;

/** Characters of annotations. Near the API server's limit their length decides whether ours is added (`patch.ts`). */
const MOST_ANNOTATIONS = 64 * 1024;

function hasLongAnnotations(object: unknown): boolean {
  const annotations = asObject(asObject(asObject(object)['metadata'])['annotations']);
  let length = 0;
  for (const name in annotations) {
    const text = annotations[name];
    if (typeof text === 'string') length += name.length + text.length;
  }
  return length > MOST_ANNOTATIONS;
}

/** Labels differ between the Pods of one StatefulSet or Job: what policies make of them is part of the key in their place. */
const keyOf = (object: unknown, { name, labels }: NamespaceView, reach: Reach): string =>
  JSON.stringify([templatePartsRead(object), name, namespaceLabelsRead(labels), reach === REACHES_ALL ? 0 : reach]);

const isSameVerdict = (a: Verdict, b: Verdict | undefined): boolean =>
  a === b ||
  (a.resolver === b?.resolver &&
    a.libc === b.libc &&
    a.evidence.source === b.evidence.source &&
    a.evidence.detail === b.evidence.detail &&
    a.evidence.confidence === b.evidence.confidence &&
    JSON.stringify(a.resolvers) === JSON.stringify(b.resolvers));

const areSameVerdicts = (before: readonly Verdict[], now: readonly Verdict[]): boolean =>
  before.length === now.length && before.every((verdict, index) => isSameVerdict(verdict, now[index]));

/** Returns the template's last decision if it came from the same facts. */
function lastOf({ template, facts }: TemplateSubject): LastDecision | undefined {
  return template?.last?.facts === facts ? template.last : undefined;
}

function keep({ template }: TemplateSubject, last: LastDecision): Evaluation {
  if (template !== undefined) template.last = last;
  return last.evaluation;
}

/**
 * Decides once for all Pods of a template, from the second Pod on that it sees. Nearly all Pods of a cluster come from templates, often
 * a thousand from one. Command lines and variables are not part of the template: Pods of CI and workflows have their own, and these
 * matter only by the verdicts they lead to. The decision is read from the remembered parts, the Pod's command lines and its variables
 * alone, so that nothing else can make a difference.
 */
export function createTemplateCache(evaluator: Evaluator): TemplateCache {
  const templates = new LRUCache<string, Template>({
    max: MOST,
    maxSize: MOST_BYTES,
    sizeCalculation: (_, key) => BYTES_PER_CHARACTER * key.length,
  });
  const seenBefore = createSeenBefore();
  const remember = (key: string): Template => {
    const [object] = JSON.parse(key) as [unknown];
    const template = { object, pod: readPod(object) };
    templates.set(key, template);
    return template;
  };
  return {
    ...evaluator,
    read(object, namespace) {
      if (hasLongAnnotations(object)) return evaluator.read(object, namespace);
      const reach = evaluator.reach(object, namespace);
      const key = keyOf(object, namespace, reach);
      let template = templates.get(key);
      if (template === undefined) {
        // Reads the whole Pod first: the error names what is wrong with it.
        const subject = evaluator.read(object, namespace);
        if (key.length > LONGEST || !seenBefore(key)) return subject;
        template = remember(key);
      }
      const pod = withCommandLines(template.pod, object);
      return { object: template.object, pod, namespace, facts: evaluator.facts(), reach, template };
    },
    precheck(subject) {
      const last = lastOf(subject);
      if (last !== undefined && last.verdicts === undefined) return last.evaluation;
      const evaluation = evaluator.precheck(subject);
      return evaluation && keep(subject, { facts: subject.facts, evaluation });
    },
    decide(subject, verdicts) {
      const last = lastOf(subject);
      const isSame = last?.verdicts !== undefined && areSameVerdicts(last.verdicts, verdicts);
      const evaluation = isSame ? last.evaluation : evaluator.decide(subject, verdicts);
      return keep(subject, { facts: subject.facts, verdicts, evaluation });
    },
    size: () => ({ entries: templates.size, bytes: templates.calculatedSize }),
  };
}

/** Hashes held. Of two keys in one place the later one stays. */
const MOST_SEEN = 1024;

/** FNV-1a, of UTF-16 units. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/**
 * Returns a function that reports whether it was probably called with `text` before. What is seen once is not cached: many Pods have
 * something of their own in what a decision depends on, and would only churn the cache.
 */
function createSeenBefore(): (text: string) => boolean {
  const seen = new Uint32Array(MOST_SEEN);
  return (text) => {
    const hash = hashOf(text);
    const place = hash % MOST_SEEN;
    if (seen[place] === hash) return true;
    seen[place] = hash;
    return false;
  };
}
