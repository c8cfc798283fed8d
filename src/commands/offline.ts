import type { Evaluation } from '../admission/evaluate.ts';
import { createEvaluator } from '../admission/evaluate.ts';
import { policyConfig } from '../config/policy-config.ts';
import type { Config } from '../config/schema.ts';
import type { Detector } from '../libc/detector.ts';
import { parsePlatform } from '../libc/platform.ts';
import type { ClusterFacts, Mode, NamespaceView } from '../policy/model.ts';
import { MODE_LABEL } from '../policy/scope.ts';
import { CommandError } from './errors.ts';
import type { Io } from './io.ts';
import type { Manifest, ManifestDocument } from './manifests.ts';
import { namespaceLabels, podTemplates, type PodTemplate } from './pod-templates.ts';
import type { CommonFlags } from './settings.ts';

/** Where nothing says otherwise: what kubeadm, kind and most distributions use. */
const BUILT_IN = { dns: ['10.96.0.10'], domain: 'cluster.local' } as const;

/** A person waits longer than an API server does. */
const LOOKUP_MS = 20_000;

/** The cluster's facts as far as the configuration has them, and the built-in values for the rest. */
export function configuredFacts(config: Config): { readonly facts: ClusterFacts; readonly assumed: readonly string[] } {
  const { dns, domain, nodeSearches } = config.cluster;
  const assumed = [
    ...(dns === 'auto' ? [`cluster DNS ${BUILT_IN.dns.join(' ')} (--cluster-dns)`] : []),
    ...(domain === 'auto' ? [`cluster domain ${BUILT_IN.domain} (--cluster-domain)`] : []),
    ...(nodeSearches === 'auto' ? ['no search domains on the nodes (--node-searches)'] : []),
  ];
  const facts: ClusterFacts = {
    dns: dns === 'auto' ? BUILT_IN.dns : dns,
    domain: domain === 'auto' ? BUILT_IN.domain : domain,
    nodeSearches: nodeSearches === 'auto' ? [] : nodeSearches,
    dnsOverTcp: false,
    nodeLocal: 'unknown',
  };
  return { facts, assumed };
}

/** What was decided for one Pod or Pod template of a manifest. */
export interface Explained {
  readonly document: ManifestDocument;
  readonly template: PodTemplate;
  readonly namespace: string;
  readonly evaluation: Evaluation;
}

function namespaceView(name: string, labels: Readonly<Record<string, string>>, mode: Mode | undefined): NamespaceView {
  const label = mode ?? labels[MODE_LABEL] ?? 'enforce';
  return { name, labels: { [MODE_LABEL]: label } };
}

const describe = ({ kind, namespace, name }: PodTemplate): string =>
  `${kind} ${namespace === '' ? '' : `${namespace}/`}${name || '(unnamed)'}`;

/**
 * Decides for every Pod and Pod template in the manifests, with the webhook's own rules. Namespaces in the same input
 * give their mode; one without a mode is read as `enforce`. Throws `CommandError` for a Pod that is not well formed.
 */
export async function explainManifests(
  manifests: readonly Manifest[],
  flags: CommonFlags,
  config: Config,
  detector?: Detector,
): Promise<Explained[]> {
  const { facts } = configuredFacts(config);
  const platform = parsePlatform(config.detection.platform);
  const verdicts = { platform, ...(detector !== undefined && { detector }) };
  const evaluate = createEvaluator({ config: policyConfig(config), cluster: () => facts, verdicts });
  const labels = new Map<string, Record<string, string>>();
  const pending: { manifest: Manifest; document: ManifestDocument; template: PodTemplate }[] = [];
  for (const manifest of manifests) {
    for (const document of manifest.documents) {
      for (const [name, found] of namespaceLabels(document.value)) labels.set(name, found);
      for (const template of podTemplates(document.value)) pending.push({ manifest, document, template });
    }
  }
  return Promise.all(
    pending.map(async ({ manifest, document, template }) => {
      const namespace = template.namespace || flags.namespace || 'default';
      const view = namespaceView(namespace, labels.get(namespace) ?? {}, flags.namespaceMode);
      const evaluation = await evaluate(template.pod, view, LOOKUP_MS);
      if (evaluation.decision.reason === 'MalformedPod') {
        const where = `${manifest.name}: document ${document.number} (${describe(template)})`;
        throw new CommandError('failed', `${where}: ${evaluation.decision.message}`);
      }
      return { document, template, namespace, evaluation };
    }),
  );
}

/** Says once, on stderr, what was taken for granted where that went into a result. */
export function noteAssumptions(io: Io, flags: CommonFlags, config: Config, explained: readonly Explained[]): void {
  const redirected = explained.filter(({ evaluation }) => evaluation.decision.change?.dnsPolicy === 'None');
  if (redirected.length === 0) return;
  const { assumed } = configuredFacts(config);
  const guessed = redirected.some(({ template }) => template.namespace === '') && flags.namespace === undefined;
  const all = [...assumed, ...(guessed ? ['namespace default where a manifest names none (--namespace)'] : [])];
  if (all.length > 0) io.err(`libc-dns: a redirect fixes the DNS settings. Taken for granted: ${all.join(', ')}.\n`);
}
