import { printable } from '../util/text.ts';
import type { ObjectMeta } from './objects.ts';

/** Under this name our fields are ours (server-side apply). */
export const FIELD_MANAGER = 'libc-dns-webhook';

/** meta/v1 ManagedFieldsEntry, as far as it is read here. `fieldsV1` nests `f:<name>` keys. */
interface ManagedFields {
  readonly manager?: unknown;
  readonly fieldsV1?: { readonly 'f:spec'?: Readonly<Record<string, unknown>> };
}

interface Owner {
  /** As it is: anybody may choose it. */
  readonly manager: string;
  readonly ownsResolver: boolean;
}

function specOwners(metadata: ObjectMeta): Owner[] {
  const { managedFields } = metadata as ObjectMeta & { readonly managedFields?: unknown };
  if (!Array.isArray(managedFields)) return [];
  const owners: Owner[] = [];
  for (const entry of managedFields as (ManagedFields | null)[]) {
    const spec = entry?.fieldsV1?.['f:spec'];
    if (typeof spec !== 'object' || spec === null || typeof entry?.manager !== 'string') continue;
    owners.push({ manager: entry.manager, ownsResolver: Object.hasOwn(spec, 'f:resolver') });
  }
  return owners;
}

function resolverOwnerOf(owners: readonly Owner[]): string | undefined {
  const manager = owners.find(({ ownsResolver }) => ownsResolver)?.manager;
  return manager === undefined ? undefined : printable(manager, 128);
}

/** Who wrote spec.resolver; undefined where the API server does not say. */
export function resolverOwner(metadata: ObjectMeta): string | undefined {
  return resolverOwnerOf(specOwners(metadata));
}

/**
 * Who has put another resolver into an object of ours, by editing it. An object of which we own nothing, such as one that a
 * backup brought back, was not edited: it says what it said.
 */
export function takenBy(metadata: ObjectMeta): string | undefined {
  const owners = specOwners(metadata);
  const ours = owners.filter(({ manager }) => manager === FIELD_MANAGER);
  if (ours.length === 0 || ours.some(({ ownsResolver }) => ownsResolver)) return undefined;
  return resolverOwnerOf(owners);
}
