/** Runs src/main.ts with the resolv.conf `$RESOLV_CONF` in a new mount namespace, in the same process. */
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const script = 'mount --bind "$RESOLV_CONF" /etc/resolv.conf && exec "$@"';
const args = ['unshare', '--mount', 'sh', '-c', script, 'sh', process.execPath, main, ...process.argv.slice(2)];
process.execve?.('/usr/bin/unshare', args);
