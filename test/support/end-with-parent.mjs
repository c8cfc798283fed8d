import { pathToFileURL } from 'node:url';

/**
 * Runs a program in this process, and ends it when the parent is gone, however that ended:
 * `node end-with-parent.mjs PROGRAM [ARG...]`. Its `stdio` needs `ipc`. Not in TypeScript: what Node loads for that takes 30 MB of the process.
 */

process.on('disconnect', () => process.exit(0));
// Listening must not keep alive a program that has nothing left to do.
process.channel?.unref();

process.argv.splice(1, 1);
await import(pathToFileURL(process.argv[1] ?? '').href);
