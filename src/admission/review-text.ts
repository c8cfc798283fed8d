/** A text that is new in each review, and stands in it at one or more places. */
interface Value {
  readonly length: number;
  readonly places: readonly number[];
}

/** What was read of a review. */
interface Read {
  readonly uid: string;
  /** The Pod's name. */
  readonly pod: string;
  /** All else, as JSON. */
  readonly rest: string;
}

/** How an API server begins, the uid of the request following. */
const BEGIN = '{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"';

const UID_LENGTH = 36;
const UID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;

/** How it goes on after the uid. Then the Pod's name, if it has one, and its namespace. */
const OF_A_POD =
  '","kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},' +
  '"requestKind":{"group":"","version":"v1","kind":"Pod"},"requestResource":{"group":"","version":"v1","resource":"pods"},';

/** Where a review names the Pod or its namespace: told apart by this, reviews need not be compared. */
const NAMES_FROM = BEGIN.length + UID_LENGTH + OF_A_POD.length;
const NAMES_TO = NAMES_FROM + 100;

/**
 * What else is new with each Pod of a template: the volume that the API server adds for the service account's token, and the second
 * in which it says that the Pod was made.
 */
const NEW_EACH_TIME = [/"(kube-api-access-[\da-z]{5})"/, /"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"/];

/** How a review names one of a StatefulSet's Pods: the set, and the Pod's number. */
const NUMBERED = /^"name":"([\da-z-]+-)\d+"/;

/** How the Pod of a review begins that has no name yet. */
const UNNAMED = '"object":{"kind":"Pod","apiVersion":"v1","metadata":{"generateName":"';

/**
 * Where else a Pod's own stands, each after what is always there: its number, of a StatefulSet or of an Indexed Job, and the node of a
 * DaemonSet's Pod.
 */
const OWN = [
  /("apps\.kubernetes\.io\/pod-index":")(\d+)"/g,
  /("batch\.kubernetes\.io\/job-completion-index":")(\d+)"/g,
  /("matchFields":\[\{"key":"metadata\.name","operator":"In","values":\[")([\da-z.-]+)"\]/g,
];

/** Characters that stand for themselves in JSON, so that a value of them ends where the remembered one does. */
const PLAIN = new Uint8Array(256);
for (const character of '0123456789abcdefghijklmnopqrstuvwxyzTZ:.-') PLAIN[character.charCodeAt(0)] = 1;

/** Of one value. A template has a token volume in each container and a name in each claim. */
const MOST_PLACES = 100;

/** What tells most reviews apart. The same for all Pods of a StatefulSet whose numbers are equally long. */
export function kindOf(body: Buffer): string {
  const names = body.toString('latin1', NAMES_FROM, NAMES_TO);
  return `${body.length} ${names.startsWith('"name"') ? names.replace(NUMBERED, '$1') : names}`;
}

/** Each place where one text stands in another, `from` there on. */
function* occurrences(text: string, value: string, from = 0): Generator<number> {
  for (let at = text.indexOf(value, from); at >= 0; at = text.indexOf(value, at + value.length)) yield at;
}

/** Whether a string of JSON, not the name of a field, ends with the value, and has one of `before` before it. */
function endsString(text: string, at: number, { length }: string, before: readonly string[]): boolean {
  const [first = '', quote, next = ''] = [text[at - 1], text[at + length], text[at + length + 1]];
  return before.includes(first) && quote === '"' && [',', '}', ']'].includes(next);
}

/** The values that are new in each review like this one; undefined where what was read may depend on one. */
function newEachTime(text: string, { uid }: Read, known: string): Value[] | undefined {
  if (!UID.test(uid) || !text.startsWith(`${BEGIN}${uid}${OF_A_POD}`)) return undefined;
  const values: Value[] = [];
  for (const value of [uid, ...NEW_EACH_TIME.map((one) => one.exec(text)?.[1])]) {
    if (value === undefined) continue;
    const places = [...occurrences(text, value)];
    const isAlone = places.every((at) => endsString(text, at, value, ['"']));
    if (known.includes(value) || !isAlone || places.length > MOST_PLACES) return undefined;
    values.push({ length: value.length, places });
  }
  return values;
}

/** A name with a number, and what is generated from it ends with. */
interface Name extends Value {
  readonly suffix: '' | '-';
}

/** Whether the review names its Pod so, where API servers write it. */
function isNamed(text: string, pod: string): boolean {
  if (text.startsWith('"name":', NAMES_FROM)) return text.startsWith(`"name":"${pod}"`, NAMES_FROM);
  return text.startsWith(`${pod}"`, text.indexOf(UNNAMED) + UNNAMED.length);
}

/**
 * The name of a StatefulSet's Pod, or of an Indexed Job's: wherever a text is the name, or ends with it as that of a claim does
 * (`data-web-0`). Elsewhere (`web-0.web`) it belongs to the template. Undefined where it has no number, or such a text was read.
 */
function nameOf(text: string, { pod, rest }: Read): Name | undefined {
  const suffix = pod.endsWith('-') ? '-' : '';
  const name = pod.slice(0, pod.length - suffix.length);
  const isRead = rest.includes(`${name}"`) || rest.includes(`${pod}"`);
  if (!/^[\da-z-]+-\d+$/.test(name) || !isNamed(text, pod) || isRead) return undefined;
  const places = [...occurrences(text, name, NAMES_FROM)].filter(
    (at) => endsString(text, at, name, ['"', '-']) || endsString(text, at, pod, ['"']),
  );
  return places.length > MOST_PLACES ? undefined : { length: name.length, places, suffix };
}

/** A value that stands after the same each time; undefined where there is none, or it was read. */
function ownOf(text: string, { rest }: Read, pattern: RegExp): Value | undefined {
  const [first, ...others] = text.matchAll(pattern);
  if (first === undefined || rest.includes(first[0])) return undefined;
  const [all, before = '', value = ''] = first;
  const same = [first, ...others.filter(([other]) => other === all)];
  if (same.length > MOST_PLACES) return undefined;
  return { length: value.length, places: same.map(({ index }) => index + before.length) };
}

const textAt = (body: Buffer, { length, places: [at = 0] }: Value): string => body.toString('latin1', at, at + length);

/** The text of a review, but for the values that are another Pod's in each. */
export interface ReviewText {
  /** Whether it is that of the body, too. */
  isOf(body: Buffer): boolean;
  /** The name of the body's Pod; undefined: the same for all. */
  nameIn(body: Buffer): string | undefined;
}

/** The uid of a review whose text is known. */
export const uidIn = (body: Buffer): string => body.toString('latin1', BEGIN.length, BEGIN.length + UID_LENGTH);

/** Gives the remembered text the body's values: if they are the same then, they are the same but for these. */
function isSame(bytes: Buffer, values: readonly Value[], body: Buffer): boolean {
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

/** Undefined where the review is not as API servers write them, or what is new in each was read. The body is copied. */
export function reviewText(body: Buffer, read: Read): ReviewText | undefined {
  const text = body.toString('latin1');
  const name = nameOf(text, read);
  const always = newEachTime(text, read, name === undefined ? `${read.rest} ${read.pod}` : read.rest);
  if (always === undefined) return undefined;
  const values = [...always, name, ...OWN.map((one) => ownOf(text, read, one))].filter((value) => value !== undefined);
  const bytes = Buffer.allocUnsafeSlow(body.length);
  body.copy(bytes);
  return {
    isOf: (other) => isSame(bytes, values, other),
    nameIn: (other) => (name === undefined ? undefined : `${textAt(other, name)}${name.suffix}`),
  };
}
