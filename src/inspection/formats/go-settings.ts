/**
 * Reads the settings that the go command leaves in a program (debug/buildinfo; cmd/go/internal/load, setBuildInfo), as far as
 * they choose its resolver (net/conf.go).
 */

/** How a Go program was built. */
export interface GoSettings {
  /** False if the resolver of a libc is not in it: built with `CGO_ENABLED=0`, or the tag `netgo`. */
  readonly cgo: boolean;
  /** Built with the tag `netcgo`, which chooses the libc's resolver. */
  readonly netcgo: boolean;
  /** The default of GODEBUG's `netdns`, of a `//go:debug` line; undefined if there is none. */
  readonly netdns: string | undefined;
}

const magic = Buffer.from('\u00FF Go buildinf:', 'latin1');
// The magic, the size of a pointer, flags, and two pointers that are not used since Go 1.18 (buildInfoHeaderSize).
const headerBytes = 32;
const alignment = 16;
// buildInfoHeader's flags: texts follow the header, since Go 1.18.
const textsFollow = 2;
const mostText = 256 * 1024;

/** Returns the settings that `bytes`, a part of a program, holds; undefined if it holds none. */
export function goSettings(bytes: Uint8Array): GoSettings | undefined {
  const held = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = held.indexOf(magic); at !== -1; at = held.indexOf(magic, at + alignment)) {
    if (((held[at + magic.length + 1] ?? 0) & textsFollow) === 0) continue;
    const version = textAt(held, at + headerBytes);
    const settings = version && textAt(held, version.end);
    if (settings !== undefined && settings.text !== '') return settingsOf(settings.text);
  }
  return undefined;
}

/** Reads a text behind its length (encoding/binary, Uvarint). */
function textAt(held: Buffer, from: number): { readonly text: string; readonly end: number } | undefined {
  let length = 0;
  let at = from;
  for (let shift = 1; shift <= 2 ** 21; shift *= 128) {
    const byte = held[at++];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * shift;
    if (byte < 0x80) break;
  }
  if (length > mostText || at + length > held.length) return undefined;
  return { text: held.toString('latin1', at, at + length), end: at + length };
}

function settingsOf(text: string): GoSettings {
  const values = new Map<string, string>();
  for (const [, name = '', value = ''] of text.matchAll(
    /^build\t(?<name>-tags|CGO_ENABLED|DefaultGODEBUG)=(?<value>.*)$/gmu,
  )) {
    values.set(name, value.replaceAll('"', ''));
  }
  const tags = (values.get('-tags') ?? '').split(',');
  return {
    cgo: values.get('CGO_ENABLED') !== '0' && !tags.includes('netgo'),
    netcgo: tags.includes('netcgo'),
    netdns: netdnsOf(values.get('DefaultGODEBUG') ?? ''),
  };
}

/**
 * Returns the mode in the last `netdns=` of GODEBUG, without the debug level that `+` adds (net/conf.go, goDebugNetDNS);
 * undefined if there is none.
 */
export function netdnsOf(godebug: string): string | undefined {
  const setting = godebug.split(',').findLast((one) => one.startsWith('netdns='));
  const [value = ''] = (setting ?? '').slice('netdns='.length).split('#', 1);
  const plus = value.indexOf('+');
  const parts = plus === -1 ? [value] : [value.slice(0, plus), value.slice(plus + 1)];
  return parts.findLast((part) => /^\D/u.test(part));
}
