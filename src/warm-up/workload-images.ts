import { containerRun, type DetectRequest } from '../detection/detector.ts';
import type { Platform } from '../detection/image-source.ts';
import { podPlatform } from '../detection/platform.ts';
import { readDeclared } from '../policy/annotations.ts';
import { precheck } from '../policy/decide.ts';
import type { ClusterFacts, NamespaceView, PodView, PolicyConfig } from '../policy/model.ts';
import { MalformedPodError, readPod } from '../policy/read-pod.ts';
import type { Reason } from '../policy/reasons.ts';
import type { WarmUpLogin, WarmUpOffer } from './backlog.ts';

type Logins = NonNullable<DetectRequest['credentials']>;

export interface WorkloadImagesOptions {
  readonly config: PolicyConfig;
  readonly cluster: () => ClusterFacts;
  /** What a Pod that names no architecture runs on. */
  readonly platform: Platform;
  /** The registry logins of a Pod of this namespace. Absent: there are none. */
  readonly credentials?: (
    pod: Pick<PodView, 'imagePullSecrets' | 'serviceAccountName'>,
    namespace: string,
  ) => Promise<Logins>;
}

/** What is to be looked up for a Pod template. */
interface WorkloadImages {
  /** Empty where nothing is. */
  readonly offers: readonly Omit<WarmUpOffer, 'isWanted'>[];
  /** Out of scope as the namespace is now: to be looked at again when its label changes. */
  readonly waitsForNamespace: boolean;
}

/** Different images of one template, as for one Pod (`libc/pod-verdicts.ts`). */
const MOST_IMAGES = 32;

const NOTHING: WorkloadImages = { offers: [], waitsForNamespace: false };
const LATER: WorkloadImages = { offers: [], waitsForNamespace: true };

/** The namespace's label alone decided so. */
const WAITS: ReadonlySet<Reason> = new Set(['NotOptedIn', 'NamespaceOptedOut', 'NamespaceUnknown']);

/** Characters of a workload's list of pull secrets; with more it is looked up as anybody. Many workloads may wait. */
const LONGEST_LOGIN = 1000;

function parse(template: unknown): PodView | undefined {
  try {
    return readPod(template);
  } catch (error) {
    if (error instanceof MalformedPodError) return undefined;
    throw error;
  }
}

function loginOf(pod: PodView, namespace: string, { credentials }: WorkloadImagesOptions): WarmUpLogin | undefined {
  if (credentials === undefined) return undefined;
  const { imagePullSecrets, serviceAccountName } = pod;
  const scope = JSON.stringify([namespace, serviceAccountName, imagePullSecrets]);
  if (scope.length > LONGEST_LOGIN) return undefined;
  return { scope, read: async () => await credentials({ imagePullSecrets, serviceAccountName }, namespace) };
}

function offersOf(pod: PodView, namespace: string, options: WorkloadImagesOptions): WorkloadImages['offers'] {
  const declared = readDeclared(pod);
  const platform = podPlatform(pod, options.platform);
  const login = loginOf(pod, namespace, options);
  const offers: Omit<WarmUpOffer, 'isWanted'>[] = [];
  for (const container of pod.containers) {
    const { name, image } = container;
    if (offers.length === MOST_IMAGES) break;
    if (image === '' || declared.verdictFor(name) !== undefined) continue;
    const request = { reference: image, platform, ...containerRun(container) };
    offers.push(login === undefined ? { request } : { request, login });
  }
  return offers;
}

/**
 * What the Pods of a template will make the webhook look up, by the rules for Pods: nothing where they are out of scope, left
 * alone, or declared by annotation. `namespace` undefined: its label is not known yet.
 */
export function workloadImages(
  template: unknown,
  name: string,
  namespace: NamespaceView | undefined,
  options: WorkloadImagesOptions,
): WorkloadImages {
  if (namespace === undefined) return LATER;
  const pod = parse(template);
  if (pod === undefined) return NOTHING;
  const leftAlone = precheck({ pod, namespace, cluster: options.cluster(), config: options.config });
  if (leftAlone === undefined) return { offers: offersOf(pod, name, options), waitsForNamespace: false };
  return WAITS.has(leftAlone.reason) ? LATER : NOTHING;
}
