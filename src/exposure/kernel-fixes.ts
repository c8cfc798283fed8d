/**
 * Whether a kernel has a fix. `partial`: it has an incomplete first version. `unknown`: a distribution's kernel with an older
 * version, which may or may not have the fix backported.
 */
export type FixState = 'present' | 'partial' | 'missing' | 'unknown';

/** The races in which one of two packets of a connection is lost, named after the state of the kernel at that moment. */
export type Race = 'no-entry-yet' | 'one-confirmed' | 'two-endpoints' | 'nfqueue';

type Version = readonly [major: number, minor: number, patch: number];

interface RaceFix {
  readonly race: Race;
  /** How the race happens, in words. */
  readonly how: string;
  /** Commit in the Linux repository; undefined if several commits make up the fix. */
  readonly commit?: string;
  /** The first mainline release with the fix. */
  readonly since: Version;
  /** The first mainline release with the complete fix, if `since` has only a part of it. */
  readonly wholeSince?: Version;
  /** The first stable release of each branch that the fix was backported to. */
  readonly stable: readonly Version[];
  /** Whether the race needs packets that pass through NFQUEUE, as with some network policies. */
  readonly onlyWithNfqueue: boolean;
}

/** Sources: https://github.com/kubernetes/kubernetes/issues/56903, and kubernetes-sigs/kind#3713 for NFQUEUE. */
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
  /** What follows the version. With a distribution's suffix the patches may differ from the stable release of that version. */
  readonly suffix: string;
}

/** Suffixes of builds that follow the stable releases (Flatcar, Talos, LinuxKit, Container-Optimized OS). */
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

/** Ubuntu's kernels, including those for clouds, have the second fix from 4.15 on (kubernetes/kubernetes#56903). */
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
 * Returns which fixes of the race a kernel has, in the order of {@link RACE_FIXES}. `kernelVersion` is a node's
 * `status.nodeInfo.kernelVersion` (`uname -r`). A version of Windows, or one that cannot be parsed, gives `unknown` for all.
 */
export function kernelFixes(kernelVersion: string): readonly { readonly fix: RaceFix; readonly state: FixState }[] {
  const kernel = parse(kernelVersion);
  // Windows has versions like 10.0.20348.
  const linux = kernel !== undefined && kernel.version[0] < 10 ? kernel : undefined;
  return RACE_FIXES.map((fix) => ({ fix, state: linux === undefined ? 'unknown' : stateOf(linux, fix) }));
}
