import type { CorpusImage } from '../corpus-image.ts';
import { helmChart, sbomArtifact, schema1Image, windowsImage } from '../../support/artifact-builder.ts';
import { index } from '../../support/image-builder.ts';
import { layer } from '../../support/layer-builder.ts';
import { place } from '../tree.ts';

/** References that are not Linux images: the look-up must report which error it is. */

export const artifacts: readonly CorpusImage[] = [
  {
    name: 'helm-chart',
    kind: 'no image',
    trap: 'a Helm chart',
    truth: { error: 'not-an-image' },
    budget: 'program',
    build: () => Promise.resolve(helmChart('nginx')),
  },
  {
    name: 'sbom',
    kind: 'no image',
    trap: 'an artifact with an empty config',
    truth: { error: 'not-an-image' },
    budget: 'program',
    build: () => Promise.resolve(sbomArtifact()),
  },
  {
    name: 'schema-1',
    kind: 'no image',
    trap: 'a schema 1 manifest',
    truth: { error: 'not-an-image' },
    budget: 'program',
    build: () => Promise.resolve(schema1Image([layer(place('bin/sh', 'x'))], 'schema-1')),
  },
  {
    name: 'windows-only',
    kind: 'no image',
    trap: 'an index of Windows images',
    truth: { error: 'no-platform' },
    budget: 'program',
    build: () => Promise.resolve(index([windowsImage()], { attestation: 'first' })),
  },
];
