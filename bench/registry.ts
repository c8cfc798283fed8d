import { elf } from '../test/support/elf-builder.ts';
import { image, type BuiltImage } from '../test/support/image-builder.ts';
import { layer } from '../test/support/layer-builder.ts';
import { startRegistry, type RegistryServer } from '../test/support/registry-server.ts';

const INTERPRETERS = ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-musl-x86_64.so.1'] as const;

/** Builds an image whose program uses glibc or musl; different salts give different images. */
export function smallImage(salt: number): BuiltImage {
  const interpreter = INTERPRETERS[salt % 2] ?? INTERPRETERS[0];
  const content = Buffer.concat([elf({ interpreter }), Buffer.from(String(salt))]);
  return image({ layers: [layer([{ path: 'app', content }], 'gzip')], config: { entrypoint: ['/app'] } });
}

export interface BenchRegistry extends RegistryServer {
  /** Returns a reference in this registry that stands in for the named image. Pushes an image at the first call. */
  readonly stand: (name: string) => string;
}

export async function benchRegistry(delayMs = 0): Promise<BenchRegistry> {
  const registry = await startRegistry({ delayMs });
  const known = new Map<string, string>();
  return {
    ...registry,
    stand(name) {
      const reference = known.get(name) ?? registry.put(`team/app-${known.size}:v1`, smallImage(known.size));
      known.set(name, reference);
      return reference;
    },
  };
}
