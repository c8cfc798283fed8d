import { describeObject, passedOver } from './pod-templates.ts';
import { type Manifest, placeText } from './read.ts';

/**
 * Returns a line for each object that names images and that nothing is changed in, and for what kubectl does not read: where it is, and why
 * it is passed over. `isWanted` chooses among the kinds.
 */
export function passedOverLines(
  manifests: readonly Manifest[],
  isWanted: (object: { readonly kind: string }) => boolean = () => true,
): string[] {
  return manifests.flatMap((manifest) => [
    ...manifest.documents.flatMap((document) =>
      passedOver(document.value)
        .filter(isWanted)
        .map((object) => `${placeText(manifest, document)} (${describeObject(object)}): ${object.why}`),
    ),
    ...manifest.unread.map((slice) => `${placeText(manifest, slice)}: kubectl reads nothing between ... and ---`),
  ]);
}
