import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { whyNot } from '../../lab/preparation/requirements.ts';

const folder = mkdtempSync(join(tmpdir(), 'libc-dns-lab-'));
for (const tool of ['unshare', 'nsenter', 'mount', 'ip', 'sysctl', 'gcc', 'nft', 'tcpdump']) {
  writeFileSync(join(folder, tool), '');
  if (tool !== 'nft' && tool !== 'tcpdump') chmodSync(join(folder, tool), 0o755);
}
const complete = mkdtempSync(join(tmpdir(), 'libc-dns-lab-'));
for (const tool of ['nft', 'tcpdump']) writeFileSync(join(complete, tool), '', { mode: 0o755 });
afterAll(() => [folder, complete].forEach((one) => rmSync(one, { recursive: true })));

const machine = { platform: 'linux', root: true, folders: [folder, complete] };

it.each([
  { title: 'a machine with all of it', machine, says: undefined },
  { title: 'another system', machine: { ...machine, platform: 'darwin' }, says: /needs Linux/ },
  { title: 'no root', machine: { ...machine, root: false }, says: /needs root/ },
  {
    title: 'tools that are not there, or not to be run',
    machine: { ...machine, folders: [folder, '/nowhere'] },
    says: /^the lab needs nft, tcpdump: apt-get install nftables tcpdump$/,
  },
])('$title', async ({ machine: asked, says }) => {
  const reason = await whyNot(asked);
  if (says === undefined) expect(reason).toBeUndefined();
  else expect(reason).toMatch(says);
});
