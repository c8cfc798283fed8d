import { type DaemonSetChoice, parseDaemonSets } from '../../config/options.ts';
import type { Config } from '../../config/schema.ts';
import { POLICY_KINDS } from '../../exposure/policies/kinds.ts';
import { failure, ok, type Outcome, warning } from '../check.ts';
import type { Right } from '../view/view.ts';
import { listed } from '../../util/text.ts';

/** A right that the webhook uses (docs/security.md, "What it may do"). */
export interface Need extends Right {
  /** What does not work without it. */
  readonly without: string;
  /** Whether the webhook sooner or later patches no Pods without it. */
  readonly vital: boolean;
}

type Settings = Pick<
  Config,
  | 'admissionPolicy'
  | 'cluster'
  | 'exposure'
  | 'nodeLocal'
  | 'networkPolicies'
  | 'detection'
  | 'server'
  | 'tls'
  | 'warmUp'
>;

/** Returns the rights that the configuration needs. `own` is the namespace that the webhook runs in. */
export function rightsNeeded(config: Settings, own: string): Need[] {
  const groups: Group[] = [
    {
      verbs: ['get', 'list', 'watch'],
      of: { group: '', resource: 'namespaces' },
      without: 'the labels of namespaces are unknown, and their Pods are left alone',
      vital: true,
    },
    ...certificateNeeds(config, own),
    ...storeNeeds(config),
    ...warmUpNeeds(config, own),
    ...podResolversNeeds(config),
    ...factNeeds(config),
    ...policyNeeds(config),
    ...exposureNeeds(config),
    ...eventNeeds(config),
  ];
  return groups.flatMap(({ verbs, of, without, vital = false }) =>
    verbs.map((verb) => ({ ...of, verb, without, vital })),
  );
}

interface Group {
  readonly verbs: readonly string[];
  readonly of: Omit<Right, 'verb'>;
  readonly without: string;
  readonly vital?: boolean;
}

const REGISTRATIONS = { group: 'admissionregistration.k8s.io', resource: 'mutatingwebhookconfigurations' } as const;

function certificateNeeds({ tls }: Settings, own: string): Group[] {
  if (tls.mode !== 'self-managed') return [];
  const without = 'the CA cannot be shared or renewed, and replicas do not become ready';
  const secret = { group: '', resource: 'secrets', namespace: own };
  return [
    {
      verbs: ['list', 'watch', 'patch'],
      of: { ...REGISTRATIONS, name: tls.registration },
      without: 'the caBundle is not written: the API server does not trust the replicas',
      vital: true,
    },
    { verbs: ['create'], of: secret, without, vital: true },
    { verbs: ['list', 'watch', 'patch'], of: { ...secret, name: tls.secret }, without, vital: true },
  ];
}

function storeNeeds({ detection }: Settings): Group[] {
  if (detection.cache.store !== 'cluster') return [];
  const images = { group: 'libc-dns.dev', resource: 'imagelibcs' };
  return [
    {
      verbs: ['list', 'watch', 'create', 'patch', 'delete'],
      of: images,
      without: 'verdicts stay in the memory of each replica',
    },
    { verbs: ['patch'], of: { ...images, subresource: 'status' }, without: 'verdicts that are used expire' },
  ];
}

function warmUpNeeds({ warmUp, detection }: Settings, own: string): Group[] {
  const leads = detection.cache.store === 'cluster' || warmUp.enabled;
  const lease = { group: 'coordination.k8s.io', resource: 'leases', namespace: own };
  const without = 'images are not looked up ahead: the first Pod of each waits for it';
  const kinds = [
    ...['deployments', 'statefulsets', 'daemonsets'].map((resource) => ({ group: 'apps', resource })),
    ...['jobs', 'cronjobs'].map((resource) => ({ group: 'batch', resource })),
    ...warmUp.resources.map(({ group, plural }) => ({ group, resource: plural })),
  ];
  return [
    ...(warmUp.enabled ? kinds.map((of) => ({ verbs: ['list', 'watch'], of, without })) : []),
    ...(leads
      ? [
          { verbs: ['create'], of: lease, without },
          { verbs: ['get', 'update'], of: { ...lease, name: warmUp.lease }, without },
        ]
      : []),
  ];
}

function podResolversNeeds({ admissionPolicy }: Settings): Group[] {
  if (!admissionPolicy.enabled) return [];
  return [
    {
      verbs: ['list', 'create', 'patch', 'delete'],
      of: { group: 'libc-dns.dev', resource: 'podresolvers' },
      without: "the API server's policy does not learn what images run",
    },
  ];
}

function policyNeeds({ cluster, networkPolicies }: Settings): Group[] {
  if (!networkPolicies) return [];
  const { namespace } = split(cluster.service);
  return [
    ...POLICY_KINDS.map(({ group, plural }) => ({
      verbs: ['list', 'watch'],
      of: { group, resource: plural },
      without: 'network policies are unknown, and no Pod gets use-vc (networkPolicies: false turns this off)',
    })),
    {
      verbs: ['list'],
      of: { group: 'discovery.k8s.io', resource: 'endpointslices', namespace },
      without: 'policies that name ports or addresses of the cluster DNS are not certain',
    },
  ];
}

function factNeeds({ cluster, nodeLocal, networkPolicies }: Settings): Group[] {
  const auto = nodeLocal.mode === 'auto';
  return [
    ...(auto || networkPolicies || cluster.dns === 'auto'
      ? [
          {
            verbs: ['get'],
            of: { group: '', resource: 'services', ...split(cluster.service) },
            without: 'the addresses of the cluster DNS are unknown',
          },
        ]
      : []),
    ...(auto
      ? [
          {
            ...readsOf(parseDaemonSets(nodeLocal.daemonSet)),
            without: 'the node-local cache is not used',
          },
          {
            verbs: ['list'],
            of: {
              group: 'cilium.io',
              resource: 'ciliumlocalredirectpolicies',
              namespace: split(cluster.service).namespace,
            },
            without: 'a node-local cache behind a local redirect of Cilium is not recognized',
          },
        ]
      : []),
  ];
}

function eventNeeds({ server }: Settings): Group[] {
  if (!server.events) return [];
  const without = 'Events are not written on workloads, or not on those whose owner cannot be read';
  return [
    { verbs: ['create'], of: { group: '', resource: 'events' }, without },
    ...['replicasets', 'statefulsets', 'daemonsets'].map((resource) => ({
      verbs: ['get'],
      of: { group: 'apps', resource },
      without,
    })),
    { verbs: ['get'], of: { group: 'batch', resource: 'jobs' }, without },
  ];
}

function exposureNeeds({ exposure }: Settings): Group[] {
  if (exposure === 'always') return [];
  const without = 'the nodes count as exposed: Pods are patched as with exposure: always';
  const namespace = 'kube-system';
  return [
    { verbs: ['list', 'watch'], of: { group: '', resource: 'nodes' }, without },
    { verbs: ['list'], of: { group: 'apps', resource: 'daemonsets' }, without },
    ...['kube-proxy', 'kube-proxy-config', 'cilium-config'].map((name) => ({
      verbs: ['get'],
      of: { group: '', resource: 'configmaps', namespace, name },
      without,
    })),
    { verbs: ['list'], of: { group: '', resource: 'pods', namespace }, without },
  ];
}

function readsOf(choice: DaemonSetChoice): Pick<Group, 'verbs' | 'of'> {
  const of = { group: 'apps', resource: 'daemonsets', namespace: choice.namespace };
  return 'name' in choice ? { verbs: ['get'], of: { ...of, name: choice.name } } : { verbs: ['list'], of };
}

function split(namespacedName: string): { namespace: string; name: string } {
  const [namespace = '', name = ''] = namespacedName.split('/', 2);
  return { namespace, name };
}

const GRANT = {
  text: 'Apply the roles of the release again: helm upgrade with rbac.create, or certs/manifests/rbac.yaml.',
};

/** Judges whether the service account has the rights it needs. `user`: `system:serviceaccount:<namespace>:<name>`. */
export function judgeRights(
  user: string,
  answers: readonly { readonly need: Need; readonly allowed: boolean }[],
): Outcome {
  const who = `service account ${user.split(':').slice(2).join('/')}`;
  const missing = answers.filter(({ allowed }) => !allowed).map(({ need }) => need);
  const data = { user, asked: answers.length, missing: missing.map(describeRight) };
  if (missing.length === 0) return ok(`${who} has all ${answers.length} rights that the configuration needs`, { data });
  const byLoss = Map.groupBy(missing, ({ without }) => without);
  const details = [...byLoss].map(([without, needs]) => `${listed(phrases(needs), 3)}: without it ${without}`);
  const judge = missing.some(({ vital }) => vital) ? failure : warning;
  return judge(`${who} lacks ${missing.length} of ${answers.length} rights`, { data, details, advice: [GRANT] });
}

/** Joins rights on the same resource: `list, watch namespaces`. */
function phrases(needs: readonly Need[]): string[] {
  const things = Map.groupBy(needs, (need) => describeRight(need).slice(need.verb.length + 1));
  return [...things].map(([thing, of]) => `${of.map(({ verb }) => verb).join(', ')} ${thing}`);
}

/** Formats a right: `patch secrets libc-dns-webhook-ca in libc-dns`. */
export function describeRight({ verb, group, resource, subresource, namespace, name }: Right): string {
  const full = `${resource}${group === '' ? '' : `.${group}`}${subresource === undefined ? '' : `/${subresource}`}`;
  return `${verb} ${full}${name === undefined ? '' : ` ${name}`}${namespace === undefined ? '' : ` in ${namespace}`}`;
}
