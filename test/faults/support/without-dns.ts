/** src/main.ts with another resolv.conf, `$RESOLV_CONF`, in a mount namespace of its own; the process stays the same one. */
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const script = 'mount --bind "$RESOLV_CONF" /etc/resolv.conf && exec "$@"';
const args = ['unshare', '--mount', 'sh', '-c', script, 'sh', process.execPath, main, ...process.argv.slice(2)];
process.execve?.('/usr/bin/unshare', args);
