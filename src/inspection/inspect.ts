import type { DetectRequest, Inspect, Inspection } from '../detection/detector.ts';
import type { ImageManifest, ImageSource, LookupContext } from '../detection/image-source.ts';
import { type Candidate, unknownVerdict, type Verdict } from '../policy/verdict.ts';
import { type Budget, follow, type Given } from './command/follow.ts';
import { imageFiles } from './command/image-files.ts';
import { baseName } from './command/invocation.ts';
import { isLinkedToBase } from './command/known-programs.ts';
import type { Found, Located, Outcome, Program, Unseen } from './command/outcome.ts';
import { agreedHint, isEndOf, likelihood, mayReplace } from './history.ts';
import {
  chancesOf,
  configBytes,
  factsBytes,
  imageFacts,
  type ImageFacts,
  isMuslImage,
  likelihoodOf,
  manifestBytes,
  unreached,
} from './image-facts.ts';
import { createLayerReader, type LayerReader, type ReadPlan } from './layer-reader.ts';
import {
  admissionLimits,
  createSharedResources,
  type InspectLimits,
  openResources,
  type Resources,
  type SharedResources,
  tinyLayer,
} from './limits.ts';
import { loaderLibc, type LoaderState, resolveLoader } from './loader.ts';
import { type EntryPlace, shownName } from './overlay.ts';
import { type Candidates, nextRead } from './next-read.ts';
import { baseLibcApplies, type Doubt, fallbackVerdict, programVerdict, runVerdict } from './verdict.ts';

/**
 * Returns an inspection that stays within `limits`, and shares `shared` with all other inspections of a process.
 * docs/detection.md gives the order of its decisions. It rejects only with the errors of the source and with
 * `lookupAbort.noMemory` if the memory of all is used up, never because of an image's content.
 */
export function createInspector(limits: InspectLimits, shared: SharedResources = createSharedResources()): Inspect {
  return async (source, request, context) => {
    const resources = openResources(shared, limits, context);
    try {
      const own = { ...context, signal: resources.signal, budget: resources };
      return await inspectWithin({ limits, resources }, source, request, own);
    } finally {
      resources.close();
    }
  };
}

interface Means {
  readonly limits: InspectLimits;
  readonly resources: Resources;
}

async function inspectWithin(
  { limits, resources }: Means,
  ...[source, request, context]: Parameters<Inspect>
): Promise<Inspection> {
  const started = { ...context.meter };
  await resources.room();
  const manifest = await source.manifest(request.platform, context);
  resources.keep(manifestBytes(manifest), 'its manifest');
  await resources.due();
  const image = await readFacts(source, manifest, resources, request, context);
  await resources.due();
  const reader = createLayerReader(source, manifest, context, limits, { started, resources });
  const { verdict, executable, direct } = await inspectLayers(image, reader, { limits, resources });
  const decider = direct === true ? decidedBy(request, image) : undefined;
  return {
    verdict,
    digest: manifest.digest,
    platform: manifest.platform,
    ...(executable !== undefined && { executable }),
    ...(decider !== undefined && { decidedBy: decider }),
  };
}

/** Reads the configuration. It can be collected when this returns: only what counts of it is kept. */
async function readFacts(
  source: ImageSource,
  manifest: ImageManifest,
  resources: Resources,
  request: DetectRequest,
  context: LookupContext,
): Promise<ImageFacts> {
  const config = await source.config(manifest, context);
  await resources.due();
  const whole = configBytes(config);
  const fits = resources.keep(whole, 'its configuration');
  const image = imageFacts(manifest, config, request);
  if (fits) resources.give(whole);
  resources.keep(factsBytes(image), 'its configuration');
  return image;
}

/** Inspects an image within the cost that an admission request may have. */
export const inspectImage: Inspect = createInspector(admissionLimits);

// Docker's own limit is 127 (moby layer/layer.go, maxLayerDepth is 125).
const maxLayers = 160;

interface Judged {
  readonly verdict: Verdict;
  readonly executable?: string;
  readonly direct?: boolean;
}

/** Returns the source of the word that names the program; undefined if that is the image's own Cmd. */
function decidedBy({ command, args }: DetectRequest, { hasEntrypoint }: ImageFacts): Inspection['decidedBy'] {
  if (command.length === 0 && hasEntrypoint) return 'entrypoint';
  return command.length > 0 || args.length > 0 ? 'first-word' : undefined;
}

async function inspectLayers(image: ImageFacts, reader: LayerReader, { limits, resources }: Means): Promise<Judged> {
  const { invocation } = image;
  const [name = ''] = invocation.argv;
  if (invocation.tooLong) return { verdict: unknownVerdict('the command line is longer than a kernel takes') };
  if (name === '') return { verdict: unknownVerdict('neither the Pod nor the image says what is run') };
  if (image.manifest.layers.length > maxLayers) {
    return { verdict: unknownVerdict(`the image has more than ${maxLayers} layers`) };
  }
  const budget = { left: limits.steps, each: limits.steps / 5 };
  const look = (): Look => lookAt(image, reader, budget);
  // Each round reads a layer or file for the first time, so the loop ends.
  for (let round = 0; round < limits.requests + limits.leastReads; round += 1) {
    const mayGoOn = resources.excess === undefined && reader.mayLocate();
    const step = mayGoOn ? nextStep({ image, reader, limits, look }, look()) : undefined;
    if (step === undefined) break;
    await resources.due();
    await step();
  }
  const last = look();
  if (resources.excess !== undefined && last.outcome.stays.some(({ located }) => located.status !== 'found')) {
    return { verdict: unknownVerdict(`the image is too large to look into: ${resources.excess}`) };
  }
  return conclude(image, reader, last);
}

/** What can be told with the layers that were read so far. */
interface Look {
  readonly outcome: Outcome;
  /** What is still to be found, most important first. */
  readonly targets: readonly Target[];
}

/** A file that is looked for. */
interface Target {
  readonly located: Located;
  readonly loader?: string | undefined;
  /** `file`: a script's text alone matters. `passing`: it is worth less than what is kept for others. */
  readonly weight: 'program' | 'passing' | 'file';
}

function lookAt(image: ImageFacts, reader: LayerReader, budget: Budget): Look {
  const files = imageFiles(reader.layers, image.mounts, chancesOf(image));
  const outcome = follow(files, image.invocation, givenBy(image), budget);
  const programs = [...outcome.stays, ...outcome.beside].map((program) => targetOf(program, 'program'));
  const isOpen = outcome.stays.some(({ located: { status } }) => status !== 'found');
  // A condition about a file may have decided it.
  const isHidden = outcome.stays.some(({ located: { status } }) => status === 'hidden');
  const sources = [...(isOpen ? files.wanted : []), ...(isHidden ? files.asked : [])].map((located) => ({
    located,
    weight: 'file' as const,
  }));
  return {
    outcome,
    targets: [...sources, ...programs, ...outcome.passing.map((program) => targetOf(program, 'passing'))],
  };
}

const givenBy = ({ buildpacks, manifest }: ImageFacts): Given => ({
  buildpacks,
  architecture: manifest.platform.architecture,
});

const targetOf = ({ located, runBy, loader }: Program, weight: Target['weight']): Target => ({
  located: runBy === undefined ? located : eitherOf(located, runBy),
  loader,
  weight,
});

function eitherOf(one: Located, other: Located): Located {
  if (one.status !== 'unseen' || other.status !== 'unseen') return other;
  return { ...one, paths: [...one.paths, ...other.paths], layers: [...new Set([...one.layers, ...other.layers])] };
}

function conclude(image: ImageFacts, reader: LayerReader, { outcome }: Look): Judged {
  const judgeAll = (programs: readonly Program[]): readonly Candidate[] =>
    programs.map((program) => judgeProgram(image, reader, program));
  const stays = judgeAll(outcome.stays);
  const verdict = runVerdict({ stays, beside: judgeAll(outcome.beside), passing: judgeAll(outcome.passing) });
  const [only] = outcome.stays;
  const isAlone = outcome.stays.length + outcome.beside.length + outcome.passing.length === 1;
  const executable = verdict.resolver === 'unknown' && !isAlone ? undefined : stays[0]?.executable;
  return {
    verdict,
    ...(executable !== undefined && { executable }),
    direct: isAlone && only?.direct === true && only.located.status === 'found',
  };
}

/** Judges one program by its file, else by what stands for it. */
function judgeProgram(image: ImageFacts, reader: LayerReader, program: Program): Candidate {
  const isKnown = program.runBy?.status === 'found' || !isOfBase(program.located);
  const located = isKnown ? (program.runBy ?? program.located) : program.located;
  const candidate = judgeLocated(image, reader, { ...program, located });
  if (located === program.located || program.located.status !== 'unseen') return candidate;
  const { evidence } = candidate;
  const name = shownName(`/${program.located.paths[0] ?? ''}`);
  const confidence = Math.min(evidence.confidence, certaintyByName);
  return { ...candidate, evidence: { ...evidence, detail: `${name} is run by ${evidence.detail}`, confidence } };
}

const isOfBase = (located: Located): boolean =>
  located.status === 'unseen' && isLinkedToBase(baseName(located.paths[0] ?? ''));

/** A name such as gunicorn says what runs it, and no more. */
const certaintyByName = 0.85;

function judgeLocated(
  image: ImageFacts,
  reader: LayerReader,
  program: Pick<Program, 'located' | 'loader' | 'env'>,
): Candidate {
  const { located } = program;
  if (located.status === 'hidden') return unknownVerdict(located.why);
  if (located.status === 'absent') return unknownVerdict(`${shownName(located.name)}: not in the image`);
  if (located.status === 'unseen') {
    const base = reader.wasRead(0) ? reader.layers[0] : undefined;
    const verdict = fallbackVerdict(unreached(image, located.paths), base, image.hints);
    const [path = '', ...others] = located.paths;
    return { ...verdict, ...(others.length === 0 && { executable: `/${path}` }) };
  }
  const executable = `/${located.path}`;
  const doubts = located.doubts.filter((layer) => likelihoodOf(image, layer, located.rivals) >= likelihood.possible);
  const replaced = doubts.find((layer) => !reader.wasRead(layer) && namesAnother(image, layer, located.rivals));
  if (replaced !== undefined) {
    return unknownVerdict(`${shownName(executable)}: layer ${replaced + 1}, which was not reached, may hold another`);
  }
  const verdict = programVerdict(
    { ...program, located },
    {
      loader: loaderOf(image, reader, located, program.loader),
      muslImage: isMuslImage(image, reader.layers),
      glibcOnMusl: image.glibcOnMusl,
      doubt: doubtOf(image, reader, located, doubts),
      saysOther: image.hints.some((hint) => hint.libc === 'other'),
    },
  );
  return { ...verdict, executable };
}

/** Reports whether a layer's history line names one of the paths, or something that may well replace it. */
const namesAnother = (image: ImageFacts, layer: number, rivals: readonly string[]): boolean =>
  mayReplace(image.history[layer], rivals) || likelihoodOf(image, layer, rivals) >= likelihood.likely;

function doubtOf(
  image: ImageFacts,
  reader: LayerReader,
  { entries, earlier }: Found,
  doubts: readonly number[],
): Doubt {
  if (earlier.length > 0) return 'blind';
  if (entries.some((entry) => mayHoldAnother(image, reader, entry))) return 'blind';
  if (doubts.some((one) => image.history[one] === undefined)) return 'blind';
  if (doubts.some((one) => image.history[one]?.runsScript === true)) return 'script';
  return doubts.length > 0 ? 'some' : 'none';
}

/** Reads one more layer or file. */
type Step = () => Promise<void>;

// Holds Alpine's bin/busybox, and Debian's merged bin.
const probeBytes = 16 * 1024;
// A RUN line that replaces or deletes a program in passing leaves a layer of at most this size.
const smallLayer = 64 * 1024;
// Bounds the work for an archive that repeats a wanted path.
const maxLocates = 64;

/** What a step needs. */
interface Inquiry {
  readonly image: ImageFacts;
  readonly reader: LayerReader;
  readonly limits: InspectLimits;
  readonly look: () => Look;
}

/** Returns the next read that tells more about a program; undefined if all are known or a limit is reached. */
function nextStep(inquiry: Inquiry, { targets }: Look): Step | undefined {
  for (const target of targets) {
    if (inquiry.reader.requestsLeft() < (target.weight === 'program' ? 1 : 2)) continue;
    const step = targetStep(inquiry, target);
    if (step !== undefined) return step;
  }
  return undefined;
}

function targetStep(inquiry: Inquiry, target: Target): Step | undefined {
  const { located } = target;
  const { reader } = inquiry;
  if (located.status === 'absent' || located.status === 'hidden') return undefined;
  if (located.status === 'unseen') return searchStep(inquiry, located, target.weight);
  if (located.content.kind === 'unread') return () => reader.readFile(located.layer, located.origin);
  return doubtStep(inquiry, located) ?? loaderStep(inquiry, located, target.loader);
}

/** Returns what is at the loader's path; undefined unless the program names glibc's loader. */
function loaderOf(
  image: ImageFacts,
  reader: LayerReader,
  { content }: Found,
  called?: string,
): LoaderState | undefined {
  if (content.kind !== 'elf' || content.finding.kind !== 'dynamic') return undefined;
  const loader = called ?? content.finding.interpreter;
  return loaderLibc(loader) === 'glibc'
    ? resolveLoader(reader.layers, loader, isMuslImage(image, reader.layers))
    : undefined;
}

function searchStep(inquiry: Inquiry, located: Unseen, weight: Target['weight']): Step | undefined {
  const { image, reader, look } = inquiry;
  const baseHelps = weight !== 'file' && baseLibcApplies(unreached(image, located.paths));
  // The layers that may hold a directory's files were chosen already.
  const atLeast = weight === 'file' && !located.paths.some(isEndOf) ? likelihood.possible : likelihood.unlikely;
  const wanted = { paths: located.paths, layers: located.layers, atLeast, baseHelps };
  // What is found may lead on to another file: the scan goes on for that if it can be in the same layer.
  const isOpen = (target: Target): boolean =>
    (target.located.status === 'unseen' || hasEarlier(target.located)) &&
    (target.weight !== 'passing' || weight === 'passing');
  const locate = (): Located | LoaderState => {
    const { targets } = look();
    const open = targets.find(isOpen)?.located;
    return open ?? (inquiry.limits.wholeLayers ? missingLoader(inquiry, targets) : undefined) ?? nothingMore;
  };
  const elsewhere = located.layers.some(
    (layer) => layer > 0 && likelihoodOf(image, layer, located.paths) >= likelihood.mentioned,
  );
  // If the history puts the program into another layer, the base layer can only give its first executable.
  const isEnough = (layer: number): boolean => layer === 0 && elsewhere && reader.layers[0]?.firstDynamic !== undefined;
  return readStep(inquiry, wanted, { locate, isEnough });
}

/** Returns a loader of glibc's that a scan of a musl image looks for, too: once a layer is read, it is not read again. */
function missingLoader({ image, reader }: Inquiry, targets: readonly Target[]): LoaderState | undefined {
  if (!isMuslImage(image, reader.layers)) return undefined;
  return targets
    .map(({ located, loader }) => (located.status === 'found' ? loaderOf(image, reader, located, loader) : undefined))
    .find((loader) => loader?.status === 'unseen');
}

const hasEarlier = (located: Located): boolean => located.status === 'found' && located.earlier.length > 0;

const nothingMore: Located = { status: 'absent', name: '' };

/**
 * Reads the layers that may well hide the program found: small ones, layers whose history line names it, and in a scan those
 * without a line.
 */
function doubtStep(inquiry: Inquiry, located: Found): Step | undefined {
  const { image, limits, look } = inquiry;
  const layers = located.doubts.filter((layer) => {
    const isSmall = (image.manifest.layers[layer]?.size ?? 0) <= smallLayer && layer > 0;
    const isRead = isSmall || (limits.wholeLayers && image.history[layer] === undefined);
    const mayHold = isRead && likelihoodOf(image, layer, located.rivals) >= likelihood.possible;
    return mayHold || namesAnother(image, layer, located.rivals);
  });
  const wanted = { paths: located.rivals, layers, atLeast: likelihood.possible, baseHelps: false };
  return readStep(inquiry, wanted, {
    isWhole: limits.wholeLayers,
    locate: () => {
      const all = look().targets.map((target) => target.located);
      const again = all.find(
        (one) => one.status === 'found' && one.path === located.path && one.layer === located.layer,
      );
      return again?.status === 'found' ? { status: 'unseen', paths: wanted.paths, layers: again.doubts } : nothingMore;
    },
  });
}

/** Checks that glibc's loader is no musl shim, unless the image's history and labels agree on glibc. */
function loaderStep(inquiry: Inquiry, located: Found, called: string | undefined): Step | undefined {
  const { image, reader } = inquiry;
  const loader = loaderOf(image, reader, located, called);
  if (loader === undefined || loader.status === 'absent') return undefined;
  const muslImage = isMuslImage(image, reader.layers);
  if (loader.status === 'seen') {
    const { unread } = loader;
    return unread === undefined || !muslImage ? undefined : () => reader.readFile(unread.layer, unread.path);
  }
  if (muslImage) {
    const wanted = { ...loader, atLeast: likelihood.possible, baseHelps: false };
    const locate = (): LoaderState => loaderOf(image, reader, located, called) ?? { status: 'absent' };
    return readStep(inquiry, wanted, { locate });
  }
  if (agreedHint(image.hints)?.libc === 'glibc' || reader.wasRead(0) || reader.bytesLeft() < probeBytes)
    return undefined;
  return () => reader.read(0, { windows: [probeBytes], reserve: 0, visit: () => 'go' });
}

/** What a read looks for. */
interface Goal {
  readonly locate: () => Located | LoaderState;
  /** Reports whether a layer has told enough, although it does not hold the file. */
  readonly isEnough?: (layer: number) => boolean;
  /** It is read to its end: any file on the way to the program may be in it. */
  readonly isWhole?: boolean;
}

function readStep({ image, reader, limits }: Inquiry, wanted: Candidates, goal: Goal): Step | undefined {
  const next = nextRead(reader, image, wanted, limits);
  if (next === undefined) return undefined;
  const isWhole = goal.isWhole === true || (image.manifest.layers[next.layer]?.size ?? 0) <= tinyLayer;
  const done = isWhole ? neverDone : layerDone(reader, next.layer, goal);
  const mayRepeat = (path: string): boolean => mayHoldAnother(image, reader, { layer: next.layer, path });
  const visit = stopAt(next.layer, wanted.paths, goal, done, mayRepeat);
  // A tiny layer comes in one request, so it is scanned to its end.
  const visitWhole: typeof visit = (path, node) => (visit(path, node) === 'go' ? 'go' : 'wanted');
  return () => reader.read(next.layer, { ...next, visit: isWhole ? visitWhole : visit });
}

/**
 * Reports whether the rest of an archive may have one more entry of a path that it has shown. A distribution's base is its root
 * file system, packed by tar.
 */
function mayHoldAnother(image: ImageFacts, reader: LayerReader, { layer, path }: EntryPlace): boolean {
  const index = reader.layers[layer];
  if (index === undefined || index.complete) return false;
  if (index.isForeign && (layer > 0 || image.history[0] === undefined)) return true;
  return index.irregular && !index.isKnown(path);
}

type Done = (wanted: readonly string[]) => boolean;

const neverDone: Done = () => false;

/** Returns a test for a layer that has nothing more for the goal. */
function layerDone(reader: LayerReader, layer: number, { isEnough }: Goal): Done {
  if (isEnough?.(layer) === true) return () => true;
  const index = reader.layers[layer];
  const baseMay = layer === 0 && isEnough !== undefined;
  return (wanted) => (baseMay ? isEnough(layer) : index !== undefined && wanted.every((path) => index.isKnown(path)));
}

/** Stops a scan once the file is found or the layer has nothing more for it. */
function stopAt(
  layer: number,
  paths: readonly string[],
  goal: Goal,
  done: Done,
  mayRepeat: (path: string) => boolean,
): ReadPlan['visit'] {
  let wanted = paths;
  let locates = 0;
  const noted: string[] = [];
  return (path, node) => {
    const matters = wanted.some((one) => one.startsWith(path) && (one[path.length] ?? '/') === '/');
    if (matters && node.type !== 'directory' && locates < maxLocates) {
      locates += 1;
      const state = goal.locate();
      if (state.status === 'found' && state.earlier.length > 0) {
        wanted = state.earlier;
        return done(wanted) ? 'stop' : 'go';
      }
      if (state.status !== 'unseen' || !state.layers.includes(layer)) {
        if (!mayRepeat(path)) return 'stop';
        noted.push(path);
        return 'noted';
      }
      wanted = state.paths;
    }
    return done(wanted) && !noted.some(mayRepeat) ? 'stop' : 'go';
  };
}
