import { asText, isObject, type Json } from '../util/json.ts';

/** Keys and indexes from a value to a part of it. */
export type Path = readonly (string | number)[];

/** Returns what is at `path` in a value that has it. */
export const valueAt = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((node, key) => (node as Record<string | number, unknown>)[key], value);

/** An object of a document, and its place: not the document itself inside a List. */
export interface PlacedObject {
  readonly object: Json;
  readonly path: Path;
}

/** Returns the object itself, or the items of a List. The items of a typed list (`PodList`) get the kind that the API server leaves out. */
export function listItems(value: unknown, path: Path = []): PlacedObject[] {
  if (!isObject(value)) return [];
  const { apiVersion, kind, items } = value;
  if (!asText(kind).endsWith('List') || !Array.isArray(items)) return [{ object: value, path }];
  const common = kind === 'List' ? {} : { apiVersion, kind: asText(kind).replace(/List$/, '') };
  return items.flatMap((item: unknown, index) =>
    isObject(item) ? listItems({ ...common, ...item }, [...path, 'items', index]) : [],
  );
}

/** Returns the objects of a document: {@link listItems}, and those that an OpenShift Template makes. */
export function objectsIn(value: unknown, path: Path = []): PlacedObject[] {
  return listItems(value, path).flatMap((placed) => {
    const { apiVersion, kind, objects } = placed.object;
    const template = kind === 'Template' && asText(apiVersion).startsWith('template.openshift.io/');
    if (!template || !Array.isArray(objects)) return [placed];
    return objects.flatMap((item: unknown, index) => objectsIn(item, [...placed.path, 'objects', index]));
  });
}
