import { randomBytes } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';

import { bundle } from '../../support/bundle.ts';
import { sha256Digest } from '../../support/digest.ts';
import { type BuiltImage, image } from '../../support/image-builder.ts';
import { type BuiltLayer, layer } from '../../support/layer-builder.ts';
import type { Fault } from '../fault.ts';
import { besideAttack, BESIDE_PROMISE, openStreet } from '../support/neighbour.ts';

const IMAGES = 32;

const config = { entrypoint: ['/app'] };
const small = layer([{ path: 'x', type: 'dir' }]);
/** Tells images apart: each is looked into. */
const label = (): Readonly<Record<string, string>> => ({ unique: randomBytes(8).toString('hex') });

/** 2,000 links with names and targets of 2 KB, in a layer of less than 100 KB. */
const longLinks = (): BuiltLayer =>
  layer(
    Array.from({ length: 2000 }, (_, at) => ({
      path: `${at}-`.padEnd(2040, 'a'),
      type: 'symlink' as const,
      target: 'b'.repeat(2040),
    })),
  );

/** A layer whose table of contents is 3 MiB of `[` in 8 KB. */
function nestedContents(): BuiltLayer {
  const text = Buffer.alloc(3 * 1024 * 1024 - 100, '[');
  const filler = randomBytes(Math.ceil(text.length / 390));
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
  skippable.writeUInt32LE(filler.length, 4);
  const packed = Buffer.concat([skippable, filler, zstdCompressSync(text)]);
  const bytes = Buffer.concat([randomBytes(40_000), packed]);
  const position = `40000:${packed.length}:${text.length}:1`;
  const digest = sha256Digest(bytes);
  return {
    bytes,
    diffId: digest,
    descriptor: {
      mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
      digest,
      size: bytes.length,
      annotations: { 'io.github.containers.zstd-chunked.manifest-position': position },
    },
  };
}

const hostile = (id: string, name: string, build: () => () => BuiltImage): Fault => ({
  id: `hostile-${id}`,
  name: `${name}: ${IMAGES} such images in a Pod, every two seconds`,
  promise: `meanwhile ${BESIDE_PROMISE}`,
  alsoIn: 'test/unit/inspection/hostile-image.test.ts, npm run fuzz',
  async run(world) {
    const { main, remove } = bundle();
    world.afterwards(remove);
    const street = await openStreet(world, () => [], { main });
    const { registry } = street;
    const make = build();
    return await besideAttack(street, {
      async everySecond(second) {
        if (second % 2 === 0) return;
        const images = Array.from({ length: IMAGES }, (_, at) =>
          registry.put(`greedy/${id}-${second}-${at}:v1`, make()),
        );
        await street.pod('greedy', images);
      },
    });
  },
});

export const hostileImageFaults: readonly Fault[] = [
  hostile('env-expansion', 'an entry point that expands to 400 MB', () => {
    const env = [`A=${'a'.repeat(20_000)}`];
    const entrypoint = ['$(A)'.repeat(20_000)];
    return () => image({ layers: [small], config: { env, entrypoint, labels: label() } });
  }),
  hostile('long-links', 'layers of links with names and targets of 2 KB', () => {
    const layers = Array.from({ length: 8 }, longLinks);
    return () => image({ layers, config: { ...config, labels: label() } });
  }),
  hostile('contents-nested', 'a table of contents of 3 MiB of lists in lists', () => {
    const layers = [nestedContents()];
    return () => image({ layers, config: { ...config, labels: label() } });
  }),
  hostile('history', '256 lines of history of 8 KB, made for patterns that take quadratic time', () => {
    const history = Array.from({ length: 256 }, () => ({ createdBy: 'apk --'.repeat(1365), emptyLayer: true }));
    return () => image({ layers: [small], config: { ...config, history, labels: label() } });
  }),
];
