import { openReaderHere } from './app/reader.ts';
import { type MainChannel, serveReads } from './detection/reader/read-server.ts';

/** The reader process: reads images for the server that has forked it, and ends with it. */

const channel: MainChannel = {
  send: (message) => void process.send?.(message),
  onMessage: (receive) => void process.on('message', receive),
};

// The server ends it. A terminal signals both, and Node would open its debugger's port at SIGUSR1.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit(0));

serveReads({ channel, open: openReaderHere });
