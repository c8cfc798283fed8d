import { readFileSync } from 'node:fs';

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** Returns the processes that this one has forked and that run. */
export const childrenOf = (pid: number): number[] =>
  read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);

/** Returns the resident memory of a process in MiB; 0 if it is gone. */
export const residentOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024;

/** Returns the resident memory of a process and its children in MiB. Program files that they share count for each. */
export const familyMemory = (pid: number): number =>
  [pid, ...childrenOf(pid)].map(residentOf).reduce((sum, each) => sum + each, 0);
