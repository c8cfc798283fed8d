/**
 * Has V8 collect its garbage now and give unused pages back to the system. It learns how much of its heap is alive only by that,
 * and would else let a server that has read some ten thousand objects at its start hold on to what they were made of: a third of
 * its memory. Does nothing where Node runs without `--expose-gc`, which the chart gives: the ways to get at `gc` from inside make
 * a second V8 context, and every request takes a fifth longer from then on.
 */
export function collectGarbage(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
