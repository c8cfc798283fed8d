import { afterAssignments, type EnvState, throughEnv } from './env.ts';
import { defaultPath, type Invocation, joinPath, toolName, uidOf } from './invocation.ts';
import { afterDashes } from './launchers/launchers.ts';

/** How a wrapper's words lead to the program that replaces it. */
interface Shape {
  /** Options whose value is the next word. */
  readonly valued?: string;
  /** Number of words between the options and the program. */
  readonly operands?: number;
  /** An option whose value is a shell text, which runs instead. */
  readonly text?: string;
  /** The user it changes to: the value of one of these options, or its first operand. */
  readonly user?: string;
  /** It adds variables that are not known. */
  readonly opensEnv?: boolean;
  /** `NAME=value` may stand before the program. */
  readonly assigns?: boolean;
}

const init: Shape = { valued: '-p -e' };
const operand = 'operand';
const setuid: Shape = { operands: 1, user: operand };

// From each program's manual page or --help. They resolve no names before they start the program.
const shapes: Readonly<Record<string, Shape>> = {
  // init programs
  tini: init,
  'tini-static': init,
  'tini-amd64': init,
  'tini-arm64': init,
  'docker-init': init,
  'dumb-init': { valued: '-r --rewrite' },
  catatonit: {},
  'podman-init': {},
  pid1: {},
  // coreutils and busybox
  nohup: {},
  nice: { valued: '-n --adjustment' },
  stdbuf: { valued: '-i -o -e --input --output --error' },
  timeout: { valued: '-k -s --kill-after --signal', operands: 1 },
  gtimeout: { valued: '-k -s --kill-after --signal', operands: 1 },
  time: { valued: '-f -o --format --output' },
  xargs: { valued: '-I -n -P -d -L -s -a -E --max-args --max-procs --delimiter --arg-file --replace' },
  // util-linux
  setsid: {},
  ionice: { valued: '-c -n --class --classdata' },
  taskset: { operands: 1 },
  chrt: { valued: '-T -P -D --sched-runtime --sched-period --sched-deadline', operands: 1 },
  prlimit: { valued: '-o --output' },
  linux32: {},
  linux64: {},
  unshare: { valued: '-S -G -R -w --setuid --setgid --root --wd --map-user --map-group --propagation --setgroups' },
  flock: { valued: '-w -E --wait --timeout --conflict-exit-code', operands: 1, text: '-c' },
  runuser: {
    valued: '-g -G -s -w --group --supp-group --shell',
    text: '-c --command --session-command',
    user: '-u --user',
  },
  setpriv: {
    valued:
      '--reuid --ruid --euid --regid --rgid --egid --groups --inh-caps --ambient-caps --bounding-set --securebits ' +
      '--pdeathsig --selinux-label --apparmor-profile',
    user: '--reuid',
  },
  script: { text: '-c --command', valued: '-o -I -O -B -T -E -m' },
  // other users
  gosu: setuid,
  'su-exec': setuid,
  setuser: setuid,
  's6-setuidgid': setuid,
  setuidgid: setuid,
  's6-envuidgid': { operands: 1, opensEnv: true },
  's6-applyuidgid': { valued: '-u -g -G', user: '-u' },
  chpst: { valued: '-u -U -b -e -/ -n -l -L -m -d -o -p -f -c -r -t -s', user: '-u', opensEnv: true },
  sudo: { assigns: true, valued: '-u -g -h -p -C -D -R -T -r -t --user --group --chdir', user: '-u --user' },
  doas: { valued: '-u -C', user: '-u' },
  // s6, daemontools, runit
  's6-envdir': { valued: '-c', operands: 1, opensEnv: true },
  envdir: { operands: 1, opensEnv: true },
  'with-contenv': { opensEnv: true },
  's6-softlimit': { valued: '-a -c -d -f -l -m -o -p -r -s -t' },
  softlimit: { valued: '-a -c -d -f -l -m -o -p -r -s -t' },
  's6-notifyoncheck': { valued: '-3 -s -T -t -w -n -c' },
  // memory, tracing, displays
  numactl: {
    valued:
      '-i -N -m -C -p -P -w -H --interleave --cpunodebind --membind --physcpubind --preferred --preferred-many --weighted-interleave',
  },
  fakeroot: { valued: '-l -f -i -s -b' },
  faketime: { valued: '-p', operands: 1 },
  eatmydata: {},
  'jemalloc.sh': {},
  // https://github.com/boxboat/fixuid: reads its files and /etc/passwd, then execs
  fixuid: {},
  // https://github.com/aws/aws-lambda-runtime-interface-emulator: listens at an address, and starts the bootstrap
  'aws-lambda-rie': { valued: '--log-level --runtime-api-address --runtime-interface-emulator-address' },
  authbind: {},
  proxychains: { valued: '-f' },
  proxychains4: { valued: '-f' },
  torsocks: {},
  strace: { valued: '-o -e -p -s -u -E -S -a -I -O -P -X -b' },
  ltrace: { valued: '-o -e -p -s -u -a -A -D -F -l -n -x' },
  'xvfb-run': {
    valued: '-e -f -n -p -s -w --error-file --auth-file --server-num --xauth-protocol --server-args --wait',
  },
  'dbus-run-session': { valued: '--config-file --dbus-daemon' },
  'dbus-launch': {},
  'systemd-cat': { valued: '-t -p --identifier --priority --stderr-priority --level-prefix' },
  sg: { operands: 1, text: '-c' },
  choom: { valued: '-n --adjust' },
  uclampset: { valued: '-m -M --util-min --util-max' },
  setlock: { operands: 1 },
  pgrphack: {},
  fghack: {},
  's6-setsid': {},
  envuidgid: { operands: 1, opensEnv: true },
  pidproxy: { operands: 1 },
  logsave: { operands: 1 },
  catchsegv: {},
  unbuffer: {},
  'run-one': {},
  'run-one-constantly': {},
  watch: { valued: '-n --interval -q --equexit' },
  valgrind: {},
  firejail: {},
  rlwrap: {},
  i386: {},
  x86_64: {},
  uname26: {},
  cgexec: { valued: '-g' },
  cpulimit: { valued: '-l -p -e -P --limit --pid --exe --path' },
};

const loaderOptions = '--library-path --argv0 --preload --inhibit-rpath --audit --glibc-hwcaps-mask';
const loaderName = /^(?:ld-(?:musl-|linux)[\w.-]+|ld64\.so\.\d+|ld-2\.\d+\.so)$/u;

// tini-muslc-amd64, gosu-arm64, dumb-init_1.2.5_x86_64: as their releases are called.
const ofPlatform = /[-_](?:amd64|arm64|x86_64|aarch64|armhf|i386|muslc|static|linux|v?\d[\d.]{0,9})$/u;

/** Returns a program's name without what its releases add. */
function withoutPlatform(name: string): string {
  const shorter = name.replace(ofPlatform, '');
  return shorter === name ? name : withoutPlatform(shorter);
}

type Wrapper = (invocation: Invocation) => Invocation | undefined;

const special: Readonly<Record<string, Wrapper>> = {
  env: throughEnv,
  busybox: throughBusybox,
  toybox: throughBusybox,
  su: throughSu,
  sudo: throughSudo,
  runuser: (invocation) =>
    invocation.argv.includes('-u') ? throughShape(invocation, shapes['runuser']) : throughSu(invocation),
  setarch: throughArch,
  capsh: throughCapsh,
  'start-stop-daemon': throughStartStop,
  chroot: throughChroot,
  cd: throughCd,
};

/** Returns what a wrapper runs; undefined if the invocation's program is no wrapper, or is given no program. */
export function throughWrapper(invocation: Invocation): Invocation | undefined {
  const name = nameOf(invocation);
  const wrapper = Object.hasOwn(special, name) ? special[name] : undefined;
  const next =
    wrapper?.(invocation) ??
    (loaderName.test(name) ? throughLoader(invocation) : undefined) ??
    (wrapper === undefined && Object.hasOwn(shapes, name) ? throughShape(invocation, shapes[name]) : undefined);
  const [first = ''] = next?.argv ?? [];
  return next === undefined || first === '' ? undefined : { ...next, direct: false };
}

function nameOf({ argv: [program = ''] }: Invocation): string {
  const name = toolName(program);
  return Object.hasOwn(shapes, name) ? name : withoutPlatform(name);
}

interface Options {
  /** What follows the options. */
  readonly rest: readonly string[];
  readonly values: ReadonlyMap<string, string>;
}

function readOptions(words: readonly string[], valued: readonly string[]): Options {
  const values = new Map<string, string>();
  let at = 0;
  for (; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (word === '--') return { rest: words.slice(at + 1), values };
    if (!word.startsWith('-') || word === '-') break;
    const equals = word.indexOf('=');
    if (word.startsWith('--') && equals !== -1) values.set(word.slice(0, equals), word.slice(equals + 1));
    else if (valued.includes(word)) {
      at += 1;
      values.set(word, words[at] ?? '');
    } else if (valued.includes(word.slice(0, 2))) values.set(word.slice(0, 2), word.slice(2));
    else at += readLetters(word, words[at + 1], { valued, values });
  }
  return { rest: words.slice(at), values };
}

/** Reads options in one word (`-Eu app`, `-qefc TEXT`); returns how many more words their value takes. */
function readLetters(
  word: string,
  next: string | undefined,
  { valued, values }: { readonly valued: readonly string[]; readonly values: Map<string, string> },
): number {
  const at = /^-[A-Za-z]{2,}$/u.test(word) ? Array.from(word).findIndex((letter) => valued.includes(`-${letter}`)) : -1;
  if (at === -1) return 0;
  const isLast = at === word.length - 1;
  values.set(`-${word[at] ?? ''}`, isLast ? (next ?? '') : word.slice(at + 1));
  return isLast ? 1 : 0;
}

function throughShape(invocation: Invocation, shape: Shape = {}): Invocation {
  const { valued = '', operands = 0, text = '', user = '' } = shape;
  const { rest, values } = readOptions(invocation.argv.slice(1), `${valued} ${text} ${user}`.split(' '));
  const given: EnvState = {
    rest: rest.slice(operands),
    env: new Map(invocation.env),
    directory: undefined,
    cleared: false,
  };
  const program = shape.assigns === true ? afterAssignments(given) : given.rest;
  const inner = textOf(values, text) ?? (program[0] === '-c' && text !== '' ? program[1] : undefined);
  const as = user === operand ? rest[0] : textOf(values, user);
  return {
    ...invocation,
    argv: inner === undefined ? program : ['/bin/sh', '-c', inner],
    env: given.env,
    uid: as === undefined ? invocation.uid : uidOf(as),
    openEnv: invocation.openEnv || shape.opensEnv === true,
  };
}

const textOf = (values: ReadonlyMap<string, string>, names: string): string | undefined =>
  names
    .split(' ')
    .map((name) => values.get(name))
    .find((value) => value !== undefined);

// su(1): `su [options] [-] [user [argument…]]`; the arguments go to the user's shell. The options may stand behind the user.
function throughSu(invocation: Invocation): Invocation | undefined {
  const { words, values } = readAnywhere(invocation.argv.slice(1), suOptions.split(' '));
  const text = textOf(values, '-c --command --session-command');
  const shell = textOf(values, '-s --shell') ?? '/bin/sh';
  const [user = 'root', ...rest] = words.filter((word) => word !== '-');
  if (text === undefined && rest.length === 0) return undefined;
  const argv = text === undefined ? rest : ['-c', text, ...rest];
  const isLogin = invocation.argv.some((word) => /^(?:-|-l|--login|-l[a-z])$/u.test(word));
  return isLogin
    ? loggedIn(invocation, user, [shell, '-l', ...argv])
    : { ...invocation, argv: [shell, ...argv], uid: uidOf(user) };
}

/** Returns a login shell's invocation: of the environment little is left, and PAM may set more of it (su(1), sudo(8)). */
function loggedIn(invocation: Invocation, user: string, argv: readonly string[]): Invocation {
  return { ...invocation, argv, uid: uidOf(user), env: new Map([['PATH', defaultPath]]), openEnv: true };
}

// sudo(8): `-i` starts a login shell.
function throughSudo(invocation: Invocation): Invocation | undefined {
  const inner = throughShape(invocation, shapes['sudo']);
  const [, ...words] = invocation.argv;
  const end = words.findIndex((word) => !word.startsWith('-'));
  const isLogin = words.slice(0, end === -1 ? undefined : end).some((word) => /^-[A-Za-z]*i|^--login$/u.test(word));
  if (!isLogin || inner.argv.length === 0) return inner;
  const shell = ['/bin/bash', '-l', '-c', 'exec "$0" "$@"', ...inner.argv];
  return { ...loggedIn(invocation, '', shell), uid: inner.uid };
}

const suOptions = '-c --command --session-command -s --shell -g --group -G --supp-group -w --whitelist-environment -T';

function readAnywhere(
  given: readonly string[],
  valued: readonly string[],
): { words: string[]; values: Map<string, string> } {
  const words: string[] = [];
  const values = new Map<string, string>();
  for (let rest = given; rest.length > 0;) {
    const read = readOptions(rest, valued);
    for (const [name, value] of read.values) values.set(name, value);
    const [word, ...others] = read.rest;
    if (word !== undefined) words.push(word);
    rest = others;
  }
  return { words, values };
}

// setarch(8): `setarch [arch] [options] [program]`.
function throughArch(invocation: Invocation): Invocation {
  const [, first = '', ...others] = invocation.argv;
  const words = first.startsWith('-') ? [first, ...others] : others;
  return { ...invocation, argv: readOptions(words, []).rest };
}

// capsh(1): everything behind `--` goes to /bin/bash.
function throughCapsh(invocation: Invocation): Invocation | undefined {
  const words = afterDashes(invocation.argv);
  return words && { ...invocation, argv: ['/bin/bash', ...words] };
}

function throughStartStop(invocation: Invocation): Invocation | undefined {
  const valued =
    '-x --exec -a --startas -n --name -p --pidfile -u --user -g --group -c --chuid -s --signal -r --chroot -d --chdir';
  const { rest, values } = readOptions(invocation.argv.slice(1), valued.split(' '));
  const program = textOf(values, '-a --startas -x --exec');
  return program === undefined ? undefined : { ...invocation, argv: [program, ...rest] };
}

function throughChroot(invocation: Invocation): Invocation {
  const { rest } = readOptions(invocation.argv.slice(1), []);
  const [root = '/', ...argv] = rest;
  return {
    ...invocation,
    argv,
    root: `${invocation.root ?? ''}${joinPath(invocation.directory, root)}`,
    directory: '/',
  };
}

// execline's cd(1): `cd DIRECTORY PROGRAM`.
function throughCd(invocation: Invocation): Invocation {
  const [, directory = '/', ...argv] = invocation.argv;
  return { ...invocation, argv, directory: joinPath(invocation.directory, directory) };
}

// Of busybox's programs only these run another one.
function throughBusybox(invocation: Invocation): Invocation | undefined {
  const [, name = ''] = invocation.argv;
  const runsOthers =
    /^(?:a?sh|env|timeout|time|nice|nohup|setsid|ionice|taskset|chpst|setuidgid|envdir|softlimit|su|chroot|chrt|flock|unshare|setarch|linux32|linux64|setpriv|start-stop-daemon|xargs|script)$/u;
  return runsOthers.test(name) ? { ...invocation, argv: invocation.argv.slice(1) } : undefined;
}

function throughLoader(invocation: Invocation): Invocation {
  const [loader = '', ...words] = invocation.argv;
  return { ...invocation, argv: readOptions(words, loaderOptions.split(' ')).rest, loader };
}
