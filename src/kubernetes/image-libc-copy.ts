import { platformName } from '../detection/platform.ts';
import type { StoreKey } from '../detection/verdict-store.ts';
import type { Backoff } from '../util/abort.ts';
import type { KubeClient } from './client.ts';
import { createLibcIndex, type LibcIndex } from './image-libc-index.ts';
import type { PlanState } from './image-libc-plan.ts';
import { type HeldLibc, imageLibcName, readImageLibc, referenceKey } from './image-libc.ts';
import { resourcePath, RESOURCES } from './objects.ts';
import { createReflector, type Reflector, type ReflectorHooks } from './reflector.ts';
import { createSharedValues } from './shared-values.ts';

export interface LibcCopyOptions {
  readonly client: KubeClient;
  readonly clock: { now(): number };
  readonly canonical: (reference: string) => string;
  /** Most objects that are written. Twice as many are read. */
  readonly most: number;
  readonly backoff?: Backoff;
  readonly hooks?: {
    readonly reads?: ReflectorHooks;
    readonly onIgnored?: (name: string, why: string) => void;
  };
}

/** All ImageLibcs, as far as they are used, and what we are about to add to them. */
export interface LibcCopy {
  readonly reflector: Reflector<HeldLibc>;
  readonly index: LibcIndex;
  readonly state: PlanState;
  /** Resolves when a list or watch has failed. */
  readonly lost: Promise<void>;
  /** An object for this key is being written: it counts, though the watch has not brought it yet. */
  expect(key: StoreKey): void;
  /** It was not written. */
  giveUp(name: string): void;
}

export function createLibcCopy(options: LibcCopyOptions): LibcCopy {
  const index = createLibcIndex();
  const expected = new Map<string, string>();
  const { promise: lost, resolve: lose } = Promise.withResolvers<void>();
  const reflector = follow(options, {
    onChange(name, now, before) {
      expected.delete(name);
      index.change(now, before);
    },
    onSynced: () => expected.clear(),
    onLost: lose,
  });
  return {
    reflector,
    index,
    lost,
    state: {
      held: (name) => reflector.items.get(name),
      get synced() {
        return reflector.synced;
      },
      count(reference) {
        let runs = index.runs(reference);
        for (const each of expected.values()) if (each === reference) runs += 1;
        return { runs, all: index.size().detected + expected.size };
      },
    },
    expect(key) {
      const name = imageLibcName(key);
      if (!reflector.items.has(name)) expected.set(name, referenceKey(key.image, platformName(key.platform)));
    },
    giveUp: (name) => void expected.delete(name),
  };
}

interface Events {
  readonly onChange: (name: string, now: HeldLibc | undefined, before: HeldLibc | undefined) => void;
  readonly onSynced: () => void;
  readonly onLost: () => void;
}

function follow(
  { client, clock, most, canonical, hooks, backoff }: LibcCopyOptions,
  { onChange, onSynced, onLost }: Events,
): Reflector<HeldLibc> {
  const shared = createSharedValues();
  return createReflector<HeldLibc>({
    client,
    path: resourcePath(RESOURCES.imageLibcs),
    streamed: true,
    clock,
    most: 2 * most,
    onTooMany: (name) => hooks?.onIgnored?.(name, `there are more than ${2 * most} ImageLibcs`),
    keep(object) {
      const held = readImageLibc(object, { now: clock.now(), canonical, shared });
      if (typeof held !== 'string') return held;
      hooks?.onIgnored?.(object.metadata.name, held);
      return undefined;
    },
    onChange,
    ...(backoff && { backoff }),
    hooks: {
      ...hooks?.reads,
      onLost(error) {
        onLost();
        hooks?.reads?.onLost?.(error);
      },
      onSynced(items) {
        onSynced();
        hooks?.reads?.onSynced?.(items);
      },
    },
  });
}
