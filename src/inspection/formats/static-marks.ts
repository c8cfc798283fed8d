import type { ElfFinding } from './elf.ts';

/** The C library in a static program whose headers have no mark of Go or glibc. */
export type StaticJudgement =
  | { readonly libc: 'musl'; readonly sure: boolean; readonly why: string }
  /** glibc's dynamic loader, or a program whose note was removed. */
  | { readonly libc: 'glibc'; readonly sure: boolean; readonly why: string }
  /** `none`: it has no C library. */
  | { readonly libc: 'other' | 'none'; readonly why: string }
  | { readonly libc: 'unknown'; readonly why: string };

// A program with dietlibc's resolver, the smallest of all, takes 25 KiB.
const smallestResolver = 16 * 1024;

type Unmarked = Extract<ElfFinding, { kind: 'static'; runtime: 'unmarked' }>;

// Texts that only one C library holds. Not a library's bare name: tools that examine programs hold all of them.
const marks = [
  // musl src/errno/__strerror.h: the message of 0; glibc and uClibc say "Success", dietlibc nothing.
  { text: 'No error information\0', libc: 'musl' },
  // musl src/network/resolvconf.c: the options its resolver reads, in its order.
  { text: 'ndots:\0attempts:\0timeout:\0', libc: 'musl' },
  // glibc elf/Versions: its loader has the name, and static programs that load its name services.
  { text: '\0GLIBC_PRIVATE\0', libc: 'glibc', name: "static, holds the name of glibc's private symbols" },
  // glibc elf/dl-tunables.list: static programs hold the list since 2.26.
  { text: 'glibc.malloc.trim_threshold\0', libc: 'glibc', name: "static, holds glibc's tunables" },
  // uClibc-ng libc/inet/resolv.c: the second path that it tries for resolv.conf.
  { text: '/etc/config/resolv.conf\0', libc: 'other', name: 'uClibc' },
  { text: '\0__uClibc_main\0', libc: 'other', name: 'uClibc' },
  { text: '__you_tried_to_link_a_dietlibc_object_against_glibc\0', libc: 'other', name: 'dietlibc' },
  { text: '\0__libc_init_stdio\0', libc: 'other', name: 'klibc' },
] as const;

/**
 * Judges a static program by `held`, its first bytes (`complete`: all of them). Texts decide, then its first instructions.
 * Without either a RELRO segment says musl, not for sure: dietlibc and klibc programs have none (measured:
 * docs/detection.md), uClibc programs may.
 */
export function judgeStatic(finding: Unmarked, held: Uint8Array, complete: boolean): StaticJudgement {
  const bytes = Buffer.from(held.buffer, held.byteOffset, held.byteLength);
  for (const mark of marks) {
    if (!bytes.includes(mark.text, 0, 'latin1')) continue;
    if (mark.libc === 'glibc') return { libc: 'glibc', sure: true, why: mark.name };
    return mark.libc === 'musl'
      ? { libc: 'musl', sure: true, why: `static, holds musl's text "${mark.text.replaceAll('\0', ' ').trim()}"` }
      : { libc: 'other', why: `static, linked with ${mark.name}` };
  }
  if (finding.start === 'musl') return { libc: 'musl', sure: true, why: 'static, starts as musl programs do' };
  if (finding.start === 'bare') return { libc: 'none', why: 'static, starts as programs without a C library do' };
  if (finding.start === 'glibc') {
    return { libc: 'glibc', sure: false, why: "static, starts as glibc's programs do, its note is missing" };
  }
  if (finding.relro && !mayStart(finding)) {
    return {
      libc: 'musl',
      sure: false,
      why: `static${finding.pie ? '-pie' : ''}, not glibc, not Go: most likely musl`,
    };
  }
  if (complete && held.length <= smallestResolver && !bytes.includes('resolv.conf', 0, 'latin1')) {
    return { libc: 'other', why: 'static, and too small to hold a resolver' };
  }
  return { libc: 'unknown', why: 'static, and nothing in reach says which C library' };
}

/** Reports whether its first instructions tell something, or would if they were in reach. */
const mayStart = ({ start, apart }: Unmarked): boolean => start !== undefined || apart !== undefined;
