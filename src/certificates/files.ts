import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';

import { messageOf } from '../util/text.ts';
import { CertificateError, type CertificatePair, type CertificateSource } from './source.ts';

interface FileCertificatesOptions {
  readonly certFile: string;
  readonly keyFile: string;
  /** Called with a new pair that cannot be used: the old one stays. */
  readonly onError: (error: CertificateError) => void;
}

/** Milliseconds to wait after a change: a pair is written as two files. */
const SETTLE_MS = 100;

/** For file systems that report no changes. */
const POLL_MS = 10_000;

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CertificateError(`${file}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Reads and checks a pair. Throws {@link CertificateError} where a file is missing, cut short, or they do not match. */
function loadPair(certFile: string, keyFile: string): CertificatePair {
  const cert = read(certFile);
  const key = read(keyFile);
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

/**
 * A pair in mounted files, read again when they change. Secret volumes change by a swap of the `..data` symlink beside
 * the files, so the folders are watched, not the files. Throws {@link CertificateError} where the first pair is unusable.
 */
export function fileCertificates(options: FileCertificatesOptions): CertificateSource {
  const { certFile, keyFile, onError } = options;
  const listeners: ((pair: CertificatePair) => void)[] = [];
  let pair = loadPair(certFile, keyFile);
  let reported = '';

  const look = (): void => {
    try {
      const next = loadPair(certFile, keyFile);
      reported = '';
      if (next.cert === pair.cert && next.key === pair.key) return;
      pair = next;
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
  for (const folder of new Set([dirname(certFile), dirname(keyFile)])) {
    const watcher = watch(folder, { persistent: false }, soon);
    // A folder that goes away: polling goes on and says so.
    watcher.on('error', () => watcher.close());
    watchers.push(watcher);
  }
  const poll = setInterval(look, POLL_MS).unref();

  return {
    current: () => pair,
    onChange: (listener) => void listeners.push(listener),
    close() {
      clearInterval(poll);
      clearTimeout(settling);
      for (const watcher of watchers) watcher.close();
    },
  };
}
