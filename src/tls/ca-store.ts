/** The Secret as it was last seen. */
export type Stored =
  /** Not read yet, or not there; `problem`: the last thing that went wrong. */
  | { readonly state: 'unseen' | 'absent'; readonly problem?: string }
  | {
      readonly state: 'present';
      /** Of this content; a write names it, and fails where it is not the latest any more. */
      readonly version: string;
      /** Decoded, by key. */
      readonly data: Readonly<Record<string, string>>;
      /** Whether it bears our label: nobody else's Secret is overwritten. */
      readonly ours: boolean;
      /** Somebody asks for a new CA, by annotation. */
      readonly asked: boolean;
    };

/** `conflict`: another replica was faster; what it wrote will be seen. */
export type Written = 'written' | 'conflict';

export type CaData = Readonly<Record<string, string | undefined>>;

/** Where the replicas keep the CAs they share. Owned here; `kubernetes/` implements it with a Secret. */
export interface CaStore {
  readonly seen: Stored;
  /** Whether changes by others are heard of: false while the API server cannot be reached. */
  readonly inContact: boolean;
  /** Calls back when `seen` has changed. */
  onChange(listener: () => void): void;
  /** Rejects where it fails for any reason but a conflict; the message holds no keys. */
  create(data: CaData): Promise<Written>;
  /** As `create`. Keys that are undefined are removed; `answered`: what was asked for is done. */
  replace(version: string, data: CaData, answered: boolean): Promise<Written>;
  close(): Promise<void>;
}
