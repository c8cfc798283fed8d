import { readFileSync } from 'node:fs';

/** Linux reports hundredths of a second, whatever the kernel's own tick (proc(5), USER_HZ). */
const TICK_US = 10_000;

/** Returns the processor time of a process so far, in microseconds: all threads, user and system. */
export function cpuOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [user = '0', system = '0'] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13);
  return (Number(user) + Number(system)) * TICK_US;
}

const mebibytes = (pid: number, field: RegExp): number =>
  Number(field.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** Returns the resident memory of a process, in MiB. */
export const residentOf = (pid: number): number => mebibytes(pid, /^VmRSS:\s+(\d+) kB$/m);

/** Returns the part of it that is file pages, in MiB: the program and its libraries, shared by all its processes. */
export const residentFilesOf = (pid: number): number => mebibytes(pid, /^RssFile:\s+(\d+) kB$/m);
