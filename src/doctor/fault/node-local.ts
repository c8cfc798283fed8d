import type { Config } from '../../config/schema.ts';
import { shellWord } from '../../util/text.ts';
import { type Advice, ok, type Outcome, warning } from '../check.ts';
import type { DnsSeen } from '../view/view.ts';

const INSTALL: Advice = {
  text: 'Optional: with NodeLocal DNSCache musl Pods are redirected and lose nothing. docs/install.md, "A node-local cache".',
};

type Settings = Pick<Config, 'nodeLocal' | 'musl'>;

/** Redirects are written whatever is found. */
const forced = ({ nodeLocal, musl }: Settings): boolean => nodeLocal.mode === 'on' || musl.remedy === 'redirect';

const asking = (daemonSet: string): Advice => {
  const [namespace = '', name = ''] = daemonSet.split('/', 2);
  return {
    text: 'See what is wrong with it:',
    command: `kubectl -n ${shellWord(namespace)} describe daemonset ${shellWord(name)}`,
  };
};

/** Pods are sent to a cache by the configuration, and the cache is not what that takes for granted. */
function judgeForced(settings: Settings, { facts, nodeLocalDetail }: DnsSeen): Outcome | undefined {
  const { mode, daemonSet, fallback } = settings.nodeLocal;
  const why = mode === 'on' ? 'nodeLocal.mode is on' : 'musl.remedy is redirect';
  const data = { state: facts.nodeLocal, configured: mode };
  if (facts.nodeLocal === 'ready' || facts.nodeLocal === 'intercepting') return undefined;
  const cost = fallback
    ? 'musl asks the cluster DNS as well, other resolvers of the Pod wait for a timeout first'
    : 'redirected Pods resolve nothing, for nodeLocal.fallback is off';
  const seen =
    facts.nodeLocal === 'absent'
      ? `${why}, and there is no DaemonSet ${daemonSet}`
      : `${why}, and the cache is not ready everywhere: ${nodeLocalDetail}`;
  const advice = [
    { text: 'Set nodeLocal.mode: auto, or nodeLocal.daemonSet to the name that the cache has here.' },
    ...(facts.nodeLocal === 'absent' ? [] : [asking(daemonSet)]),
  ];
  return warning(seen, { details: [`where nobody answers at its address: ${cost}`], data, advice });
}

/** The node-local cache: what it is, and whether that fits the configuration. */
export function judgeNodeLocal(settings: Settings, dns: DnsSeen): Outcome {
  const { facts, nodeLocalDetail, sources } = dns;
  const { mode, daemonSet } = settings.nodeLocal;
  const wrong = forced(settings) ? judgeForced(settings, dns) : undefined;
  if (wrong !== undefined) return wrong;
  const data = {
    state: facts.nodeLocal,
    configured: mode,
    addresses: facts.nodeLocalAddresses ?? [],
    source: sources.nodeLocal,
  };
  const details = mode === 'off' ? ['nodeLocal.mode is off: it is not used'] : [];
  switch (facts.nodeLocal) {
    case 'ready':
      return ok(`ready: ${nodeLocalDetail}`, { details, data });
    case 'intercepting':
      return ok(`answers at the address of the cluster DNS: ${nodeLocalDetail}; no redirect is needed`, {
        details,
        data,
      });
    case 'absent':
      return ok(`absent (no DaemonSet ${daemonSet}): a lost packet costs musl Pods 0.5 s`, { data, advice: [INSTALL] });
    case 'unready':
      return warning(`not ready on enough nodes: ${nodeLocalDetail}`, { details, data, advice: [asking(daemonSet)] });
    default:
      return warning(`not understood: ${nodeLocalDetail}`, {
        data,
        advice: [{ text: 'Set nodeLocal.mode to on or off, and nodeLocal.addresses.' }],
      });
  }
}
