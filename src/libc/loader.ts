/** Which C library a dynamic loader belongs to. */
export type LoaderLibc = 'glibc' | 'musl' | 'other';

/**
 * The C library that a PT_INTERP path names, by the loader's file name: musl's is `ld-musl-<arch>.so.1` (musl ldso),
 * glibc's `ld-linux*.so.N`, `ld64.so.N` or `ld.so.1` (glibc wiki, ABIList), old releases `ld-2.NN.so`. All others (klibc,
 * uClibc, Android's linker) are `other`. What stands at the path may be something else: see `resolveLoader`.
 */
export function loaderLibc(interpreter: string): LoaderLibc {
  const name = interpreter.slice(interpreter.lastIndexOf('/') + 1);
  if (/^ld-musl-[\w.-]+$/u.test(name) || /^libc\.musl-[\w.-]+$/u.test(name)) return 'musl';
  if (/^ld-linux[\w.-]*\.so\.\d+$/u.test(name) || /^ld64\.so\.\d+$/u.test(name)) return 'glibc';
  return /^(?:ld-2\.\d+\.so|ld\.so\.1)$/u.test(name) ? 'glibc' : 'other';
}
