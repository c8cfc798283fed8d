import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';

/** The programs that the lab needs, and the Debian packages that have them. */
const TOOLS = {
  unshare: 'util-linux',
  nsenter: 'util-linux',
  mount: 'mount',
  ip: 'iproute2',
  nft: 'nftables',
  tcpdump: 'tcpdump',
  sysctl: 'procps',
  gcc: 'gcc libc6-dev',
} as const;

async function isThere(tool: string, folders: readonly string[]): Promise<boolean> {
  const tries = folders.map((folder) =>
    access(join(folder, tool), constants.X_OK).then(
      () => true,
      () => false,
    ),
  );
  return (await Promise.all(tries)).includes(true);
}

interface Machine {
  readonly platform: string;
  readonly root: boolean;
  /** The folders of `PATH`. */
  readonly folders: readonly string[];
}

/** Returns why the lab cannot run on this machine and what to do about it; undefined if it can. */
export async function whyNot({ platform, root, folders }: Machine): Promise<string | undefined> {
  if (platform !== 'linux') return `the lab needs Linux: its cluster is made of network namespaces, not of ${platform}`;
  if (!root) return 'the lab needs root, for network namespaces of its own (it touches none of this machine): try sudo';
  const names = Object.keys(TOOLS) as (keyof typeof TOOLS)[];
  const there = await Promise.all(names.map((name) => isThere(name, folders)));
  const missing = names.filter((_, index) => there[index] !== true);
  if (missing.length === 0) return undefined;
  const packages = [...new Set(missing.map((name) => TOOLS[name]))].join(' ');
  return `the lab needs ${missing.join(', ')}: apt-get install ${packages}`;
}
