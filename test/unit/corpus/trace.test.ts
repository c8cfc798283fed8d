import { describe, expect, it } from 'vitest';

import { readLog } from '../../corpus/trace.ts';

describe('what strace saw of an image', () => {
  it('names the process that is left, not the shell that waits for it', () => {
    const log = [
      '6     execve("/bin/sh", ["sh", "-c", "server & wait"], 0x7ffc1f092a58 /* 1 var */) = 0',
      '6     clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x3835f690) = 7',
      '7     execve("/app/server", ["server"], 0x38360ba0 /* 3 vars */) = 0',
    ].join('\n');
    expect(readLog(log)).toEqual({ ran: ['/bin/sh', '/app/server'], left: ['/app/server'] });
  });

  it('leaves out what has ended, what was not found, and threads', () => {
    const log = [
      '6 execve("/entry.sh", ["/entry.sh"], 0x1 /* 1 var */) = 0',
      '6 vfork( <unfinished ...>',
      '7 execve("/opt/id", ["id"], 0x1 /* 1 var */) = -1 ENOENT (No such file or directory)',
      '7 execve("/usr/bin/id", ["id"], 0x1 /* 1 var */) = 0',
      '6 <... vfork resumed>) = 7',
      '7 +++ exited with 0 +++',
      '6 execve("/app/server", ["server"], 0x1 /* 1 var */) = 0',
      '6 clone(child_stack=0xc0, flags=CLONE_VM|CLONE_THREAD|CLONE_SYSVSEM) = 8',
    ].join('\n');
    expect(readLog(log)).toMatchObject({ ran: ['/entry.sh', '/usr/bin/id', '/app/server'], left: ['/app/server'] });
  });

  it('names the program that ended in the place of the script before it, not what that had waited for', () => {
    const log = [
      '6 execve("/entry.sh", ["/entry.sh"], 0x1 /* 1 var */) = 0',
      '6 clone(child_stack=NULL, flags=SIGCHLD) = 7',
      '7 +++ exited with 0 +++',
      '6 execve("/app/server", ["server"], 0x1 /* 1 var */) = 0',
      '6 +++ exited with 0 +++',
    ].join('\n');
    expect(readLog(log)).toMatchObject({ left: [], ended: '/app/server' });
  });

  it('names programs by the root that chroot went to', () => {
    const log = [
      '6 execve("/usr/bin/unshare", ["unshare"], 0x1 /* 1 var */) = 0',
      '6 chroot("/tmp/corpus-trace-x") = 0',
      '6 execve("/usr/sbin/chroot", ["chroot"], 0x1 /* 1 var */) = 0',
      '6 chroot("/srv")          = 0',
      '6 execve("/app/server", ["/app/server"], 0x1 /* 1 var */) = 0',
    ].join('\n');
    expect(readLog(log).left).toEqual(['/srv/app/server']);
  });

  it('names programs by where the process stands, and applets by what they are of', () => {
    const log = [
      '6 execve("/bin/sh", ["sh"], 0x1 /* 1 var */) = 0',
      '6 chdir("/app")          = 0',
      '6 clone(child_stack=NULL, flags=SIGCHLD) = 7',
      '7 execve("./server", ["./server"], 0x1 /* 1 var */) = 0',
      '6 execve("/proc/self/exe", ["sleep"], 0x1 /* 1 var */) = 0',
      '7 +++ exited with 0 +++',
    ].join('\n');
    expect(readLog(log.replace('7 +++ exited with 0 +++', '')).left).toEqual(['/app/server']);
    expect(readLog(log).left).toEqual(['/bin/sh']);
  });

  it('puts calls together that others interrupt', () => {
    const log = [
      '6 execve("/bin/sh", ["sh"], 0x1 /* 1 var */) = 0',
      '6 clone(child_stack=NULL, flags=SIGCHLD) = 7',
      '7 execve("/app/server", ["server"], 0x1 /* 1 var */ <unfinished ...>',
      '6 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>',
      '7 <... execve resumed>) = 0',
      '6 <... clone resumed>) = 8',
      '8 +++ exited with 0 +++',
    ].join('\n');
    expect(readLog(log)).toMatchObject({ ran: ['/bin/sh', '/app/server'], left: ['/app/server'] });
  });

  it('names the last program that ended well, and how the container ended', () => {
    const log = [
      '6 execve("/entry.sh", ["/entry.sh"], 0x1 /* 1 var */) = 0',
      '6 vfork() = 7',
      '7 execve("/app/server", ["server"], 0x1 /* 1 var */) = 0',
      '7 +++ exited with 0 +++',
      '6 vfork() = 8',
      '8 execve("/app/other", ["other"], 0x1 /* 1 var */) = 0',
      '8 +++ killed by SIGSEGV +++',
    ].join('\n');
    const end = '\n6 +++ exited with';
    expect(readLog(`${log}${end} 0 +++`)).toEqual({
      ran: ['/entry.sh', '/app/server', '/app/other'],
      left: [],
      ended: '/app/server',
      end: 'exited with 0',
    });
    expect(readLog(`${log}${end} 3 +++`)).toEqual({
      ran: ['/entry.sh', '/app/server', '/app/other'],
      left: [],
      end: 'exited with 3',
    });
  });

  it('is nothing without a log', () => {
    expect(readLog('')).toEqual({ ran: [], left: [] });
  });
});
