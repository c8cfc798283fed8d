/** A name as one word of a POSIX shell: commands are copied, and names in manifests may hold anything. */
export function shellWord(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
