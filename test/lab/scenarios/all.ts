import { healthy, intercepting, ipv6, policy, slow, tcpClosed, tcpDropped } from './paths.ts';
import {
  cacheRefuses,
  cacheRestarts,
  cacheSilent,
  caresOnMusl,
  mixed,
  mixedRefused,
  mixedSilent,
  unknown,
} from './pods.ts';
import { outside, searched } from './names.ts';
import { raced } from './raced.ts';
import type { Scenario } from './scenario.ts';
import { sidecar, sidecarRestarts } from './sidecar.ts';

/** All scenarios, in the order of the report. */
export const SCENARIOS: readonly Scenario[] = [
  raced,
  searched,
  outside,
  ipv6,
  tcpClosed,
  tcpDropped,
  policy,
  unknown,
  mixed,
  mixedRefused,
  mixedSilent,
  caresOnMusl,
  cacheRefuses,
  cacheSilent,
  cacheRestarts,
  sidecar,
  sidecarRestarts,
  intercepting,
  slow,
  healthy,
];
