/** The cost that inspecting one image may have. */
export interface InspectLimits {
  /** HTTP requests in all, manifest and config included. */
  readonly requests: number;
  /** Layers read even if logins and redirects have used up the requests. */
  readonly leastReads: number;
  /** Bytes from the network in all. */
  readonly bytes: number;
  /** Bytes from the network up to which a static program is searched for marks of its C library. */
  readonly leadBytes: number;
  /** Most bytes inflated from one layer. */
  readonly inflatedBytes: number;
  /** Most bytes inflated per byte read. */
  readonly ratio: number;
  /** Most entries read from one layer. */
  readonly entries: number;
  /** Layers may be read to their end, not only their beginning. */
  readonly wholeLayers: boolean;
}

/** Bytes up to which one request reads a whole layer, so that a table of contents or a second window saves nothing. */
export const tinyLayer = 32 * 1024;

/** For an admission request: 6 requests, 64 KiB if the program leads its layer, 512 KiB at most. */
export const admissionLimits: InspectLimits = {
  requests: 6,
  leastReads: 1,
  bytes: 512 * 1024,
  leadBytes: 44 * 1024,
  inflatedBytes: 16 * 1024 * 1024,
  ratio: 400,
  entries: 20_000,
  wholeLayers: false,
};

/** For the background scan, which may read a layer to its end. */
export const backgroundScanLimits: InspectLimits = {
  requests: 40,
  leastReads: 20,
  bytes: 256 * 1024 * 1024,
  leadBytes: 256 * 1024 * 1024,
  inflatedBytes: 2 * 1024 * 1024 * 1024,
  ratio: 400,
  entries: 500_000,
  wholeLayers: true,
};
