import { image, type BuiltImage, type ImageConfigOptions } from '../../support/image-builder.ts';
import { layer, type BuiltLayer, type MediaTypes } from '../../support/layer-builder.ts';
import type { TarEntry } from '../../support/tar-builder.ts';
import type { Base } from '../bases.ts';

export interface Step {
  /** The Dockerfile line as recorded in the history. */
  readonly createdBy: string;
  readonly layer: BuiltLayer | readonly TarEntry[];
}

/** Builds an image on a base with a layer and a history line for each step, like a Dockerfile. */
export function onBase(
  base: Base,
  steps: readonly Step[],
  config: ImageConfigOptions,
  mediaTypes: MediaTypes = 'docker',
): BuiltImage {
  const layers = steps.map((step) => ('bytes' in step.layer ? step.layer : layer(step.layer)));
  return image({
    layers: [base.layer, ...layers],
    mediaTypes,
    config: {
      env: base.env,
      history: [
        ...base.history,
        ...steps.map(({ createdBy }) => ({ createdBy: `${createdBy} # buildkit` })),
        { createdBy: `ENTRYPOINT ${JSON.stringify(config.entrypoint ?? config.cmd ?? [])}`, emptyLayer: true },
      ],
      ...config,
    },
  });
}
