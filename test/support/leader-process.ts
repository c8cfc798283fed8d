/**
 * A replica that takes part in an election: `node leader-process.ts KUBECONFIG NAMESPACE IDENTITY`. Prints `started`, `stopped`,
 * and `acts` repeatedly while it leads.
 */
import { createKubeClient } from '../../src/kubernetes/client.ts';
import { kubeConfigTransport } from '../../src/kubernetes/kubeconfig.ts';
import { createLeader } from '../../src/kubernetes/leader.ts';
import { systemClock } from '../../src/util/clock.ts';

const [file = '', namespace = '', identity = ''] = process.argv.slice(2);
const client = createKubeClient(kubeConfigTransport({ files: [file], userAgent: identity }));
const leader = createLeader({
  client,
  namespace,
  name: 'election',
  identity,
  clock: systemClock,
  timing: { durationMs: 3000, renewMs: 2000, retryMs: 300 },
  onStarted: () => console.log('started'),
  onStopped: () => console.log('stopped'),
  trouble: { lost: ({ message }) => console.log(`lost ${message}`), recovered: () => {} },
});
const acting = setInterval(() => {
  if (leader.isLeader()) console.log('acts');
}, 50);

process.on('SIGTERM', () => {
  clearInterval(acting);
  void leader.close().then(() => client.close());
});
