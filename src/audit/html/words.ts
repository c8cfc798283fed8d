import type { Resolver } from '../../policy/verdict.ts';
import type { ExposureLevel, Severity } from '../report/report.ts';
import type { Tag, Tone } from './page-data.ts';

/** In the order of charts and legends. */
export const RESOLVERS: readonly Resolver[] = ['glibc', 'musl', 'go', 'other', 'unknown'];

export const EXPOSURE: Readonly<Record<ExposureLevel, Tag>> = {
  yes: { text: 'exposed', tone: 'bad' },
  possible: { text: 'possibly exposed', tone: 'notice' },
  mitigated: { text: 'mitigated', tone: 'quiet' },
  no: { text: 'not exposed', tone: 'good' },
};

export const SEVERITY: Readonly<Record<Severity, Tone>> = { error: 'bad', warning: 'notice', info: 'quiet' };

const format = new Intl.NumberFormat('en');

/** `1,234` */
export const number = (value: number): string => format.format(value);

/** `1 Pod`, `1,234 Pods` */
export const counted = (value: number, one: string, several = `${one}s`): string =>
  `${number(value)} ${value === 1 ? one : several}`;

/** A remedy as a key of the summary has it: `options+redirect` is both, `none` is no change. */
export const remedyWords = (key: string): string => (key === 'none' ? 'no change' : key.replaceAll('+', ' + '));
