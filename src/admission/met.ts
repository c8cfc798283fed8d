/** Texts that were met, by their hash: the later of two takes the place of the other. */
const MOST = 1024;

/** FNV-1a, of UTF-16 units. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/**
 * Whether a text was met before, most likely. What is met once is not worth keeping: Pods of CI and of workflows have command lines of
 * their own, and what was made for each of them would only be moved about until it is dropped.
 */
export function createMet(): (text: string) => boolean {
  const met = new Uint32Array(MOST);
  return (text) => {
    const hash = hashOf(text);
    const place = hash % MOST;
    if (met[place] === hash) return true;
    met[place] = hash;
    return false;
  };
}
