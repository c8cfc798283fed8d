import { readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second, whatever the kernel's own tick (proc(5), USER_HZ). */
const TICK_US = 10_000;

/** Microseconds of processor time a process has taken so far, all threads, user and system. */
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

/** Resident megabytes (MiB) of a process. */
export const residentOf = (pid: number): number => mebibytes(pid, /^VmRSS:\s+(\d+) kB$/m);

/** What of it are pages of files: the program and its libraries, which all processes of it share. */
export const residentFilesOf = (pid: number): number => mebibytes(pid, /^RssFile:\s+(\d+) kB$/m);
