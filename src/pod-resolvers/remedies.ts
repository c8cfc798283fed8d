import { decide } from '../policy/decide.ts';
import type { ClusterFacts, DnsOption, NamespaceView, PolicyConfig, Reach, Remedy } from '../policy/model.ts';
import { readPod } from '../policy/read-pod.ts';
import type { Reason } from '../policy/reasons.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import type { Resolver, Verdict } from '../policy/verdict.ts';
import { expectedResolvConf } from '../resolv-conf/kubelet.ts';

/**
 * The kinds of Pods that get different remedies for the same resolvers. `virtual`: it may run on a virtual node. `searches`: it has
 * search domains of its own, and no nameservers. `nameservers`: it has nameservers of its own.
 */
const SHAPES = ['plain', 'virtual', 'searches', 'nameservers'] as const;

type Shape = (typeof SHAPES)[number];

/** In the order in which a class names them. */
const RESOLVERS: readonly Resolver[] = ['glibc', 'go', 'musl', 'other', 'unknown'];

/** What the API server's policy does to a Pod, finished: it merges and computes nothing. */
export interface FinishedRemedy {
  readonly reason: Reason;
  readonly remedy: readonly Remedy[];
  readonly dnsPolicy?: 'None';
  readonly nameservers?: readonly string[];
  readonly searches?: readonly string[];
  /** Those about whose subject the Pod has no option are added. */
  readonly options: readonly DnsOption[];
}

/** The remedies of a namespace: for each shape and class of Pods (`glibc+musl`: all resolvers in it) the place of one in `remedies`. */
export interface Remedies {
  readonly classes: Readonly<Record<Shape, Readonly<Record<string, number>>>>;
  readonly remedies: readonly FinishedRemedy[];
}

/** What remedies depend on, besides the Pod. */
export interface RemedyTerms {
  readonly namespace: NamespaceView;
  readonly cluster: ClusterFacts;
  readonly config: PolicyConfig;
  /** What policies let every Pod of the namespace reach. */
  readonly reach: Reach;
}

/** A server that nobody has asked: any of a Pod's own. TEST-NET-1 (RFC 5737). */
const SOME_SERVER = '192.0.2.1';

const PODS: Readonly<Record<Shape, object>> = {
  plain: {},
  virtual: { nodeSelector: { type: 'virtual-kubelet' } },
  searches: {},
  nameservers: { dnsConfig: { nameservers: [SOME_SERVER] } },
};

const PLAIN = readPod({});

/** Returns the names of resolvers in the order of a class, each once: `glibc+musl`. */
const className = (resolvers: readonly Resolver[]): string =>
  RESOLVERS.filter((resolver) => resolvers.includes(resolver)).join('+');

/**
 * Returns the finished remedies of a namespace, made by `decide()`. A Pod that may need what the policy cannot give (the cache in the
 * Pod) has no entry, and is left alone.
 */
export function finishedRemedies(terms: RemedyTerms): Remedies {
  const remedies: FinishedRemedy[] = [];
  const places = new Map<string, number>();
  const placeOf = (remedy: FinishedRemedy): number => {
    const text = JSON.stringify(remedy);
    const place = places.get(text) ?? remedies.push(remedy) - 1;
    places.set(text, place);
    return place;
  };
  const entriesOf = (shape: Shape): Record<string, number> =>
    Object.fromEntries(
      combinations().flatMap((resolvers) => {
        const remedy = remedyOf(resolvers, shape, terms);
        return remedy === undefined ? [] : [[className(resolvers), placeOf(remedy)]];
      }),
    );
  const classes = Object.fromEntries(
    SHAPES.map((shape) => [shape, entriesOf(shape)]),
  ) as unknown as Remedies['classes'];
  return { classes, remedies };
}

/** Returns every set of resolvers but the empty one. */
function combinations(): (readonly Resolver[])[] {
  return Array.from({ length: 2 ** RESOLVERS.length - 1 }, (_, index) =>
    RESOLVERS.filter((__, place) => ((index + 1) & (1 << place)) !== 0),
  );
}

function remedyOf(resolvers: readonly Resolver[], shape: Shape, terms: RemedyTerms): FinishedRemedy | undefined {
  const { namespace, cluster, reach } = terms;
  const own = shape === 'searches' || shape === 'nameservers';
  // A redirect writes the whole list of nameservers and searches: the policy has room for the namespace's, not for each Pod's own.
  const config: PolicyConfig = own ? withoutRedirect(terms.config) : terms.config;
  const pod = readPod({ spec: { ...PODS[shape], containers: resolvers.map((name) => ({ name, image: name })) } });
  const decision = decide({
    pod,
    // The policy itself reads the mode from the labels of Pod and namespace.
    namespace: { ...namespace, labels: { ...namespace.labels, [MODE_LABEL]: 'enforce' } },
    cluster,
    config,
    reach,
    verdicts: resolvers.map(verdictOf),
    kubelet: () => expectedResolvConf(cluster, namespace.name, PLAIN),
  });
  const { reason, remedy, change } = decision;
  if (decision.mode === 'off' || change?.sidecar !== undefined) return undefined;
  const { dnsPolicy, nameservers, searches, options = [] } = change ?? {};
  return {
    reason,
    remedy,
    ...(dnsPolicy !== undefined && { dnsPolicy }),
    ...(nameservers !== undefined && shape !== 'nameservers' && { nameservers }),
    ...(searches !== undefined && { searches }),
    options,
  };
}

const withoutRedirect = (config: PolicyConfig): PolicyConfig =>
  config.musl.remedy === 'none' ? config : { ...config, musl: { ...config.musl, remedy: 'retry' } };

const verdictOf = (resolver: Resolver): Verdict => ({
  resolver,
  libc: 'unknown',
  evidence: { source: 'store', detail: '', confidence: 1 },
});
