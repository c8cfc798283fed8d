import type {
  Descriptor,
  ImageConfig,
  ImageManifest,
  ImageSource,
  LookupContext,
  Platform,
} from '../../src/detection/image-source.ts';
import { type BuiltImage, rootManifest } from './image-builder.ts';

/** A request to the source. */
interface BlobRequest {
  readonly digest: string;
  readonly offset: number;
  readonly length: number;
  /** Bytes read before the stream was closed. */
  taken: number;
}

export interface MemorySource extends ImageSource {
  readonly requests: BlobRequest[];
}

export interface MemorySourceOptions {
  /** Bytes per chunk, like a socket's. */
  readonly chunkBytes?: number;
  /** Requests to count for the manifest: 1, with an index 2, with a token 4. */
  readonly manifestRequests?: number;
  /** Changes the bytes served of a blob. */
  readonly tamper?: (bytes: Buffer, blob: Descriptor) => Buffer;
}

interface ManifestFile {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

interface IndexFile {
  readonly manifests?: readonly { readonly digest: string; readonly platform?: Platform }[];
}

interface ConfigFile {
  readonly config?: {
    readonly Entrypoint?: readonly string[];
    readonly Cmd?: readonly string[];
    readonly Env?: readonly string[];
    readonly WorkingDir?: string;
    readonly Labels?: Readonly<Record<string, string>>;
  };
  readonly history?: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[];
}

/** Serves one built image from memory in socket-sized chunks and counts what was read. */
export function memorySource(built: BuiltImage, options: MemorySourceOptions = {}): MemorySource {
  const { chunkBytes = 16 * 1024, manifestRequests = 1, tamper = (bytes) => bytes } = options;
  const requests: BlobRequest[] = [];
  const blobOf = (blob: Descriptor): Buffer => {
    const bytes = built.blobs.get(blob.digest);
    if (bytes === undefined) throw new Error(`no blob ${blob.digest}`);
    return bytes;
  };

  return {
    requests,
    async manifest(platform: Platform, context: LookupContext): Promise<ImageManifest> {
      context.signal.throwIfAborted();
      context.meter.requests += manifestRequests;
      const { digest, bytes } = manifestFor(built, platform);
      context.meter.bytes += bytes.length;
      const { config, layers, annotations = {} } = JSON.parse(bytes.toString()) as ManifestFile;
      return { digest, platform, config, layers, annotations };
    },
    async config({ config: descriptor }: ImageManifest, context: LookupContext): Promise<ImageConfig> {
      const bytes = blobOf(descriptor);
      context.meter.requests += 1;
      context.meter.bytes += bytes.length;
      const { config = {}, history = [] } = JSON.parse(bytes.toString()) as ConfigFile;
      return {
        entrypoint: config.Entrypoint ?? [],
        cmd: config.Cmd ?? [],
        env: config.Env ?? [],
        workingDir: config.WorkingDir ?? '/',
        labels: config.Labels ?? {},
        history: history.map((line) => ({ createdBy: line.created_by ?? '', emptyLayer: line.empty_layer ?? false })),
      };
    },
    async *read(blob: Descriptor, offset: number, length: number, context: LookupContext) {
      context.signal.throwIfAborted();
      context.meter.requests += 1;
      const request = { digest: blob.digest, offset, length, taken: 0 };
      requests.push(request);
      const bytes = tamper(blobOf(blob), blob).subarray(offset, offset + length);
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        const chunk = bytes.subarray(at, at + chunkBytes);
        request.taken += chunk.length;
        context.meter.bytes += chunk.length;
        yield chunk;
      }
    },
  };
}

function manifestFor(built: BuiltImage, platform: Platform): { readonly digest: string; readonly bytes: Buffer } {
  const root = rootManifest(built).bytes;
  const { manifests } = JSON.parse(root.toString()) as IndexFile;
  if (manifests === undefined) return { digest: built.digest, bytes: root };
  const member = manifests.find(
    (one) => one.platform?.os === platform.os && one.platform.architecture === platform.architecture,
  );
  const bytes = built.manifests.get(member?.digest ?? '')?.bytes;
  if (member === undefined || bytes === undefined) throw new Error(`no manifest for ${platform.architecture}`);
  return { digest: member.digest, bytes };
}
