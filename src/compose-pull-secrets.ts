import { createPullSecrets, type PullSecrets } from './cluster/pull-secrets.ts';
import type { Config } from './config/schema.ts';
import type { KubeClient } from './kubernetes/client.ts';
import { parseDockerConfig, parseLegacyDockerConfig } from './registry/auth/docker-config.ts';
import { limitedWarnings } from './telemetry/log-limits.ts';
import type { Log } from './telemetry/log.ts';
import { systemClock } from './util/clock.ts';

/**
 * The registry logins of Pods: `of` is the `credentials` of `PodVerdictsOptions`. Undefined where the configuration does
 * not allow to read Secrets. `count` is called for each that could not be used.
 */
export function composePullSecrets(
  { detection }: Config,
  client: Pick<KubeClient, 'request'>,
  log: Pick<Log, 'warn'>,
  count: (code: string) => void = () => {},
): PullSecrets | undefined {
  const { enabled, pullSecrets } = detection.registry;
  if (!enabled || !pullSecrets) return undefined;
  const warn = limitedWarnings(log, systemClock.monotonic);
  return createPullSecrets({
    client,
    readers: { dockerConfig: parseDockerConfig, legacyDockerConfig: parseLegacyDockerConfig },
    clock: systemClock,
    onProblem: ({ message, ...fields }) => {
      count(fields.code);
      warn(message, fields);
    },
  });
}
