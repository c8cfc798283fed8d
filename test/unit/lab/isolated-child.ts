import { execFileSync, spawn } from 'node:child_process';
import { endWithParent } from '../../lab/isolation.ts';

/** The first process of that machine: makes an interface, starts a process that would stay, and says so. */
endWithParent();
execFileSync('ip', ['link', 'add', 'lab0', 'type', 'veth', 'peer', 'name', 'lab1']);
const names = execFileSync('ip', ['-o', 'link', 'show', 'lab0']).toString();
spawn('sleep', [process.argv[2] ?? '1'], { stdio: 'ignore' });
console.log(process.pid, /lab0/.exec(names)?.[0]);
