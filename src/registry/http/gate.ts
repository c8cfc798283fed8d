import { createFairSlots, type Release } from '../../util/limits/fair-slots.ts';
import type { Tenant } from '../../util/limits/recent-use.ts';

/** Bounds the number of owners that call one host at a time. */
interface Gate {
  /**
   * Waits for a place and returns the function that gives it back; undefined if too many wait already. An owner that
   * holds a place gets another at once: a look-up that reads one layer and requests the next must not wait for itself.
   * Rejects with the signal's reason.
   */
  enter(owner: object, tenant: Tenant, signal: AbortSignal): Promise<Release | undefined>;
  /** Reports whether nobody holds a place or waits for one. */
  isIdle(): boolean;
}

interface Place {
  readonly entered: Promise<Release | undefined>;
  release?: Release;
  users: number;
}

/** Returns a gate for `places` owners, which tenants share, with at most `queue` waiting: each tenant's in the order of their arrival. */
export function createGate(places: number, queue: number): Gate {
  const slots = createFairSlots({ places, queue, first: 'oldest' });
  const owners = new Map<object, Place>();
  const placeOf = (owner: object, tenant: Tenant, signal: AbortSignal): Place | undefined => {
    const known = owners.get(owner);
    if (known !== undefined) return known;
    const slot = slots.enter(tenant, signal);
    if (slot === undefined) return undefined;
    const place = { entered: slot.entered, users: 0 };
    owners.set(owner, place);
    return place;
  };
  return {
    async enter(owner, tenant, signal) {
      signal.throwIfAborted();
      const place = placeOf(owner, tenant, signal);
      if (place === undefined) return undefined;
      place.users += 1;
      let left = false;
      const leave = (): void => {
        if (left) return;
        left = true;
        place.users -= 1;
        if (place.users > 0) return;
        owners.delete(owner);
        place.release?.();
      };
      try {
        const release = await place.entered;
        if (release !== undefined) {
          place.release = release;
          return leave;
        }
      } catch (error) {
        leave();
        throw error;
      }
      leave();
      return undefined;
    },
    isIdle: () => owners.size === 0,
  };
}
