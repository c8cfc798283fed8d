import { fixture, type Review } from '../test/support/reviews.ts';

export interface Body {
  readonly name: string;
  readonly text: string;
}

interface Container {
  image: string;
  env?: { name: string; value: string }[];
}

export const containersOf = (review: Review): Container[] => {
  const { initContainers = [], containers } = review.request.object.spec as Record<string, Container[] | undefined>;
  return [...(initContainers ?? []), ...(containers ?? [])];
};

const LARGE = 300_000;

/** A Pod as operators of data platforms make them: hundreds of variables in each container. */
function large(): Review {
  const review = fixture('storefront');
  const containers = containersOf(review);
  const each = Math.ceil((LARGE - JSON.stringify(review).length) / containers.length / 100);
  for (const container of containers) {
    container.env = Array.from({ length: each }, (_, index) => ({
      name: `SETTING_${index}`,
      value: `${index} `.repeat(70).slice(0, 70),
    }));
  }
  return review;
}

/** Captured reviews, and a large one made of one of them, with the images that `rename` gives them. */
export function bodies(rename: (image: string) => string): Body[] {
  const reviews = { plain: fixture('plain'), mixed: fixture('mixed'), large: large() };
  return Object.entries(reviews).map(([name, review]) => {
    for (const container of containersOf(review)) container.image = rename(container.image);
    return { name, text: JSON.stringify(review) };
  });
}
