import { readDeclared } from '../../policy/annotations.ts';
import type { ContainerView, PodView } from '../../policy/model.ts';
import { unknownVerdict, type Verdict } from '../../policy/verdict.ts';
import type { Span } from '../../telemetry/tracing.ts';
import { beforeAbort } from '../../util/abort.ts';
import {
  type ContainerRun,
  containerRun,
  type Detection,
  type Detector,
  type DetectRequest,
  leftAtDeadline,
  type Logins,
} from '../detector.ts';
import { commandInImage, mountOver } from './exec-wrappers.ts';
import type { Platform } from '../image-source.ts';
import { podPlatform } from '../platform.ts';

/** The admission request for which a Pod's images are inspected. */
export interface PodRequest {
  /** The request's namespace: the Pod's own may be empty. */
  readonly namespace: string;
  /** Milliseconds that the Pod may wait. */
  readonly budgetMs: number;
  /** If true, nothing may be written anywhere. */
  readonly dryRun?: boolean;
  /** The span of the review; look-ups become its children. */
  readonly span?: Span | undefined;
}

/** Most different images of one Pod that are looked up. */
const MOST_LOOKUPS = 32;

export interface PodVerdictsOptions {
  /** Absent: only annotations are read. */
  readonly detector?: Detector;
  readonly platform: Platform;
  readonly credentials?: PodCredentials;
}

/** What names a Pod's logins. */
type LoginView = Pick<PodView, 'imagePullSecrets' | 'serviceAccountName'>;

/** Returns the registry logins that a Pod of this namespace may use. Logins that cannot be read are left out. */
export type PodCredentials = (pod: LoginView, namespace: string) => Promise<Logins>;

/** Names of Kubernetes are no longer (RFC 1123 subdomain); of more pull secrets none is read. */
const MOST_NAME = 253;
const MOST_SECRETS = 100;

const isName = (name: string): boolean => name.length <= MOST_NAME;

/** Returns what a look-up may keep of its Pod, which it outlives. */
function loginView({ imagePullSecrets, serviceAccountName }: PodView): LoginView {
  return {
    imagePullSecrets: imagePullSecrets.filter(isName).slice(0, MOST_SECRETS),
    serviceAccountName: isName(serviceAccountName) ? serviceAccountName : '',
  };
}

const NOT_LOOKED_UP = unknownVerdict('no annotation says it, and the registry look-up is off');
const TOO_MANY = unknownVerdict(`not looked up: the Pod has more than ${MOST_LOOKUPS} different images`);
const NO_IMAGE = unknownVerdict('the container names no image');
const OUT_OF_TIME = unknownVerdict(leftAtDeadline.message);

/**
 * Returns the verdict for each of the Pod's containers, in order: what the user declared, else what the detector finds
 * within `budgetMs`, else unknown. Returns no promise if nothing has to be waited for. Never rejects.
 */
export function podVerdicts(
  pod: PodView,
  admission: PodRequest,
  options: PodVerdictsOptions,
): readonly Verdict[] | Promise<readonly Verdict[]> {
  const declared = readDeclared(pod);
  const { detector } = options;
  const lookUp = detector && createLookUp(pod, admission, detector, options);
  const lookedUp = new Map<string, Answer>();
  const isSingle = pod.containers.length === 1;
  const answer = (container: ContainerView): Answer => {
    const annotated = declared.verdictFor(container.name);
    if (annotated !== undefined) return annotated;
    if (lookUp === undefined) return NOT_LOOKED_UP;
    if (container.image === '') return NO_IMAGE;
    if (commandInImage(container) === undefined) return fromVolume(container);
    const run = containerRun(container);
    const key = isSingle ? '' : JSON.stringify([container.image, run]);
    const known = lookedUp.get(key);
    if (known !== undefined) return known;
    if (lookedUp.size >= MOST_LOOKUPS) return TOO_MANY;
    const found = lookUp(container, run);
    lookedUp.set(key, found);
    return found;
  };
  const answers = pod.containers.map(answer);
  return answers.some(isPending) ? Promise.all(answers.map(async (one) => await one)) : (answers as Verdict[]);
}

const fromVolume = ({ command: [program = ''], mounts }: ContainerView): Verdict =>
  unknownVerdict(`${program} is not in the image: it comes from the volume at ${mountOver(program, mounts) ?? ''}`);

/** Returns the verdict about what a container runs; unknown if a volume hides the program that it is about. */
function verdictOf({ verdict, executable = '' }: Detection, { mounts }: ContainerView): Verdict {
  const mount = mountOver(executable, mounts);
  if (mount === undefined) return executable === '' ? verdict : { ...verdict, executable };
  return unknownVerdict(`the volume at ${mount} hides ${executable} of the image`);
}

/**
 * Returns the Pod's logins; none if they cannot be read in half of the time. The image may be public, and its look-up needs
 * the other half.
 */
async function loginsOf(
  pod: LoginView,
  { namespace, budgetMs }: PodRequest,
  { credentials }: PodVerdictsOptions,
): Promise<Logins> {
  if (credentials === undefined) return [];
  const limit = AbortSignal.timeout(Math.ceil(budgetMs / 2));
  return (await beforeAbort(credentials(pod, namespace), limit).catch(() => undefined)) ?? [];
}

type Answer = Verdict | Promise<Verdict>;

const isPending = (answer: Answer): boolean => answer instanceof Promise;

/** Returns a look-up for the Pod's containers. They share logins and deadline, which are created when first needed. */
function createLookUp(
  pod: PodView,
  admission: PodRequest,
  detector: Detector,
  options: PodVerdictsOptions,
): (container: ContainerView, run: ContainerRun) => Answer {
  const waitMs = Math.max(1, Math.floor(admission.budgetMs));
  const { dryRun = false, span } = admission;
  const platform = podPlatform(pod, options.platform);
  const view = loginView(pod);
  let logins: Promise<Logins> | undefined;
  const credentials = (): Promise<Logins> => (logins ??= loginsOf(view, { ...admission, budgetMs: waitMs }, options));
  let deadline: AbortSignal | undefined;
  const wait = async (request: DetectRequest, container: ContainerView): Promise<Verdict> => {
    deadline ??= AbortSignal.timeout(waitMs);
    try {
      const detection = await beforeAbort(detector.detect(request, deadline), deadline);
      return detection === undefined ? OUT_OF_TIME : verdictOf(detection, container);
    } catch (error) {
      return unknownVerdict(`the look-up failed: ${error instanceof Error ? error.message : 'unknown error'}`);
    }
  };
  return (container, run) => {
    const request = {
      reference: container.image,
      platform,
      ...run,
      tenant: admission.namespace,
      dryRun,
      ...(options.credentials !== undefined && { credentials }),
      ...(span !== undefined && { span }),
    };
    const known = detector.peek?.(request);
    return known === undefined ? wait(request, container) : verdictOf(known, container);
  };
}
