/**
 * Makes V8 collect its garbage now and give unused pages back to the system. Without it, a server that has read ten thousand
 * objects at its start keeps their garbage: a third of its memory. Does nothing if Node runs without `--expose-gc`, which the
 * chart sets. The ways to reach `gc` without that flag make a second V8 context, which slows every request down by a fifth.
 */
export function collectGarbage(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
