/** Marks in the machine code of a program: who wrote its first instructions, and whether Go's compiler made it. */

/**
 * The first instructions of a program, which the C library's start files bring. `bare`: as programs without a C library begin
 * (Zig's lib/std/start.zig, Linux' tools/include/nolibc).
 */
export type StartCode = 'glibc' | 'musl' | 'bare' | 'unrecognised';

/** `e_machine` of the architectures whose code is known here. */
const machine = { amd64: 62, arm64: 183 };

/** Hex digits; a dot stands for any. */
type Pattern = readonly [Exclude<StartCode, 'unrecognised'>, RegExp];

// glibc sysdeps/x86_64/start.S and sysdeps/aarch64/start.S, which uClibc-ng copied; musl arch/*/crt_arch.h.
const starts: Readonly<Record<number, readonly Pattern[]>> = {
  [machine.amd64]: [
    ['glibc', /^(?:f30f1efa)?31ed4989d15e4889e24883e4f05054/u],
    ['musl', /^4831ed4889e7488d35.{8}4883e4f0e8/u],
    // Zig keeps the stack's beginning in a variable, or in a register.
    ['bare', /^(?:f30f1efa)?(?:48)?31ed(?:4889e7|488925.{8})4883e4f0/u],
  ],
  [machine.arm64]: [
    ['glibc', /^(?:5f2403d5)?1d0080d21e0080d2e50300aae10340f9e2230091e6030091/u],
    ['musl', /^1d0080d21e0080d2e0030091.{16}1fec7c92/u],
    ['bare', /^(?:.{16})?1d0080d21e0080d2e0030091(?:1fec7c92|000100f9)/u],
  ],
};
/** Bytes of the longest pattern. */
export const startBytes = 32;

/**
 * Returns who wrote the instructions at a program's entry point, which begin `code`; undefined for an architecture whose code
 * is not known here.
 */
export function startCode(architecture: number, code: Uint8Array): StartCode | undefined {
  const known = starts[architecture];
  if (known === undefined) return undefined;
  const hex = Buffer.from(code.subarray(0, startBytes)).toString('hex');
  return known.find(([, pattern]) => pattern.test(hex))?.[0] ?? 'unrecognised';
}

// Go's functions begin with a check of the stack: `cmp rsp, [r14+16]`, `ldr x16, [x28, #16]` (cmd/internal/obj/x86/obj6.go and
// arm64/obj7.go, stacksplit; the register holds g since Go 1.17 on amd64).
const stackChecks: Readonly<Record<number, Buffer>> = {
  [machine.amd64]: Buffer.from([0x49, 0x3b, 0x66, 0x10]),
  [machine.arm64]: Buffer.from([0x90, 0x0b, 0x40, 0xf9]),
};
// Of 3,300 programs and libraries of Debian none that is not Go's has a single one.
const leastChecks = 3;

// debug/buildinfo, buildInfoMagic; debug/gosym, go120magic to go12magic, each with the header's two zeros.
const goTexts = [
  Buffer.from('\u00FF Go buildinf:', 'latin1'),
  Buffer.from('\u00FF Go build ID: "', 'latin1'),
  ...[0xf1, 0xf0, 0xfa, 0xfb].flatMap((first) => [
    Buffer.from([first, 0xff, 0xff, 0xff, 0, 0, 1, 8]),
    Buffer.from([first, 0xff, 0xff, 0xff, 0, 0, 4, 8]),
  ]),
];

/** Reports whether `bytes`, a part of a program, shows that Go's compiler made it. */
export function showsGo(architecture: number, bytes: Uint8Array): boolean {
  const held = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const check = stackChecks[architecture];
  if (check !== undefined && count(held, check, leastChecks) >= leastChecks) return true;
  return goTexts.some((text) => held.includes(text));
}

/** Counts `wanted` in `held`, up to `most`. */
function count(held: Buffer, wanted: Buffer, most: number): number {
  let found = 0;
  for (let at = held.indexOf(wanted); at !== -1 && found < most; at = held.indexOf(wanted, at + 1)) found += 1;
  return found;
}
