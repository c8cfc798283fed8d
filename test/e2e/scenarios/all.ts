import type { Scenario } from '../scenario.ts';
import { apps } from './apps.ts';
import { certificates } from './certificates.ts';
import { changes, uninstall } from './changes.ts';
import { closed } from './closed.ts';
import { install } from './install.ts';
import { intercept } from './intercept.ts';
import { networkPolicy } from './network-policy.ts';
import { nodeLocal } from './node-local.ts';
import { policies } from './policies.ts';
import { race } from './race.ts';
import { release } from './releases.ts';
import { replicas } from './replicas.ts';
import { sidecar } from './sidecar.ts';
import { views } from './views.ts';

/** In the order in which they run: each finds the cluster as the one before has left it. */
export const SCENARIOS: readonly Scenario[] = [
  install,
  apps,
  ...changes,
  ...replicas,
  ...certificates,
  views,
  policies,
  sidecar,
  nodeLocal,
  race,
  intercept,
  networkPolicy,
  release,
  closed,
  uninstall,
];
