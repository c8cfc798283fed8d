import type { ElfFinding } from '../inspection/formats/elf.ts';
import type { StaticJudgement } from '../inspection/formats/static-marks.ts';
import { type Libc, type Resolver, unknownVerdict, type Verdict } from '../policy/verdict.ts';
import { shownName } from './image-path.ts';
import type { LoaderState } from './loader-check.ts';
import { loaderLibc } from './loader.ts';
import type { Located } from './program.ts';

/**
 * How sure each kind of evidence makes us, before `penalty`. Measured on the corpus: docs/detection.md, "Confidence".
 */
const certainty = {
  interpreter: 0.99,
  goMark: 0.99,
  staticGlibc: 0.98,
  staticMuslText: 0.97,
  foreign: 0.95,
  notesOutOfReach: 0.95,
  staticMuslShape: 0.7,
  strayInterpreter: 0.7,
} as const;

const penalty = {
  /** A newer layer, or an earlier directory of PATH, may hold another program of the name. */
  doubts: 0.05,
  /** What stands at the loader's path was not seen, and nothing says that the image is not musl's. */
  loaderUnseen: 0.04,
  'one-of-several': 0.15,
  'script-body': 0.2,
  supervisor: 1,
} as const;

type Found = Extract<Located, { status: 'found' }>;

/** What the verdict on a program rests on besides itself. */
export interface Surroundings {
  readonly loader: LoaderState | undefined;
  /** The image shows or says that its distribution uses musl. */
  readonly muslImage: boolean;
  /** What the history says was installed to run glibc programs beside musl. */
  readonly glibcOnMusl: 'shim' | 'glibc' | undefined;
  /** Some layer that could hold another program in its place is not fully known. */
  readonly doubted: boolean;
  /** The history says that the image is made of another C library, such as uClibc. */
  readonly saysOther: boolean;
}

/** The verdict on a program that was found. */
export function programVerdict(program: Found, surroundings: Surroundings): Verdict {
  const name = shownName(`/${program.path}`);
  const { content } = program;
  if (program.reservations.includes('supervisor'))
    return unknownVerdict(`${name}: starts services that are not followed`);
  if (content.kind === 'unread') return unknownVerdict(`${name}: its bytes are out of reach`);
  if (content.kind !== 'elf') return unknownVerdict(`${name}: neither an ELF program nor a script`);
  const finding = judge(content.finding, content.judgement, surroundings, program.loader);
  if ('why' in finding) return unknownVerdict(`${name}: ${finding.why}`);
  const reserved = program.reservations.reduce((sum, reservation) => sum + penalty[reservation], 0);
  const confidence = finding.confidence - reserved - (surroundings.doubted ? penalty.doubts : 0);
  const detail = `${name}: ${finding.detail}${program.reservations.includes('script-body') ? '; it runs a script' : ''}`;
  return verdict(finding.resolver, finding.libc, detail, confidence);
}

interface Judged {
  readonly resolver: Resolver;
  readonly libc: Libc;
  readonly detail: string;
  readonly confidence: number;
}

type Unjudged = { readonly why: string };

function judge(
  finding: ElfFinding,
  judgement: StaticJudgement | undefined,
  surroundings: Surroundings,
  loader: string | undefined,
): Judged | Unjudged {
  switch (finding.kind) {
    case 'dynamic':
      return judgeDynamic(finding.go, finding.notesSeen, loader ?? finding.interpreter, surroundings);
    case 'static':
      return judgeStaticProgram(finding, judgement, surroundings.saysOther);
    case 'library':
      return { why: 'a shared library, not a program' };
    case 'undetermined':
      return judgeStray(finding);
    default:
      return { why: 'neither an ELF program nor a script' };
  }
}

function judgeDynamic(go: boolean, notesSeen: boolean, loader: string, surroundings: Surroundings): Judged | Unjudged {
  const named = loaderLibc(loader);
  const shown = `interpreter ${shownName(loader)}`;
  const behind = named === 'glibc' ? behindGlibcName(surroundings) : { libc: named, confidence: certainty.interpreter };
  if (go) {
    const libc = 'why' in behind ? 'unknown' : behind.libc;
    return { resolver: 'go', libc, detail: `${shown}, made by Go`, confidence: certainty.goMark };
  }
  if ('why' in behind) return { why: `${shown}, but ${behind.why}` };
  const confidence = notesSeen ? behind.confidence : Math.min(behind.confidence, certainty.notesOutOfReach);
  const detail = behind.detail === undefined ? shown : `${shown}, ${behind.detail}`;
  return { resolver: behind.libc, libc: behind.libc, detail, confidence };
}

interface Behind {
  readonly libc: 'glibc' | 'musl' | 'other';
  readonly confidence: number;
  readonly detail?: string;
}

/** What really stands behind glibc's loader's name: on a musl image it may be a shim. */
function behindGlibcName({ loader, muslImage, glibcOnMusl }: Surroundings): Behind | Unjudged {
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
  return { why: 'the image is one of musl and what stands at that path was not seen' };
}

function judgeStaticProgram(
  finding: Extract<ElfFinding, { kind: 'static' }>,
  judgement: StaticJudgement | undefined,
  saysOther: boolean,
): Judged | Unjudged {
  switch (finding.runtime) {
    case 'go':
      return { resolver: 'go', libc: finding.libc, detail: `static, ${finding.why}`, confidence: certainty.goMark };
    case 'glibc':
      return { resolver: 'glibc', libc: 'glibc', detail: `static, ${finding.why}`, confidence: certainty.staticGlibc };
    case 'other':
      return { resolver: 'other', libc: 'other', detail: finding.why, confidence: certainty.foreign };
    default:
      return judgeUnmarked(judgement, saysOther);
  }
}

function judgeUnmarked(judgement: StaticJudgement | undefined, saysOther: boolean): Judged | Unjudged {
  if (judgement === undefined) return { why: 'static, and its bytes are out of reach' };
  if (judgement.libc === 'unknown' || judgement.libc === 'glibc') return { why: judgement.why };
  if (judgement.libc === 'other') {
    return { resolver: 'other', libc: 'other', detail: judgement.why, confidence: certainty.foreign };
  }
  if (!judgement.sure && saysOther) return { why: 'static, and the image says that it is made of another C library' };
  const confidence = judgement.sure ? certainty.staticMuslText : certainty.staticMuslShape;
  return { resolver: 'musl', libc: 'musl', detail: judgement.why, confidence };
}

function judgeStray(finding: Extract<ElfFinding, { kind: 'undetermined' }>): Judged | Unjudged {
  if (finding.strayInterpreter === undefined) return { why: finding.why };
  const libc = loaderLibc(finding.strayInterpreter);
  const detail = `${finding.why}; ${finding.strayInterpreter} stands where linkers put the interpreter`;
  return { resolver: libc, libc, detail, confidence: certainty.strayInterpreter };
}

function verdict(resolver: Resolver, libc: Libc, detail: string, confidence: number): Verdict {
  const rounded = Math.round(Math.max(0.3, confidence) * 100) / 100;
  return { resolver, libc, evidence: { source: 'executable', detail, confidence: rounded } };
}
