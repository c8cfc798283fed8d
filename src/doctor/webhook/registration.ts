import type { Config } from '../../config/schema.ts';
import { SYSTEM_NAMESPACES } from '../../policy/scope.ts';
import { counted, listed } from '../../util/text.ts';
import { failure, type Outcome, type Remark, summarize, warning } from '../check.ts';
import type { MutatingPolicy, ServiceSeen, WebhookConfiguration, WebhookEntry } from '../view/view.ts';
import { concernsPods, selects } from './scope.ts';
import type { LeftOut } from '../../pod-resolvers/left-out.ts';

/** Matches the names of our entries, in the chart and in the manifests, whatever the configuration's name. */
const OURS = /(^|\.)libc-dns\.dev$/;

export const isOurs = ({ name }: Pick<WebhookEntry, 'name'>): boolean => OURS.test(name);

/** Returns the configurations that have an entry of ours, or the configured name. */
export function ourConfigurations(
  all: readonly WebhookConfiguration[],
  registration: string,
): readonly WebhookConfiguration[] {
  return all.filter(({ name, entries }) => name === registration || entries.some(isOurs));
}

export interface RegistrationEvidence {
  /** Only ours. */
  readonly configurations: readonly WebhookConfiguration[];
  /** The existing Services of the entries, by `namespace/name`. */
  readonly services: ReadonlyMap<string, ServiceSeen>;
  readonly config: Pick<Config, 'detection' | 'tls'>;
  /** The namespace that the webhook runs in. */
  readonly own: string | undefined;
  /** Running workloads that look like ours: a missing registration is then a failure, not a choice. */
  readonly leftovers: readonly string[];
  /** Our MutatingAdmissionPolicies. */
  readonly policies: readonly Pick<MutatingPolicy, 'name' | 'namespace' | 'bindings'>[];
  /**
   * Namespaces in scope, and how many images each PodResolvers leaves out; `no kind`: the API server has no PodResolvers; undefined: they may not be
   * read, or there is no policy.
   */
  readonly podResolvers: 'no kind' | { readonly inScope: readonly string[]; readonly leftOut: LeftOut } | undefined;
}

const INSTALL = { text: 'Install it: docs/install.md. Nothing is patched until a namespace or a Pod is labelled.' };

/** Judges whether the API server calls the webhook for new Pods and for nothing else. */
export function judgeRegistration(evidence: RegistrationEvidence): Outcome {
  const { configurations, services, config, own, leftovers, policies } = evidence;
  const names = configurations.map(({ name }) => name);
  // The webhook is called for what the policy leaves.
  const ofPolicy = judgeOwnPolicy(evidence, configurations.length === 0 ? 'failure' : 'warning');
  if (configurations.length === 0 && policies.length > 0) {
    return summarize(
      ofPolicy,
      `no webhook is called: the API server patches Pods by its policy ${policies.map(({ name }) => name).join(', ')}`,
      { details: ['what it knows of images: kubectl get podresolvers -A (docs/policy.md)'] },
    );
  }
  if (configurations.length === 0) {
    if (leftovers.length === 0)
      return warning('not installed: no MutatingWebhookConfiguration calls libc-dns-webhook', { advice: [INSTALL] });
    const seen = `not registered, though ${leftovers.join(', ')} runs: every Pod is created as it is written`;
    return failure(seen, {
      advice: [
        {
          text: `Apply the registration (${config.tls.registration}) again, with helm upgrade or from certs/manifests.`,
        },
      ],
    });
  }
  const entries = configurations.flatMap((configuration) => configuration.entries);
  const data = {
    configurations: configurations.map(({ name, entries: of }) => ({ name, entries: of.map((entry) => entry.name) })),
  };
  if (entries.length === 0)
    return failure(`${names.join(', ')} has no entries: nobody is called`, { data, advice: [INSTALL] });
  const ofEntries = entries.flatMap((entry) => [
    ...judgeTarget(entry, services),
    ...judgeRules(entry),
    ...judgeExclusions(entry, own),
    ...judgePolicies(entry, config.detection.budget),
  ]);
  const remarks = [...ofEntries, ...ofPolicy];
  const fine = `${names.join(', ')}: ${counted(entries.length, 'entry', 'entries')}, called for the creation of Pods, failurePolicy Ignore`;
  return summarize(remarks, fine, { data });
}

/** Judges whether our policy has an effect: a binding, the kind of its parameters, and an object in each namespace in scope. */
function judgeOwnPolicy({ policies, podResolvers }: RegistrationEvidence, failed: 'failure' | 'warning'): Remark[] {
  const unbound = policies.filter(({ bindings }) => bindings.length === 0).map(({ name }) => name);
  const remarks = unbound.map((name) =>
    remark(failed, `the policy ${name} has no binding, and so no effect`, 'helm upgrade makes it again.'),
  );
  if (policies.length > 1) {
    const releases = policies.map(({ name, namespace }) =>
      namespace === undefined ? name : `${name} of ${namespace}`,
    );
    const text = `two releases write the same PodResolvers in turn: ${listed(releases)}`;
    remarks.push(remark('warning', text, 'Uninstall one: a cluster takes one release with a policy.'));
  }
  if (podResolvers === undefined) return remarks;
  if (podResolvers === 'no kind') {
    const text = 'the API server has no kind PodResolvers: its policy patches no Pod';
    return [...remarks, remark(failed, text, 'helm upgrade makes it again.')];
  }
  const { inScope, leftOut } = podResolvers;
  const missing = inScope.filter((name) => !leftOut.has(name));
  const shortened = [...leftOut].filter(([, count]) => count > 0).map(([name, count]) => `${name} (${count})`);
  return [
    ...remarks,
    ...(missing.length === 0
      ? []
      : [
          remark(
            missing.length === inScope.length ? failed : 'warning',
            `no PodResolvers, so that the policy patches no Pod: ${listed(missing)}`,
            'The leader writes them within seconds: check that one runs (--check replicas), and read its log.',
          ),
        ]),
    ...(shortened.length === 0
      ? []
      : [
          remark(
            'warning',
            `PodResolvers have no room for all images; those that are left out count as unknown: ${listed(shortened)}`,
            'Keep the webhook beside the policy: admissionPolicy.webhook=true. It is called for Pods of unknown images.',
          ),
        ]),
  ];
}

function judgeTarget(
  { name, service, url, reviewVersions }: WebhookEntry,
  services: ReadonlyMap<string, ServiceSeen>,
): Remark[] {
  const version = reviewVersions.includes('v1')
    ? []
    : [
        remark(
          'failure',
          `${name} does not offer AdmissionReview v1, the only one the webhook answers`,
          'Set admissionReviewVersions: [v1].',
        ),
      ];
  if (service === undefined) return [...version, remark('ok', `${name} is called at ${url ?? 'no address'}`)];
  const key = `${service.namespace}/${service.name}`;
  const seen = services.get(key);
  if (seen === undefined) {
    return [
      ...version,
      remark(
        'failure',
        `${name} calls Service ${key}, which does not exist`,
        'Apply the Service again, or delete the leftover registration.',
      ),
    ];
  }
  if (!seen.ports.includes(service.port)) {
    return [
      ...version,
      remark(
        'failure',
        `${name} calls port ${service.port} of Service ${key}, which has ${seen.ports.join(', ') || 'none'}`,
        'Make the port of the registration and of the Service the same.',
      ),
    ];
  }
  return version;
}

function judgeRules({ name, rules }: WebhookEntry): Remark[] {
  if (!concernsPods(rules, 'CREATE')) {
    return [
      remark(
        'failure',
        `${name} is not called when Pods are created`,
        'Apply the registration again: its rules must be CREATE of pods.',
      ),
    ];
  }
  const update = concernsPods(rules, 'UPDATE');
  const more = rules.some(({ resources }) => resources.some((resource) => resource !== 'pods'));
  return [
    ...(update
      ? [
          remark(
            'warning',
            `${name} is called for UPDATE, too: dnsConfig of a Pod never changes, so a patch would be refused`,
            'Take UPDATE out of its rules.',
          ),
        ]
      : []),
    ...(more
      ? [
          remark(
            'warning',
            `${name} is called for more than Pods: calls that cost time and change nothing`,
            'Leave pods alone in its rules.',
          ),
        ]
      : []),
  ];
}

const MODE = 'libc-dns.dev/mode';
const NAME = 'kubernetes.io/metadata.name';

/** System namespaces must be excluded: a cluster that cannot start its own components cannot start the webhook. */
function judgeExclusions({ name, namespaceSelector, failurePolicy }: WebhookEntry, own: string | undefined): Remark[] {
  const never = [...SYSTEM_NAMESPACES, ...(own === undefined ? [] : [own])];
  const values = ['enforce', 'audit', 'off', undefined];
  const called = never.filter((namespace) =>
    values.some((mode) =>
      selects(namespaceSelector, { [NAME]: namespace, ...(mode !== undefined && { [MODE]: mode }) }),
    ),
  );
  if (called.length === 0) return [];
  const text = `${name} is called for Pods of ${called.join(', ')}: the webhook leaves them alone, but they wait for it`;
  const status = failurePolicy === 'Ignore' ? 'warning' : 'failure';
  return [
    remark(status, text, 'Exclude them by kubernetes.io/metadata.name in its namespaceSelector, as the chart does.'),
  ];
}

/** Milliseconds of the API server's deadline that the server reserves for its response (src/admission/mutate.ts). */
const marginOf = (timeoutMs: number): number => Math.min(500, timeoutMs / 4);

function judgePolicies(
  { name, failurePolicy, reinvocationPolicy, timeoutSeconds }: WebhookEntry,
  budgetMs: number,
): Remark[] {
  const timeoutMs = timeoutSeconds * 1000;
  const left = timeoutMs - marginOf(timeoutMs);
  return [
    ...(failurePolicy === 'Ignore'
      ? []
      : [
          remark(
            'warning',
            `${name} has failurePolicy ${failurePolicy}: no Pod in scope starts while no replica can be reached`,
            'Set webhook.failurePolicy: Ignore. docs/install.md, "failurePolicy: Fail".',
          ),
        ]),
    ...(reinvocationPolicy === 'IfNeeded'
      ? []
      : [
          remark(
            'warning',
            `${name} has reinvocationPolicy ${reinvocationPolicy}: containers that other webhooks add later are not seen`,
            'Set webhook.reinvocationPolicy: IfNeeded.',
          ),
        ]),
    ...(left >= budgetMs
      ? []
      : [
          remark(
            'warning',
            `${name} has timeoutSeconds ${timeoutSeconds}, of which ${left / 1000} s are left for a look-up: less than detection.budget, ${budgetMs / 1000} s`,
            'Raise webhook.timeoutSeconds, or lower detection.budget.',
          ),
        ]),
  ];
}

const remark = (status: Remark['status'], text: string, advice?: string): Remark => ({
  status,
  text,
  ...(advice !== undefined && { advice: { text: advice } }),
});
