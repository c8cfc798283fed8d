import {
  type Descriptor,
  type ImageConfig,
  type ImageSource,
  ImageSourceError,
  type LookupContext,
} from '../detection/image-source.ts';
import { readBlobRange } from './blob-range.ts';
import { chooseImage, type DocumentStore, type StoredDocument } from './choose-image.ts';
import { matchesDigest, parseDigest, sha256Of } from './digest.ts';
import type { Endpoint } from './endpoint.ts';
import { beginsLikeJson, decodeBody } from './http/content-coding.ts';
import type { RegistryLimits } from './http/limits.ts';
import { readWhole, type Retries, retryReset, statusError } from './http/responses.ts';
import { acceptedTypes, parseImageConfig } from './manifest.ts';
import { formatReference, type Reference } from './reference.ts';
import { describe, type RepositoryRequest, type RequestRepository } from './repository.ts';
import type { TagChecks } from './tag-check.ts';

interface RegistrySourceOptions {
  readonly reference: Reference;
  /** Tried in this order; at least one. */
  readonly endpoints: readonly Endpoint[];
  readonly send: RequestRepository;
  readonly tagChecks: TagChecks;
  readonly limits: RegistryLimits;
}

/**
 * Errors after which to try the next endpoint. The other codes are about the image, which is the same on every mirror.
 */
const failoverCodes = new Set([
  'unavailable',
  'rate-limited',
  'not-found',
  'unauthorized',
  'invalid-answer',
  'forbidden-host',
  'shed',
]);

/** Opens an image in a registry or one of its mirrors. Tries the endpoint that answered last time first. */
export function createRegistrySource(options: RegistrySourceOptions): ImageSource {
  const { reference, limits, send, tagChecks } = options;
  const name = formatReference(reference);
  const version = reference.digest ?? reference.tag ?? 'latest';
  const endpoints = [...options.endpoints];
  const configs = new Map<string, ImageConfig>();
  const rangeless = new Set<string>();
  const tryEndpoints = async <T>(operation: (endpoint: Endpoint) => Promise<T>): Promise<T> => {
    let failure: unknown;
    for (const endpoint of endpoints.slice()) {
      try {
        const result = await operation(endpoint);
        prefer(endpoints, endpoint);
        return result;
      } catch (error) {
        if (!(error instanceof ImageSourceError) || !failoverCodes.has(error.code)) throw error;
        failure = error;
      }
    }
    throw failure;
  };
  const get = async (endpoint: Endpoint, item: Item, context: LookupContext) =>
    await fetchItem({ ...item, endpoint, context, retries: { left: 1 } }, item, { send, limits });
  const check = createCheck(manifestItem(version, limits), tagChecks);
  const storeFor = (context: LookupContext): DocumentStore => ({
    name,
    document: async (digest) => await tryEndpoints((endpoint) => get(endpoint, manifestItem(digest, limits), context)),
    config: async (descriptor) =>
      (await tryEndpoints((endpoint) => get(endpoint, configItem(descriptor, limits), context))).bytes,
  });
  return {
    async manifest(platform, context) {
      const start = await tryEndpoints(async (endpoint) => {
        const document = await get(endpoint, manifestItem(version, limits), context);
        check.judge(endpoint, document);
        return document;
      });
      const chosen = await chooseImage(storeFor(context), start, platform, limits.indexDepth);
      if (chosen.config !== undefined) configs.set(chosen.manifest.config.digest, chosen.config);
      return { ...chosen.manifest, named: start.digest };
    },
    stillNames: async (digest, context) => await check.isStill(digest, endpoints, context),
    async config({ config }, context) {
      const known = configs.get(config.digest);
      if (known !== undefined) return known;
      const bytes = await storeFor(context).config(config);
      return parseImageConfig(bytes, config.mediaType, `${name}: its configuration`).config;
    },
    async *read(blob, offset, length, context) {
      yield* readFromEndpoints(endpoints, (endpoint) =>
        readBlobRange({ endpoint, blob, offset, length, context }, { send, limits, rangeless }),
      );
    },
  };
}

/** Asks by HEAD what a tag names. */
interface Check {
  /** Asks one endpoint after the other, until one knows. */
  isStill(digest: string, endpoints: readonly Endpoint[], context: LookupContext): Promise<boolean>;
  /** Compares what the endpoint said with what a GET has brought. */
  judge(endpoint: Endpoint, got: StoredDocument): void;
}

function createCheck({ path, kind, headers }: Item, tagChecks: TagChecks): Check {
  const said = new Map<string, string | undefined>();
  return {
    async isStill(digest, endpoints, context) {
      for (const endpoint of endpoints.filter(({ origin }) => tagChecks.isUseful(origin))) {
        const named = await tagChecks.ask({ endpoint, path, kind, headers, context, retries: { left: 1 } });
        said.set(endpoint.origin, named);
        if (named === digest) tagChecks.judge(endpoint.origin, true);
        if (named !== undefined) return named === digest;
      }
      return false;
    },
    judge({ origin }, { digest }) {
      if (said.has(origin)) tagChecks.judge(origin, said.get(origin) === digest);
    },
  };
}

/** A document that is fetched whole and verified. */
interface Item {
  readonly path: string;
  readonly kind: 'manifest' | 'config';
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined for a tag: its digest is computed from the bytes received. */
  readonly digest?: string;
  readonly limit: number;
}

function manifestItem(version: string, limits: RegistryLimits): Item {
  const digest = parseDigest(version) === undefined ? {} : { digest: version };
  const headers = { accept: acceptedTypes };
  return { path: `manifests/${version}`, kind: 'manifest', headers, ...digest, limit: limits.manifestBytes };
}

function configItem({ digest }: Descriptor, limits: RegistryLimits): Item {
  return { path: `blobs/${digest}`, kind: 'config', headers: {}, digest, limit: limits.configBytes };
}

async function fetchItem(
  request: RepositoryRequest,
  item: Item,
  { send, limits }: { readonly send: RequestRepository; readonly limits: RegistryLimits },
): Promise<StoredDocument> {
  const what = describe(request);
  const retries: Retries = request.retries;
  return await retryReset(retries, async () => {
    const response = await send(request);
    // Some answer 206 though nobody asked for a range: the digest tells whether this is all.
    if (response.status !== 200 && response.status !== 206) throw await statusError(response, what, limits);
    const received = await readWhole(response, item.limit, what, request.context);
    // A response may name the digest of its content, which then must match as well.
    const claimed = item.kind === 'manifest' ? response.headers['docker-content-digest'] : undefined;
    const digest = parseDigest(item.digest ?? claimed ?? '');
    const isRight = (body: Buffer) => (digest === undefined ? beginsLikeJson(body) : matchesDigest(body, digest));
    const memory = { limit: item.limit, budget: request.context.budget };
    const bytes = await decodeBody(received, response.headers['content-encoding'], memory, isRight);
    verify(bytes, item.digest, what);
    verify(bytes, claimed, what);
    return { bytes, mediaType: response.headers['content-type'] ?? '', digest: item.digest ?? sha256Of(bytes) };
  });
}

function verify(bytes: Uint8Array, expected: string | undefined, what: string): void {
  const digest = parseDigest(expected ?? '');
  if (digest === undefined || matchesDigest(bytes, digest)) return;
  const message = `${what}: what came is not ${expected}: it has the digest ${sha256Of(bytes)}`;
  throw new ImageSourceError('invalid-answer', `${message}; the registry or something on the way changed it`);
}

/** Reads from the first endpoint that gives any bytes. */
async function* readFromEndpoints(
  endpoints: Endpoint[],
  read: (endpoint: Endpoint) => AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let failure: unknown;
  for (const endpoint of endpoints.slice()) {
    let began = false;
    try {
      for await (const chunk of read(endpoint)) {
        began = true;
        yield chunk;
      }
      prefer(endpoints, endpoint);
      return;
    } catch (error) {
      if (began || !(error instanceof ImageSourceError) || !failoverCodes.has(error.code)) throw error;
      failure = error;
    }
  }
  throw failure;
}

function prefer(endpoints: Endpoint[], endpoint: Endpoint): void {
  endpoints.splice(endpoints.indexOf(endpoint), 1);
  endpoints.unshift(endpoint);
}
