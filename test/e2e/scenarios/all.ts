import type { Scenario } from '../scenario.ts';
import { install } from './install.ts';

export const SCENARIOS: readonly Scenario[] = [install];
