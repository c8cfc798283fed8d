import { pathToFileURL } from 'node:url';

/**
 * Runs a program in this process, and ends it when the parent is gone, however that ended:
 * `node end-with-parent.ts PROGRAM [ARG...]`. Its `stdio` needs `ipc`.
 */

process.on('disconnect', () => process.exit(0));
// Listening must not keep alive a program that has nothing left to do.
process.channel?.unref();

process.argv.splice(1, 1);
await import(pathToFileURL(process.argv[1] ?? '').href);
