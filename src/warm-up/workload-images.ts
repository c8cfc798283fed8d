import { containerRun, type Logins } from '../detection/detector.ts';
import type { Platform } from '../detection/image-source.ts';
import { podPlatform } from '../detection/platform.ts';
import { readDeclared } from '../policy/annotations.ts';
import { precheck } from '../policy/decide.ts';
import type { ClusterFacts, NamespaceView, PodView, PolicyConfig } from '../policy/model.ts';
import { MalformedPodError, readPod } from '../policy/read-pod.ts';
import type { Reason } from '../policy/reasons.ts';
import type { WarmUpLogin, WarmUpOffer } from './backlog.ts';

export interface WorkloadImagesOptions {
  readonly config: PolicyConfig;
  readonly cluster: () => ClusterFacts;
  /** The platform of Pods that name no architecture. */
  readonly platform: Platform;
  /** Reads the registry logins of a Pod of this namespace. Absent: it has none. */
  readonly credentials?: (
    pod: Pick<PodView, 'imagePullSecrets' | 'serviceAccountName'>,
    namespace: string,
  ) => Promise<Logins>;
}

/** The images to look up for a Pod template. */
interface WorkloadImages {
  readonly offers: readonly Omit<WarmUpOffer, 'isWanted'>[];
  /** Whether the namespace alone puts it out of scope: read the template again when the namespace's label changes. */
  readonly waitsForNamespace: boolean;
}

/** Most different images of one template, as for one Pod (`detection/pod/pod-verdicts.ts`). */
const MOST_IMAGES = 32;

const NOTHING: WorkloadImages = { offers: [], waitsForNamespace: false };
const LATER: WorkloadImages = { offers: [], waitsForNamespace: true };

/** Reasons that depend on the namespace's label alone. */
const NAMESPACE_REASONS: ReadonlySet<Reason> = new Set(['NotOptedIn', 'NamespaceOptedOut', 'NamespaceUnknown']);

/** Characters of a workload's list of pull secrets. With more it is looked up without logins: many workloads may wait in memory. */
const LONGEST_LOGIN = 1000;

/**
 * Returns the images that the Pods of a template will make the webhook look up, by the rules for Pods: none if the Pods are
 * out of scope, left alone, or declared by annotation. `namespace` undefined: its label is not known yet.
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
  return NAMESPACE_REASONS.has(leftAlone.reason) ? LATER : NOTHING;
}

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
    const request = { reference: image, platform, ...containerRun(container), tenant: namespace };
    offers.push(login === undefined ? { request } : { request, login });
  }
  return offers;
}
