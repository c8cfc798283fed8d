import { median, type Problem } from '../measure/cell.ts';
import type { Cell } from '../measure/run.ts';
import type { Program, ResolverId, Skipped } from '../preparation/programs.ts';
import type { Scenario } from '../scenarios/scenario.ts';

/** The figures of one resolver in one Pod, in milliseconds. */
export interface Figures {
  readonly median: number;
  readonly worst: number;
  readonly outcome: 'found' | 'fails' | 'gives up' | 'differs';
  /** How often it was measured again because the machine was busy. */
  readonly repeated?: number;
}

interface PodFigures {
  /** The reason of our decision about the Pod, from `explain`. */
  readonly reason: string;
  readonly resolvConf: readonly string[];
  readonly resolvers: Readonly<Partial<Record<ResolverId, Figures>>>;
}

export interface ColumnFigures {
  readonly id: string;
  readonly title: string;
  readonly pods: readonly PodFigures[];
}

export interface ScenarioFigures {
  readonly id: string;
  readonly title: string;
  readonly columns: readonly ColumnFigures[];
}

/** The result of a run of the lab, for people and for docs/lab.json. */
export interface Report {
  readonly machine: { readonly kernel: string; readonly processors: number };
  /** Fresh processes per figure. */
  readonly runs: number;
  readonly resolvers: Readonly<Partial<Record<ResolverId, string>>>;
  readonly skipped: readonly Skipped[];
  readonly scenarios: readonly ScenarioFigures[];
}

const rounded = (ms: number): number => Math.round(ms * 10) / 10;

function figuresOf({ samples, repeated }: Cell): Figures {
  const times = samples.map(({ ms }) => ms);
  const outcomes = new Set(samples.map((sample) => sample.outcome));
  const [outcome] = outcomes;
  return {
    median: rounded(median(times)),
    worst: rounded(Math.max(...times)),
    outcome: outcomes.size === 1 && outcome !== undefined ? outcome : 'differs',
    ...(repeated > 0 && { repeated }),
  };
}

function podsOf(cells: readonly Cell[]): PodFigures[] {
  return [...Map.groupBy(cells, ({ reason, resolvConf }) => `${reason}\n${resolvConf}`).values()].map((group) => ({
    reason: group[0]?.reason ?? '',
    resolvConf: (group[0]?.resolvConf ?? '').trimEnd().split('\n'),
    resolvers: Object.fromEntries(group.map((cell) => [cell.resolver, figuresOf(cell)])),
  }));
}

export interface Run {
  readonly machine: Report['machine'];
  readonly runs: number;
  readonly programs: readonly Program[];
  readonly skipped: readonly Skipped[];
  readonly scenarios: readonly Scenario[];
  readonly cells: readonly Cell[];
}

export function reportOf({ machine, runs, programs, skipped, scenarios, cells }: Run): Report {
  return {
    machine,
    runs,
    resolvers: Object.fromEntries(programs.map(({ id, title }) => [id, title])),
    skipped,
    scenarios: scenarios.map((scenario) => ({
      id: scenario.id,
      title: scenario.title,
      columns: scenario.columns.map(({ id, title }) => ({
        id,
        title,
        pods: podsOf(cells.filter((cell) => cell.scenario === scenario.id && cell.column === id)),
      })),
    })),
  };
}

/** Returns the figures of one resolver in one column; undefined if it was not measured. */
export function figuresIn({ pods }: ColumnFigures, resolver: ResolverId): Figures | undefined {
  return pods.map(({ resolvers }) => resolvers[resolver]).find((figures) => figures !== undefined);
}

/** Returns the differences from what was expected, one sentence each. */
export function mistakesIn(cells: readonly Cell[]): string[] {
  const sentence = ({ scenario, column, resolver }: Cell, { text }: Problem): string =>
    `${scenario}, ${column}, ${resolver}: ${text}`;
  return cells.flatMap((cell) => cell.problems.map((problem) => sentence(cell, problem)));
}
