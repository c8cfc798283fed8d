import type { DetectRequest, Inspect, Inspection } from '../detection/detector.ts';
import { unknownVerdict, type Verdict } from '../policy/verdict.ts';
import { agreedHint, likelihood, mayReplace } from './history.ts';
import { imageFacts, type ImageFacts, isMuslImage, likelihoodOf, unreached } from './image-facts.ts';
import { createSurvey, type ReadPlan, type Survey } from './layer-reader.ts';
import { admissionLimits, type InspectLimits } from './limits.ts';
import { loaderLibc, type LoaderState, resolveLoader } from './loader.ts';
import { type Located, locateProgram } from './locate-program.ts';
import { shownName } from './overlay.ts';
import { type Candidates, nextRead } from './read-plan.ts';
import { firstDynamic, mayStandIn, programVerdict, standInVerdict } from './verdict.ts';

/**
 * Looks into images within `limits`. What is decided, and in which order: docs/detection.md. The inspection rejects with
 * what the source rejects with, never for what an image holds.
 */
export function createInspector(limits: InspectLimits): Inspect {
  return async (source, request, context) => {
    const started = { ...context.meter };
    const manifest = await source.manifest(request.platform, context);
    const image = imageFacts(manifest, await source.config(manifest, context), request);
    const survey = createSurvey(source, manifest, context, limits, started);
    const { verdict, executable, direct } = await inspectLayers(image, survey, limits);
    const decidedBy = direct === true ? decidingWord(request, image) : undefined;
    return {
      verdict,
      digest: manifest.digest,
      platform: manifest.platform,
      ...(executable !== undefined && { executable }),
      ...(decidedBy !== undefined && { decidedBy }),
    };
  };
}

/** Looks into an image within what an admission request may cost. */
export const inspectImage: Inspect = createInspector(admissionLimits);

// Docker's own limit is 127 (moby layer/layer.go, maxLayerDepth is 125).
const maxLayers = 160;

interface Outcome {
  readonly verdict: Verdict;
  readonly executable?: string;
  readonly direct?: boolean;
}

/** Whose word it is that names the program, where that word alone counts; undefined: the image's own Cmd. */
function decidingWord({ command, args }: DetectRequest, { hasEntrypoint }: ImageFacts): Inspection['decidedBy'] {
  if (command.length === 0 && hasEntrypoint) return 'entrypoint';
  return command.length > 0 || args.length > 0 ? 'first-word' : undefined;
}

async function inspectLayers(image: ImageFacts, survey: Survey, limits: InspectLimits): Promise<Outcome> {
  const [name = ''] = image.invocation.argv;
  if (name === '') return { verdict: unknownVerdict('neither the Pod nor the image says what is run') };
  if (image.manifest.layers.length > maxLayers) {
    return { verdict: unknownVerdict(`the image has more than ${maxLayers} layers`) };
  }
  const locate = (): Located => locateProgram(survey.layers, image.invocation);
  // Each round reads a layer or a file that was not read before.
  for (let round = 0; round < limits.requests + limits.leastReads; round += 1) {
    const step = nextStep(image, survey, locate(), limits);
    if (step === undefined) break;
    await step();
  }
  return conclude(image, survey, locate());
}

function conclude(image: ImageFacts, survey: Survey, located: Located): Outcome {
  if (located.status === 'absent') {
    return { verdict: unknownVerdict(`${shownName(located.name)}: not in the image`) };
  }
  if (located.status === 'unseen') {
    const base = survey.wasRead(0) ? survey.layers[0] : undefined;
    const verdict = standInVerdict(unreached(image, located.paths, located.layers), base, image.hints);
    const [path = '', ...others] = located.paths;
    return { verdict, ...(others.length === 0 && { executable: `/${path}` }) };
  }
  const doubts = located.doubts.filter((layer) => likelihoodOf(image, layer, located.rivals) >= likelihood.possible);
  const replaced = doubts.find(
    (layer) =>
      !survey.wasRead(layer) &&
      (mayReplace(image.history[layer], located.rivals) ||
        likelihoodOf(image, layer, located.rivals) >= likelihood.likely),
  );
  if (replaced !== undefined) {
    const path = shownName(`/${located.path}`);
    return { verdict: unknownVerdict(`${path}: layer ${replaced + 1}, which was not reached, may hold another`) };
  }
  const verdict = programVerdict(located, {
    loader: loaderOf(image, survey, located),
    muslImage: isMuslImage(image, survey.layers),
    glibcOnMusl: image.glibcOnMusl,
    doubted: doubts.length > 0,
    saysOther: image.hints.some((hint) => hint.libc === 'other'),
  });
  return { verdict, executable: `/${located.path}`, direct: located.direct };
}

/** Reads something that was not read before. */
type Step = () => Promise<void>;

type Found = Extract<Located, { status: 'found' }>;
type Unseen = Extract<Located, { status: 'unseen' }>;

// Alpine's bin/busybox and Debian's merged bin are within it.
const probeBytes = 16 * 1024;
// A layer that replaces or deletes a program in passing.
const smallLayer = 64 * 1024;
const tinyLayer = 32 * 1024;
// An archive may repeat a wanted path without end.
const maxLooks = 64;

/** What to read next to know more of the program; undefined where it is known, or the limits are met. */
function nextStep(image: ImageFacts, survey: Survey, located: Located, limits: InspectLimits): Step | undefined {
  if (located.status === 'absent' || survey.requestsLeft() < 1) return undefined;
  if (located.status === 'unseen') return searchStep(image, survey, located, limits);
  if (located.content.kind === 'unread') return () => survey.readFile(located.layer, located.path);
  return doubtStep(image, survey, located, limits) ?? loaderStep(image, survey, located, limits);
}

/** What stands at the path of glibc's loader, where the program names that. */
function loaderOf(image: ImageFacts, survey: Survey, program: Found): LoaderState | undefined {
  const { content } = program;
  if (content.kind !== 'elf' || content.finding.kind !== 'dynamic') return undefined;
  const loader = program.loader ?? content.finding.interpreter;
  return loaderLibc(loader) === 'glibc'
    ? resolveLoader(survey.layers, loader, isMuslImage(image, survey.layers))
    : undefined;
}

function searchStep(image: ImageFacts, survey: Survey, located: Unseen, limits: InspectLimits): Step | undefined {
  const baseHelps = mayStandIn(unreached(image, located.paths, located.layers));
  const wanted = { paths: located.paths, layers: located.layers, atLeast: likelihood.unlikely, baseHelps };
  const locate = (): Located => locateProgram(survey.layers, image.invocation);
  const elsewhere = located.layers.some(
    (layer) => layer > 0 && likelihoodOf(image, layer, located.paths) >= likelihood.mentioned,
  );
  // Where the history says that the program is in another layer, the base's first executable is all it can give.
  const standsIn = (layer: number): boolean => layer === 0 && elsewhere && firstDynamic(survey.layers[0]) !== undefined;
  return readStep(image, survey, wanted, limits, { locate, standsIn });
}

/**
 * A program does not count where another layer may well put another one before it: small layers and those whose history
 * names it are read for that.
 */
function doubtStep(image: ImageFacts, survey: Survey, located: Found, limits: InspectLimits): Step | undefined {
  const layers = located.doubts.filter((layer) => {
    const rank = likelihoodOf(image, layer, located.rivals);
    const isSmall = (image.manifest.layers[layer]?.size ?? 0) <= smallLayer && layer > 0;
    const isNamed = rank >= likelihood.likely || mayReplace(image.history[layer], located.rivals);
    return isNamed || (isSmall && rank >= likelihood.possible);
  });
  const wanted = { paths: located.rivals, layers, atLeast: likelihood.possible, baseHelps: false };
  return readStep(image, survey, wanted, limits, {
    locate: () => {
      const again = locateProgram(survey.layers, image.invocation);
      const isOther = again.status !== 'found' || again.path !== located.path || again.layer !== located.layer;
      return isOther ? again : { status: 'unseen', paths: wanted.paths, layers: again.doubts };
    },
  });
}

/** What stands at glibc's loader's path may be a musl shim, unless the image's words say that glibc is its distribution's. */
function loaderStep(image: ImageFacts, survey: Survey, located: Found, limits: InspectLimits): Step | undefined {
  const loader = loaderOf(image, survey, located);
  if (loader === undefined || loader.status === 'absent') return undefined;
  const muslImage = isMuslImage(image, survey.layers);
  if (loader.status === 'seen') {
    const { unread } = loader;
    return unread === undefined || !muslImage ? undefined : () => survey.readFile(unread.layer, unread.path);
  }
  if (muslImage) {
    const wanted = { ...loader, atLeast: likelihood.possible, baseHelps: false };
    const locate = (): LoaderState => loaderOf(image, survey, located) ?? { status: 'absent' };
    return readStep(image, survey, wanted, limits, { locate });
  }
  if (agreedHint(image.hints)?.libc === 'glibc' || survey.wasRead(0) || survey.bytesLeft() < probeBytes)
    return undefined;
  return () => survey.read(0, { windows: [probeBytes], reserve: 0, visit: () => 'go' });
}

interface Goal {
  readonly locate: () => Located | LoaderState;
  /** Whether what is known of a layer will do, although the goal is not in it. */
  readonly standsIn?: (layer: number) => boolean;
}

function readStep(
  image: ImageFacts,
  survey: Survey,
  wanted: Candidates,
  limits: InspectLimits,
  goal: Goal,
): Step | undefined {
  const next = nextRead(survey, image.manifest.layers, image.history, wanted, limits);
  if (next === undefined) return undefined;
  // A layer that comes in one piece is worth knowing to its end.
  const isTiny = (image.manifest.layers[next.layer]?.size ?? 0) <= tinyLayer;
  const done = isTiny ? neverDone : layerDone(survey, next.layer, goal);
  return () => survey.read(next.layer, { ...next, visit: stopAt(next.layer, wanted.paths, goal, done) });
}

type Done = (wanted: readonly string[]) => boolean;

const neverDone: Done = () => false;

/** Whether a layer, as far as it was read, has nothing more for the goal. */
function layerDone(survey: Survey, layer: number, { standsIn }: Goal): Done {
  if (standsIn?.(layer) === true) return () => true;
  const index = survey.layers[layer];
  const baseMay = layer === 0 && standsIn !== undefined;
  return (wanted) => (baseMay ? standsIn(layer) : index !== undefined && wanted.every((path) => index.isKnown(path)));
}

/** Stops a scan when the goal is reached, or the layer has nothing more for it. */
function stopAt(layer: number, paths: readonly string[], goal: Goal, done: Done): ReadPlan['visit'] {
  let wanted = paths;
  let looks = 0;
  return (path, node) => {
    const matters = wanted.some((one) => one === path || one.startsWith(`${path}/`));
    if (matters && node.type !== 'directory' && looks < maxLooks) {
      looks += 1;
      const state = goal.locate();
      if (state.status !== 'unseen' || !state.layers.includes(layer)) return 'stop';
      wanted = state.paths;
    }
    return done(wanted) ? 'stop' : 'go';
  };
}
