import { printable } from '../printable.ts';
import type { ObjectMeta } from './objects.ts';

/** Under this name our fields are ours (server-side apply). */
export const FIELD_MANAGER = 'libc-dns-webhook';

/** meta/v1 ManagedFieldsEntry, as far as it is read here. `fieldsV1` nests `f:<name>` keys. */
interface ManagedFields {
  readonly manager?: unknown;
  readonly fieldsV1?: { readonly 'f:spec'?: Readonly<Record<string, unknown>> };
}

interface Owner {
  readonly manager: string;
  readonly ownsResolver: boolean;
}

function specOwners(metadata: ObjectMeta): Owner[] {
  const { managedFields } = metadata as ObjectMeta & { readonly managedFields?: unknown };
  if (!Array.isArray(managedFields)) return [];
  return (managedFields as (ManagedFields | null)[]).flatMap((entry) => {
    const spec = entry?.fieldsV1?.['f:spec'];
    if (typeof spec !== 'object' || spec === null || typeof entry?.manager !== 'string') return [];
    return [{ manager: printable(entry.manager, 128), ownsResolver: Object.hasOwn(spec, 'f:resolver') }];
  });
}

/** Who wrote spec.resolver; undefined where the API server does not say. */
export function resolverOwner(metadata: ObjectMeta): string | undefined {
  return specOwners(metadata).find(({ ownsResolver }) => ownsResolver)?.manager;
}

/**
 * Who has put another resolver into an object of ours, by editing it. An object of which we own nothing, such as one that a
 * backup brought back, was not edited: it says what it said.
 */
export function takenBy(metadata: ObjectMeta): string | undefined {
  const owners = specOwners(metadata);
  const ours = owners.filter(({ manager }) => manager === FIELD_MANAGER);
  if (ours.length === 0 || ours.some(({ ownsResolver }) => ownsResolver)) return undefined;
  return owners.find(({ ownsResolver }) => ownsResolver)?.manager;
}
