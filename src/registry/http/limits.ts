/** Bounds on the resources that registries can make us spend. Times in milliseconds. */
export interface RegistryLimits {
  /** Name look-up, with its time in the queue. */
  readonly nameMs: number;
  /** TCP and TLS together. */
  readonly connectMs: number;
  readonly headersMs: number;
  /** Longest silence inside a body. */
  readonly idleMs: number;
  /** One request from first to last byte, without its time in the queue. */
  readonly requestMs: number;
  /** Bytes a second that a body must bring on average once it was waited for so many milliseconds. */
  readonly slowestBytes: number;
  readonly slowestMs: number;
  readonly headerBytes: number;
  readonly headerCount: number;
  /** Responses with a status below 200 before the final one. */
  readonly interimResponses: number;
  /** Pieces of a body that may be short; further ones must have so many bytes on average. Each costs time, however short it is. */
  readonly shortPieces: number;
  readonly pieceBytes: number;
  /** Received of an answer besides its body, and half as much as its body. */
  readonly overheadBytes: number;
  readonly manifestBytes: number;
  readonly configBytes: number;
  readonly tokenResponseBytes: number;
  /** Read from the body of an error, a redirect or a challenge. */
  readonly errorBytes: number;
  readonly redirects: number;
  /** Read and discarded to reach an offset if a registry ignores Range. */
  readonly skipBytes: number;
  /** Indexes inside indexes. */
  readonly indexDepth: number;
  /** Requests waiting for one host. */
  readonly queue: number;
  /** Connections to all hosts together, beyond which idle ones are closed. */
  readonly connections: number;
  /** Longest Retry-After that a look-up waits for. */
  readonly retryAfterMs: number;
  /** Longest time for which a Retry-After blocks one repository, and the registry for a login. */
  readonly repositoryBlockMs: number;
  readonly blockMs: number;
  /** A request that its caller gives up counts as a failure to reach the host after this much silence. */
  readonly slowMs: number;
  /** Failures in a row that open a breaker, and how long it stays open. */
  readonly breakerFailures: number;
  readonly breakerOpenMs: number;
  /** Hosts remembered, of each kind of memory. */
  readonly hosts: number;
  /** Memory for tokens, in characters. */
  readonly tokenMemory: number;
  /** Logins tried for one repository. */
  readonly credentials: number;
}

export const defaultLimits: RegistryLimits = {
  nameMs: 3000,
  connectMs: 3000,
  headersMs: 10_000,
  idleMs: 10_000,
  requestMs: 60_000,
  slowestBytes: 1024,
  slowestMs: 5000,
  headerBytes: 32 * 1024,
  headerCount: 100,
  interimResponses: 8,
  shortPieces: 2000,
  pieceBytes: 256,
  overheadBytes: 512 * 1024,
  manifestBytes: 4 << 20,
  configBytes: 4 << 20,
  tokenResponseBytes: 64 * 1024,
  errorBytes: 8 * 1024,
  redirects: 5,
  skipBytes: 1 << 20,
  indexDepth: 3,
  queue: 2000,
  connections: 128,
  retryAfterMs: 3000,
  // Docker Hub's quotas come without a Retry-After; those of others are of seconds, a minute at most.
  repositoryBlockMs: 5 * 60_000,
  blockMs: 15 * 60_000,
  slowMs: 1000,
  breakerFailures: 5,
  breakerOpenMs: 30_000,
  hosts: 2000,
  tokenMemory: 8 << 20,
  credentials: 8,
};
