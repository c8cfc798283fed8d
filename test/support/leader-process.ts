/**
 * A replica that takes part in an election: `node leader-process.ts KUBECONFIG NAMESPACE IDENTITY`. Prints `started`, `stopped`,
 * and `acts` repeatedly while it leads.
 */
import { createKubeClient } from '../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { createLeader } from '../../src/kubernetes/leader.ts';

const [file = '', namespace = '', identity = ''] = process.argv.slice(2);
const client = createKubeClient(kubeConfigTransport({ files: [file], userAgent: identity }));
const leader = createLeader({
  client,
  namespace,
  name: 'election',
  identity,
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  timing: { durationMs: 3000, renewMs: 2000, retryMs: 300 },
  hooks: {
    onStarted: () => console.log('started'),
    onStopped: () => console.log('stopped'),
    onLost: ({ message }) => console.log(`lost ${message}`),
  },
});
const acting = setInterval(() => {
  if (leader.isLeader()) console.log('acts');
}, 50);

process.on('SIGTERM', () => {
  clearInterval(acting);
  void leader.close().then(() => client.close());
});
