import { sha256Digest } from './digest.ts';
import { blobDescriptor, image, json, manifestOf, OCI_MANIFEST, type BuiltImage } from './image-builder.ts';
import { layer, type BuiltLayer } from './layer-builder.ts';

/** Builds what registries hold besides Linux images. */

/** Builds a Helm chart as `helm push` stores it. */
export function helmChart(name: string): BuiltImage {
  const configBytes = json({ name, version: '1.0.0', apiVersion: 'v2' });
  const chart = layer([{ path: `${name}/Chart.yaml`, content: `apiVersion: v2\nname: ${name}\nversion: 1.0.0\n` }]);
  return manifestOf({
    mediaType: OCI_MANIFEST,
    config: blobDescriptor('application/vnd.cncf.helm.config.v1+json', configBytes),
    configBytes,
    layers: [withMediaType(chart, 'application/vnd.cncf.helm.chart.content.v1.tar+gzip')],
  });
}

/** Builds an SBOM: an artifact with an empty config (image-spec manifest.md, "Guidelines for Artifact Usage"). */
export function sbomArtifact(): BuiltImage {
  const configBytes = json({});
  const bytes = json({ spdxVersion: 'SPDX-2.3' });
  const mediaType = 'application/spdx+json';
  return manifestOf({
    mediaType: OCI_MANIFEST,
    artifactType: mediaType,
    config: blobDescriptor('application/vnd.oci.empty.v1+json', configBytes),
    configBytes,
    layers: [{ descriptor: blobDescriptor(mediaType, bytes), bytes, diffId: sha256Digest(bytes) }],
  });
}

/** Builds a Windows image. Its base layer is hosted by Microsoft and absent from the registry. */
export function windowsImage(): BuiltImage {
  const absent = Buffer.from('windows base layer');
  const base: BuiltLayer = {
    descriptor: {
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      digest: sha256Digest(absent),
      size: 117_000_000,
      urls: [`https://mcr.example.com/v2/windows/nanoserver/blobs/${sha256Digest(absent)}`],
    },
    bytes: Buffer.alloc(0),
    diffId: sha256Digest(absent),
  };
  const app = layer([
    { path: 'Files', type: 'dir' },
    { path: 'Files/app.exe', content: 'MZ\u0090\u0000' },
  ]);
  return image({
    layers: [base, app],
    mediaTypes: 'docker',
    config: { os: 'windows', osVersion: '10.0.20348.2700', entrypoint: ['C:\\app.exe'] },
  });
}

/** Builds a Docker schema 1 manifest (distribution docs/spec/manifest-v2-1.md) with a dummy signature block. */
export function schema1Image(layers: readonly BuiltLayer[], name = 'library/old'): BuiltImage {
  const mediaType = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
  const newestFirst = layers.toReversed();
  const bytes = Buffer.from(
    JSON.stringify(
      {
        schemaVersion: 1,
        name,
        tag: 'latest',
        architecture: 'amd64',
        fsLayers: newestFirst.map(({ descriptor }) => ({ blobSum: descriptor.digest })),
        history: newestFirst.map((_, index) => ({
          v1Compatibility: JSON.stringify({ id: String(index), os: 'linux', config: { Cmd: ['/bin/sh'] } }),
        })),
        signatures: [{ header: { alg: 'ES256' }, signature: 'AA', protected: 'AA' }],
      },
      null,
      3,
    ),
  );
  const digest = sha256Digest(bytes);
  return {
    digest,
    mediaType,
    manifests: new Map([[digest, { mediaType, bytes }]]),
    blobs: new Map(layers.map((built) => [built.descriptor.digest, built.bytes])),
  };
}

function withMediaType(built: BuiltLayer, mediaType: string): BuiltLayer {
  return { ...built, descriptor: { ...built.descriptor, mediaType } };
}
