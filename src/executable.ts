import { READER_ARGUMENT } from './detection/reader/reader-process.ts';

/** The single executable: both programs in one file. The reader is started by the server alone, over a channel. */
await (process.send !== undefined && process.argv[2] === READER_ARGUMENT ? import('./reader.ts') : import('./main.ts'));
