import { type Candidate, type Libc, type Resolver, unknownVerdict, type Verdict } from '../policy/verdict.ts';
import { baseName } from './command/invocation.ts';
import type { ElfFinding, GoBuild } from './formats/elf.ts';
import { type GoSettings, netdnsOf } from './formats/go-settings.ts';
import type { StaticJudgement } from './formats/static-marks.ts';
import { agreedHint, type Hint } from './history.ts';
import { loaderLibc, type LoaderState } from './loader.ts';
import { isLinkedToBase } from './command/known-programs.ts';
import type { Found, Program } from './command/outcome.ts';
import { type LayerIndex, shownName } from './overlay.ts';

/**
 * The confidence of each kind of evidence, before `penalty`. Measured on the corpus: docs/detection.md, "Confidence".
 */
const certainty = {
  interpreter: 0.99,
  goMark: 0.99,
  /** Go linked to a libc, by its environment and by the settings that were compiled in (tag netcgo, go:debug). */
  goLinked: 0.97,
  /** Its build left no settings. */
  goUnsettled: 0.85,
  /** Its settings were not seen. */
  goSettingsUnseen: 0.55,
  /** Its name says what it runs inside. */
  goWithInterpreter: 0.85,
  staticGlibc: 0.98,
  /** It may be Go, linked to glibc. */
  staticGlibcUnseen: 0.55,
  /** Start code, where the interpreter is out of reach. */
  startCode: 0.8,
  withoutLibc: 0.85,
  /** Without a note: by texts or start code, else by the shape of its segments. */
  static: { musl: { sure: 0.97, unsure: 0.7 }, glibc: { sure: 0.98, unsure: 0.55 } },
  foreign: 0.95,
  notesOutOfReach: 0.95,
  strayInterpreter: 0.7,
} as const;

const penalty = {
  /** A newer layer, or an earlier directory of PATH, may hold another program of that name. */
  doubts: 0.05,
  /** The file at the loader's path was not seen, and no evidence rules musl out. */
  loaderUnseen: 0.04,
} as const;

/** A script may have put another file there. */
const mostScripted = 0.85;
/** Nothing is known of the place where another file may be. */
const mostBlind = 0.55;

/**
 * A layer that is not fully known may hold another program at the path. `script`: one that a script of the image's author made,
 * which may have put it there. `blind`: one whose history says nothing, or an irregular archive, further on.
 */
export type Doubt = 'none' | 'some' | 'script' | 'blind';

/** What the verdict on a program depends on besides the program. */
interface ImageContext {
  readonly loader: LoaderState | undefined;
  /** The image's layers or metadata say that its distribution uses musl. */
  readonly muslImage: boolean;
  /** What the history says was installed to run glibc programs beside musl. */
  readonly glibcOnMusl: 'shim' | 'glibc' | undefined;
  readonly doubt: Doubt;
  /** The history names another C library, such as uClibc. */
  readonly saysOther: boolean;
}

/** A program whose file was found. */
export type FoundProgram = Pick<Program, 'loader' | 'env'> & { readonly located: Found };

/** Returns the verdict on a program that was found. */
export function programVerdict(program: FoundProgram, context: ImageContext): Verdict {
  const { content, path } = program.located;
  const name = shownName(`/${path}`);
  if (content.kind === 'unread') return unknownVerdict(`${name}: its bytes were not in what was read of the image`);
  if (content.kind !== 'elf') return unknownVerdict(`${name}: neither an ELF program nor a script`);
  const finding = judge(program, content.finding, content.judgement, context);
  if ('why' in finding) return unknownVerdict(`${name}: ${finding.why}`);
  const penalized = finding.confidence - (context.doubt === 'none' ? 0 : penalty.doubts);
  const doubted = context.doubt === 'script' ? Math.min(penalized, mostScripted) : penalized;
  if (context.doubt !== 'blind') return verdict(finding.resolver, finding.libc, `${name}: ${finding.detail}`, doubted);
  const detail = `${name}: ${finding.detail}; bytes that were not reached may hold another file of this name`;
  return verdict(finding.resolver, finding.libc, detail, Math.min(doubted, mostBlind));
}

interface Judged {
  readonly resolver: Resolver;
  readonly libc: Libc;
  readonly detail: string;
  readonly confidence: number;
}

type Unjudged = { readonly why: string };

function judge(
  { loader, env, located: { path } }: FoundProgram,
  finding: ElfFinding,
  judgement: StaticJudgement | undefined,
  context: ImageContext,
): Judged | Unjudged {
  switch (finding.kind) {
    case 'dynamic':
      return withInterpreter(path, judgeDynamic(finding, loader ?? finding.interpreter, env, context));
    case 'static':
      return withInterpreter(path, judgeStaticProgram(finding, judgement, env, context.saysOther));
    case 'library':
      return { why: 'a shared library, not a program' };
    case 'undetermined':
      return judgeStray(finding);
    default:
      return { why: 'neither an ELF program nor a script' };
  }
}

function judgeDynamic(
  { go, notesSeen, built }: Extract<ElfFinding, { kind: 'dynamic' }>,
  loader: string,
  env: ReadonlyMap<string, string>,
  context: ImageContext,
): Judged | Unjudged {
  const named = loaderLibc(loader);
  const shown = `interpreter ${shownName(loader)}`;
  const behind = named === 'glibc' ? behindGlibcName(context) : { libc: named, confidence: certainty.interpreter };
  if (go) {
    const libc = 'why' in behind ? 'unknown' : behind.libc;
    return judgeGo(libc, `${shown}, made by Go`, env, built);
  }
  if ('why' in behind) return { why: `${shown}, but ${behind.why}` };
  const confidence = notesSeen ? behind.confidence : Math.min(behind.confidence, certainty.notesOutOfReach);
  const detail = behind.detail === undefined ? shown : `${shown}, ${behind.detail}`;
  return { resolver: behind.libc, libc: behind.libc, detail, confidence };
}

/** Go programs with the interpreter of another language inside, by the end of their path. Its names are resolved by the libc. */
const interpretersWithin: readonly (readonly [RegExp, string])[] = [
  // https://frankenphp.dev/docs/internals
  [/(?:^|\/)frankenphp$/u, 'PHP'],
  // https://github.com/DataDog/datadog-agent/tree/main/rtloader
  [/(?:^|\/)datadog-agent\/bin\/agent\/agent$/u, 'Python'],
];

function withInterpreter(path: string, judged: Judged | Unjudged): Judged | Unjudged {
  if ('why' in judged || judged.resolver !== 'go') return judged;
  const language = interpretersWithin.find(([end]) => end.test(path))?.[1];
  if (language === undefined || judged.libc === 'none') return judged;
  const detail = `${judged.detail}, runs ${language}, which resolves through its libc`;
  if (judged.libc === 'unknown') return { why: detail };
  return { ...judged, resolver: judged.libc, detail, confidence: certainty.goWithInterpreter };
}

interface Behind {
  readonly libc: 'glibc' | 'musl' | 'other';
  readonly confidence: number;
  readonly detail?: string;
}

/** Decides what the path of glibc's loader really leads to: on a musl image it may be a shim. */
function behindGlibcName({ loader, muslImage, glibcOnMusl }: ImageContext): Behind | Unjudged {
  if (loader?.status === 'seen') {
    const detail = loader.libc === 'glibc' ? undefined : shownName(loader.why);
    return { libc: loader.libc, confidence: certainty.interpreter, ...(detail !== undefined && { detail }) };
  }
  if (!muslImage) {
    const unseen = loader?.status === 'unseen' ? penalty.loaderUnseen : 0;
    return { libc: 'glibc', confidence: certainty.interpreter - unseen };
  }
  if (glibcOnMusl === 'shim') return { libc: 'musl', confidence: 0.8, detail: 'a musl shim by the image history' };
  if (glibcOnMusl === 'glibc') return { libc: 'glibc', confidence: 0.8 };
  return { why: 'the image uses musl and the file at that path was not seen' };
}

/**
 * Judges a Go program: it has Go's own resolver, unless it is linked to a libc and its environment or its build chooses that
 * (Go 1.26, net/conf.go, initConfVal and mustUseGoResolver).
 */
function judgeGo(
  libc: Libc,
  detail: string,
  env: ReadonlyMap<string, string>,
  built: GoBuild = 'unseen',
): Judged | Unjudged {
  const own = { resolver: 'go', libc, detail } as const;
  if (libc === 'none') return { ...own, confidence: certainty.goMark };
  const settings = typeof built === 'string' ? undefined : built;
  const mode = netdnsOf(env.get('GODEBUG') ?? '');
  if (mode === 'go' || settings?.cgo === false) return { ...own, confidence: certainty.goLinked };
  const unsettled = built === 'unseen' ? certainty.goSettingsUnseen : certainty.goUnsettled;
  const confidence = settings === undefined ? unsettled : certainty.goLinked;
  const by = libcChooser(env, mode, settings);
  if (by === undefined) return { ...own, confidence };
  const why = `${detail}, resolves through its libc because of ${by}`;
  return libc === 'unknown' ? { why } : { resolver: libc, libc, detail: why, confidence };
}

/** Returns what makes a Go program resolve through the libc that it is linked to; undefined if nothing does. */
function libcChooser(
  env: ReadonlyMap<string, string>,
  mode: string | undefined,
  settings: GoSettings | undefined,
): string | undefined {
  if (mode === 'cgo') return 'GODEBUG=netdns=cgo';
  if (mode === undefined && settings?.netdns === 'go') return undefined;
  if (mode === undefined && settings?.netdns === 'cgo') return 'a line go:debug netdns=cgo';
  if (settings?.netcgo === true) return 'the build tag netcgo';
  // LOCALDOMAIN counts even if it is empty.
  if (env.has('LOCALDOMAIN')) return 'LOCALDOMAIN';
  return ['RES_OPTIONS', 'HOSTALIASES'].find((name) => (env.get(name) ?? '') !== '');
}

function judgeStaticProgram(
  finding: Extract<ElfFinding, { kind: 'static' }>,
  judgement: StaticJudgement | undefined,
  env: ReadonlyMap<string, string>,
  saysOther: boolean,
): Judged | Unjudged {
  switch (finding.runtime) {
    case 'go':
      return judgeGo(finding.libc, `static, ${finding.why}`, env, finding.built);
    case 'glibc':
      return {
        resolver: 'glibc',
        libc: 'glibc',
        detail: `static, ${finding.why}${finding.codeSeen ? '' : ', its code is out of reach'}`,
        confidence: finding.codeSeen ? certainty.staticGlibc : certainty.staticGlibcUnseen,
      };
    case 'other':
      return { resolver: 'other', libc: 'other', detail: finding.why, confidence: certainty.foreign };
    default:
      return judgeUnmarked(judgement, saysOther);
  }
}

function judgeUnmarked(judgement: StaticJudgement | undefined, saysOther: boolean): Judged | Unjudged {
  if (judgement === undefined) return { why: 'static, and its bytes are out of reach' };
  const detail = judgement.why;
  switch (judgement.libc) {
    case 'unknown':
      return { why: detail };
    case 'none':
      return { resolver: 'other', libc: 'none', detail, confidence: certainty.withoutLibc };
    case 'other':
      return { resolver: 'other', libc: 'other', detail, confidence: certainty.foreign };
    default: {
      const { libc, sure } = judgement;
      if (!sure && saysOther) return { why: 'static, and the image says that it is made of another C library' };
      return { resolver: libc, libc, detail, confidence: certainty.static[libc][sure ? 'sure' : 'unsure'] };
    }
  }
}

function judgeStray(finding: Extract<ElfFinding, { kind: 'undetermined' }>): Judged | Unjudged {
  const { start } = finding;
  if (start === 'glibc' || start === 'musl') {
    const detail = `${finding.why}; it starts as ${start}'s programs do`;
    return { resolver: start, libc: start, detail, confidence: certainty.startCode };
  }
  if (finding.strayInterpreter === undefined) return { why: finding.why };
  const libc = loaderLibc(finding.strayInterpreter);
  const detail = `${finding.why}; ${finding.strayInterpreter} stands where linkers put the interpreter`;
  return { resolver: libc, libc, detail, confidence: certainty.strayInterpreter };
}

function verdict(resolver: Resolver, libc: Libc, detail: string, confidence: number): Verdict {
  const rounded = Math.round(Math.max(0.3, confidence) * 100) / 100;
  return { resolver, libc, evidence: { source: 'executable', detail, confidence: rounded } };
}

/** A program whose bytes were not reached. */
export interface Unreached {
  /** Where it may be. */
  readonly paths: readonly string[];
  /** The history says that it was copied, linked, fetched or built into the image: it may be linked to any C library. */
  readonly copiedIn: boolean;
  /** glibc programs run beside musl: the base layer decides nothing. */
  readonly twoLibcs: boolean;
}

const fallbackCertainty = { 'base-layer': 0.5, history: 0.4, label: 0.3 } as const;

/**
 * Reports whether the base layer's C library says anything about the program: by its name it is one that distributions link
 * to their own. Of others, packaged or not, that is not known: they may be Go's.
 */
export function baseLibcApplies({ paths, copiedIn, twoLibcs }: Unreached): boolean {
  if (copiedIn || twoLibcs) return false;
  return isLinkedToBase(baseName(paths[0] ?? ''));
}

/**
 * Returns the verdict on a program that was not reached: from the base layer's first executable, else from the image's
 * metadata. It is unknown if the program need not be linked to the base layer's C library.
 */
export function fallbackVerdict(program: Unreached, base: LayerIndex | undefined, hints: readonly Hint[]): Verdict {
  const missing = `${shownPlace(program.paths)} was not in what was read of the image`;
  const first = base?.firstDynamic;
  const libc = first === undefined ? undefined : loaderLibc(first.interpreter);
  if (!baseLibcApplies(program)) {
    return unknownVerdict(
      libc === undefined ? missing : `${missing}, and the base layer's ${libc} need not be its own`,
    );
  }
  if (first !== undefined && libc !== undefined) {
    const detail = `${missing}; the base layer's /${shownName(first.path)} has interpreter ${shownName(first.interpreter)}`;
    return impliedVerdict('base-layer', libc, detail);
  }
  const hint = agreedHint(hints);
  if (hint === undefined) return unknownVerdict(missing);
  return impliedVerdict(hint.source, hint.libc, `${missing}; the image says: ${hint.text}`);
}

/** Names a program that was not seen: by its path if there is one, by its name if it may be in any folder of PATH. */
function shownPlace([path = '', ...others]: readonly string[]): string {
  return shownName(others.length === 0 ? `/${path}` : baseName(path));
}

function impliedVerdict(
  source: keyof typeof fallbackCertainty,
  libc: 'glibc' | 'musl' | 'other',
  detail: string,
): Verdict {
  return { resolver: libc, libc, evidence: { source, detail, confidence: fallbackCertainty[source] } };
}

/** The programs that a container may run, judged. */
interface JudgedRun {
  readonly stays: readonly Candidate[];
  readonly beside: readonly Candidate[];
  readonly passing: readonly Candidate[];
}

/**
 * Returns the verdict on all that a container runs. What stays in the foreground gives its resolver if all that may stay there
 * have the same. What has ended before counts among the resolvers where it is known: it resolved names too, if shortly. What
 * is not known of it adds nothing, for nearly every script runs some helper first.
 */
export function runVerdict({ stays, beside, passing }: JudgedRun): Verdict {
  const known = passing.filter(({ resolver }) => resolver !== 'unknown');
  const all = atMost(distinct([...stays, ...beside, ...known]));
  const [first] = stays.toSorted((one, other) => one.evidence.confidence - other.evidence.confidence);
  if (first === undefined) return unknownVerdict('it runs no program');
  const others = all.length > 1 ? { resolvers: all } : {};
  if (new Set(stays.map(({ resolver }) => resolver)).size === 1) {
    const { resolver, libc, evidence } = first;
    return { resolver, libc, evidence, ...others };
  }
  const shown = distinct(stays).map(({ resolver, evidence }) => `${resolver} (${evidence.detail})`);
  return { ...unknownVerdict(`it may run several programs: ${shown.join(' or ')}`), ...others };
}

/** A list for people: of many programs one of each kind tells enough. */
const mostCandidates = 16;

function atMost(all: readonly Candidate[]): readonly Candidate[] {
  if (all.length <= mostCandidates) return all;
  return [...new Map(all.toReversed().map((one) => [`${one.resolver} ${one.libc}`, one])).values()];
}

/** Returns the candidates that differ in resolver, libc or program. */
function distinct(all: readonly Candidate[]): readonly Candidate[] {
  return [...new Map(all.map((one) => [candidateKey(one), one])).values()];
}

const candidateKey = ({ resolver, libc, executable, evidence }: Candidate): string =>
  JSON.stringify([resolver, libc, executable ?? evidence.detail]);
