import { privatePem, readCa, readSigningCa, type Ca, type SigningCa } from './authority.ts';
import { CertificateError } from './certificate-error.ts';

/**
 * The CAs that the replicas share. All of them are trusted; `current` alone signs. The Secret's keys are `current.crt`,
 * `current.key`, `next.crt`, `next.key`, `previous.crt` (PEM) and `promoted` (RFC 3339).
 */
export interface CaState {
  readonly current: SigningCa;
  /** Signs as soon as everyone who calls us trusts it. */
  readonly next?: SigningCa;
  /** Signed until lately: certificates of it may still be served. Its key is gone. */
  readonly previous?: Ca;
  /** When `current` took over from `previous`, milliseconds since the epoch. */
  readonly promotedAt?: number;
}

export interface ReadCaState {
  /** Undefined where there is no usable current CA. */
  readonly state: CaState | undefined;
  /** What is wrong with each part that cannot be used. */
  readonly problems: readonly string[];
}

type Data = Readonly<Record<string, string>>;

/** The largest part that is looked at: chains of RSA certificates are far smaller. */
const MOST_CHARACTERS = 65_536;

function part<T>(
  problems: string[],
  data: Data,
  keys: readonly string[],
  read: (...pem: string[]) => T,
): T | undefined {
  const texts = keys.map((key) => data[key] ?? '');
  if (texts.every((text) => text === '')) return undefined;
  try {
    for (const [index, text] of texts.entries()) {
      if (text === '') throw new CertificateError(`${keys[index]}: missing`);
      if (text.length > MOST_CHARACTERS) throw new CertificateError(`${keys[index]}: longer than ${MOST_CHARACTERS}`);
    }
    return read(...texts);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    problems.push(error.message);
    return undefined;
  }
}

/** Reads the data of the Secret, decoded. Never throws: whatever a person wrote into it comes back as problems. */
export function readCaState(data: Data): ReadCaState {
  const problems: string[] = [];
  const signing = (name: string): SigningCa | undefined =>
    part(problems, data, [`${name}.crt`, `${name}.key`], (cert = '', key = '') => readSigningCa(cert, key, name));
  const current = signing('current');
  const next = signing('next');
  const previous = part(problems, data, ['previous.crt'], (cert = '') => readCa(cert, 'previous'));
  if (current === undefined) {
    return { state: undefined, problems: problems.length > 0 ? problems : ['current.crt: missing'] };
  }
  const promotedAt = Date.parse(data['promoted'] ?? '');
  return {
    state: {
      current,
      ...(next !== undefined && next.id !== current.id && { next }),
      ...(previous !== undefined && previous.id !== current.id && { previous }),
      ...(!Number.isNaN(promotedAt) && { promotedAt }),
    },
    problems,
  };
}

/** The data of the Secret; undefined values are keys that must not be there. */
export function writeCaState({ current, next, previous, promotedAt }: CaState): Record<string, string | undefined> {
  return {
    'current.crt': current.cert,
    'current.key': privatePem(current.key),
    'next.crt': next?.cert,
    'next.key': next === undefined ? undefined : privatePem(next.key),
    'previous.crt': previous?.cert,
    promoted: promotedAt === undefined ? undefined : new Date(promotedAt).toISOString(),
  };
}

/** All CAs that those who call us have to trust. */
export function trusted({ current, next, previous }: CaState): readonly Ca[] {
  return [current, ...(next === undefined ? [] : [next]), ...(previous === undefined ? [] : [previous])];
}
