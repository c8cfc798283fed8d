import type { DetectRequest, Inspect, Inspection } from '../detection/detector.ts';
import type { ImageManifest, ImageSource, LookupContext } from '../detection/image-source.ts';
import { type Candidate, unknownVerdict, type Verdict } from '../policy/verdict.ts';
import { type Budget, follow, type Given } from './command/follow.ts';
import { imageFiles } from './command/image-files.ts';
import { baseName } from './command/invocation.ts';
import { isLinkedToBase } from './command/known-programs.ts';
import type { Found, Located, Outcome, Program } from './command/outcome.ts';
import { likelihood } from './history.ts';
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
import { createLayerReader, type LayerReader } from './reading/layer-reader.ts';
import { loaderOf, mayHoldAnother, namesAnother, nextStep, type Target } from './reading/steps.ts';
import {
  admissionLimits,
  createSharedResources,
  type InspectLimits,
  openResources,
  type Resources,
  type SharedResources,
} from './limits.ts';
import { shownName } from './overlay.ts';
import { type Doubt, fallbackVerdict, programVerdict, runVerdict } from './verdict.ts';

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
    const step = mayGoOn ? nextStep({ image, reader, limits, look }, look().targets) : undefined;
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
