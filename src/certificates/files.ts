import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';

import { messageOf } from '../util/text.ts';
import { CertificateError, type CertificatePair, type CertificateSource } from './source.ts';

interface FileCertificatesOptions {
  readonly certFile: string;
  readonly keyFile: string;
  /** Called if a new pair cannot be used: the old one stays. */
  readonly onError: (error: CertificateError) => void;
}

/**
 * Reads a pair from mounted files, and again when they change. Throws {@link CertificateError} if the first pair is unusable.
 */
export function fileCertificates({ certFile, keyFile, onError }: FileCertificatesOptions): CertificateSource {
  return followFiles({
    files: [certFile, keyFile],
    read: () => loadPair(certFile, keyFile),
    isSame: (a, b) => a.cert === b.cert && a.key === b.key,
    onError,
  });
}

interface FollowOptions<T> {
  readonly files: readonly string[];
  /** Throws {@link CertificateError} if what is in the files cannot be used. */
  readonly read: () => T;
  readonly isSame: (a: T, b: T) => boolean;
  /** Called once for each new message of an error: the old value stays. */
  readonly onError: (error: CertificateError) => void;
}

/** What was last read from files, and each new usable value. */
export interface Followed<T> {
  current(): T;
  onChange(listener: (value: T) => void): void;
  close(): void;
}

/** Milliseconds to wait after a change, for a pair is written as two files. */
const SETTLE_MS = 100;

/** Milliseconds between reads, for file systems that report no changes. */
const POLL_MS = 10_000;

/**
 * Reads mounted files, and again when they change. Watches the folders, for Secret volumes change by a swap of the `..data` symlink
 * beside the files. Throws what the first `read` throws.
 */
export function followFiles<T>({ files, read, isSame, onError }: FollowOptions<T>): Followed<T> {
  const listeners: ((value: T) => void)[] = [];
  let value = read();
  let reported = '';

  const look = (): void => {
    try {
      const next = read();
      reported = '';
      if (isSame(next, value)) return;
      value = next;
      for (const listener of listeners) listener(next);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      if (error.message !== reported) onError(error);
      reported = error.message;
    }
  };

  let settling: NodeJS.Timeout | undefined;
  const soon = (): void => {
    clearTimeout(settling);
    settling = setTimeout(look, SETTLE_MS);
  };
  const watchers: FSWatcher[] = [];
  for (const folder of new Set(files.map(dirname))) {
    const watcher = watch(folder, { persistent: false }, soon);
    // If the folder disappears, polling goes on and reports it.
    watcher.on('error', () => watcher.close());
    watchers.push(watcher);
  }
  const poll = setInterval(look, POLL_MS).unref();

  return {
    current: () => value,
    onChange: (listener) => void listeners.push(listener),
    close() {
      clearInterval(poll);
      clearTimeout(settling);
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** Returns a file's text. Throws {@link CertificateError} if it cannot be read. */
export function readPem(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CertificateError(`${file}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Reads and checks a pair. Throws {@link CertificateError} if a file is missing or cut short, or if they do not match. */
function loadPair(certFile: string, keyFile: string): CertificatePair {
  const cert = readPem(certFile);
  const key = readPem(keyFile);
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(cert);
  } catch (error) {
    throw new CertificateError(`${certFile}: no PEM certificate in it (is it still being written?)`, { cause: error });
  }
  try {
    if (leaf.checkPrivateKey(createPrivateKey(key))) return { cert, key };
  } catch (error) {
    throw new CertificateError(`${keyFile}: no usable PEM private key in it`, { cause: error });
  }
  throw new CertificateError(`${keyFile}: the key does not belong to the certificate in ${certFile}`);
}
