import type { DetectRequest, Inspect, Inspection } from '../detection/detector.ts';
import { unknownVerdict, type Verdict } from '../policy/verdict.ts';
import { imageFacts, type ImageFacts, isMuslImage, likelihoodOf, unreached } from './image-facts.ts';
import { shownName } from './image-path.ts';
import { admissionLimits, type InspectLimits } from './inspect-limits.ts';
import { likelihood, mayReplace } from './layer-order.ts';
import { programVerdict } from './program-verdict.ts';
import { type Located, locateProgram } from './program.ts';
import { standInVerdict } from './stand-in.ts';
import { loaderOf, nextStep } from './strategy.ts';
import { createSurvey, type Survey } from './survey.ts';

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
