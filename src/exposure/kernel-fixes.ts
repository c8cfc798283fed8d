/**
 * Whether a kernel has the fix. `partial`: it has a first version of it. `unknown`: a distribution's kernel of an older base,
 * which may or may not have taken it over.
 */
export type FixState = 'present' | 'partial' | 'missing' | 'unknown';

/** The races in which two packets of one connection lose one of the two, by what the kernel has not decided yet. */
export type Race = 'no-entry-yet' | 'one-confirmed' | 'two-endpoints' | 'nfqueue';

type Version = readonly [major: number, minor: number, patch: number];

interface RaceFix {
  readonly race: Race;
  /** How the race comes about, for people. */
  readonly how: string;
  /** Of the Linux repository; absent where several commits together are the fix. */
  readonly commit?: string;
  /** The first mainline release that has it. */
  readonly since: Version;
  /** Where that is a first version of it: the first release that has all. */
  readonly wholeSince?: Version;
  /** Stable releases that it was taken over into, the first of each branch. */
  readonly stable: readonly Version[];
  /** Whether it only matters where packets go through NFQUEUE, as some network policies have it. */
  readonly onlyWithNfqueue: boolean;
}

/** The fixes of the race: https://github.com/kubernetes/kubernetes/issues/56903, the last one kubernetes-sigs/kind#3713. */
const RACE_FIXES: readonly RaceFix[] = [
  {
    race: 'no-entry-yet',
    how: 'neither of the two packets has a conntrack entry yet',
    commit: 'ed07d9a021df',
    since: [4, 19, 0],
    stable: [],
    onlyWithNfqueue: false,
  },
  {
    race: 'one-confirmed',
    how: "one packet's entry is confirmed before the other has chosen its own",
    commit: '4e35c1cb9460',
    since: [5, 0, 0],
    stable: [
      [4, 9, 163],
      [4, 14, 106],
      [4, 19, 29],
      [4, 20, 16],
    ],
    onlyWithNfqueue: false,
  },
  {
    race: 'two-endpoints',
    how: 'the two packets are sent to different endpoints of the Service',
    commit: '6a757c07e51f',
    since: [5, 6, 0],
    wholeSince: [5, 9, 0],
    stable: [],
    onlyWithNfqueue: false,
  },
  {
    race: 'nfqueue',
    how: 'a network policy hands the packets to a program (NFQUEUE) before their entry is confirmed',
    since: [6, 12, 0],
    stable: [],
    onlyWithNfqueue: true,
  },
];

interface Kernel {
  readonly version: Version;
  /** What a distribution has put behind the version: its patches need not be those of the stable release of that number. */
  readonly suffix: string;
}

/** Builds that are stable releases under their own number (Flatcar, Talos, LinuxKit, Container-Optimized OS). */
const FOLLOWS_STABLE = /^(\+|-(flatcar|talos|linuxkit|coreos|microsoft)\b)/;

function parse(kernelVersion: string): Kernel | undefined {
  const match = /^(\d{1,3})\.(\d{1,4})(?:\.(\d{1,5}))?/.exec(kernelVersion);
  if (match === null) return undefined;
  const [whole, major, minor, patch = '0'] = match;
  return { version: [Number(major), Number(minor), Number(patch)], suffix: kernelVersion.slice(whole.length, 200) };
}

const atLeast = ([a, b, c]: Version, [x, y, z]: Version): boolean =>
  a > x || (a === x && (b > y || (b === y && c >= z)));

const followsStable = (suffix: string): boolean => suffix === '' || FOLLOWS_STABLE.test(suffix);

/** Ubuntu's kernels, those for clouds included, took the second fix over into 4.15 (kubernetes/kubernetes#56903). */
const isUbuntu = (suffix: string): boolean =>
  /^-\d+-(generic|lowlatency|azure|aws|gcp|gke|gkeop|oracle|kvm|ibm)\b/.test(suffix);

function stateOf({ version, suffix }: Kernel, fix: RaceFix): FixState {
  if (atLeast(version, fix.wholeSince ?? fix.since)) return 'present';
  if (atLeast(version, fix.since)) return 'partial';
  const [major, minor] = version;
  if (followsStable(suffix)) {
    const branch = fix.stable.find((first) => first[0] === major && first[1] === minor);
    return branch !== undefined && atLeast(version, branch) ? 'present' : 'missing';
  }
  if (fix.race === 'one-confirmed' && isUbuntu(suffix) && atLeast(version, [4, 15, 0])) return 'present';
  return 'unknown';
}

/**
 * Which fixes of the race a kernel has, in the order of {@link RACE_FIXES}. `kernelVersion` is what a node says of itself
 * (`status.nodeInfo.kernelVersion`, `uname -r`); one that cannot be read, or Windows' own, has `unknown` for all.
 */
export function kernelFixes(kernelVersion: string): readonly { readonly fix: RaceFix; readonly state: FixState }[] {
  const kernel = parse(kernelVersion);
  // Windows: 10.0.20348.
  const linux = kernel !== undefined && kernel.version[0] < 10 ? kernel : undefined;
  return RACE_FIXES.map((fix) => ({ fix, state: linux === undefined ? 'unknown' : stateOf(linux, fix) }));
}
