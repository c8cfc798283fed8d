/** The pax records that say what an entry is (POSIX.1-2001 pax, "pax Extended Header Keyword/Value Pairs"). */
export interface PaxRecords {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
}

/** Reads `<length> <keyword>=<value>\n` records up to the first that is not one. */
export function readPaxRecords(body: Uint8Array): PaxRecords {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const found: { path?: string; linkpath?: string; size?: number } = {};
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    // No record here is longer than seven digits say.
    if (space === -1 || space - at > 7) return found;
    const length = Number(bytes.toString('latin1', at, space));
    const end = at + length;
    if (!Number.isInteger(length) || end <= space || bytes[end - 1] !== 0x0a) return found;
    const equals = bytes.indexOf(0x3d, space);
    if (equals === -1 || equals >= end) return found;
    const value = bytes.toString('utf8', equals + 1, end - 1);
    setRecord(found, bytes.toString('latin1', space + 1, equals), value);
    at = end;
  }
  return found;
}

function setRecord(found: { path?: string; linkpath?: string; size?: number }, key: string, value: string): void {
  if (key === 'path' || key === 'GNU.sparse.name') found.path = value;
  if (key === 'linkpath') found.linkpath = value;
  if (key !== 'size' || !/^\d{1,15}$/u.test(value)) return;
  found.size = Number(value);
}
