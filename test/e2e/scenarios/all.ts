import type { Scenario } from '../scenario.ts';
import { admissionPolicy, policySwitch } from './admission-policy.ts';
import { apps } from './apps.ts';
import { changes, uninstall } from './changes.ts';
import { install } from './install.ts';
import { intercept } from './intercept.ts';
import { networkPolicy } from './network-policy.ts';
import { nodeLocal } from './node-local.ts';
import { certManager } from './operations/cert-manager.ts';
import { certificates } from './operations/certificates.ts';
import { closed } from './operations/closed.ts';
import { release } from './operations/releases.ts';
import { replicas } from './operations/replicas.ts';
import { views } from './operations/views.ts';
import { policies } from './policies.ts';
import { race } from './race.ts';
import { sidecar } from './sidecar.ts';

/** In the order in which they run: each finds the cluster as the one before has left it. */
export const SCENARIOS: readonly Scenario[] = [
  install,
  apps,
  ...changes,
  // Before calls fail open, which doctor reports.
  views,
  ...replicas,
  ...certificates,
  certManager,
  policies,
  sidecar,
  nodeLocal,
  race,
  intercept,
  networkPolicy,
  admissionPolicy,
  policySwitch,
  release,
  closed,
  uninstall,
];
