import type { Detection, DetectionFailure } from './detector.ts';

/** Told what happens, for logs and metrics. What a hook throws is ignored. */
export interface DetectorHooks {
  /** An answer was given. Costs of a look-up that several waited for stand in each of their answers. */
  onDetection?(event: DetectionEvent): void;
  /** A look-up ended, whether or not anyone still waited for it. Each request and byte is counted once. */
  onLookup?(event: DetectionEvent): void;
  /** An error of ours or of the store, which no answer tells in full. */
  onError?(error: unknown): void;
}

export interface DetectionEvent {
  readonly from: Detection['from'];
  readonly failure?: DetectionFailure;
  readonly durationMs: number;
  readonly requests: number;
  readonly bytes: number;
}

/** The event that tells of a detection. */
export function detectionEvent({ from, failure, meter }: Detection, durationMs: number): DetectionEvent {
  return { from, ...(failure !== undefined && { failure: failure.code }), durationMs, ...meter };
}

/** Calls a hook: whoever watches must not change what is watched. */
export function tell(hook: () => void): void {
  try {
    hook();
  } catch {
    // Where would it be told?
  }
}
