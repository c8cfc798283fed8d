import { ImageSourceError } from '../detection/image-source.ts';
import { parseDigest } from './digest.ts';

/** An image reference with its defaults filled in. */
export interface Reference {
  /** Registry in lower case, with its port if one is given: `docker.io`, `localhost:5000`, `[2001:db8::1]:5000`. */
  readonly host: string;
  /** Repository path inside the registry: `library/nginx`. */
  readonly repository: string;
  /** `latest` if neither tag nor digest is given. Beside a digest it does not count. */
  readonly tag?: string;
  /** `sha256:…` or `sha512:…`. */
  readonly digest?: string;
}

// Grammar: github.com/distribution/reference, regexp.go and normalize.go.
const longest = 1024;
const longestRepository = 255;
const hostPattern =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:.]+\])(?::([0-9]{1,5}))?$/;
const componentPattern = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const hubNames = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/**
 * Reads an image reference like Docker and the kubelet: `nginx` is `docker.io/library/nginx:latest`; the first path
 * component is a host if it has a dot or a port, or is `localhost`. Refuses `Host/name`, which Docker reads as a host
 * too: in lower case it would be another image. Returns odd spellings of an IP address (`127.1`, `0x7f000001`) in their
 * usual form, so that rules about hosts see one name per host. Throws `ImageSourceError` `invalid-reference`.
 */
export function parseReference(text: string): Reference {
  if (text.length > longest) throw invalid(text, `it is longer than ${longest} characters`);
  if (/^[a-z]+:\/\//i.test(text)) throw invalid(text, 'it begins with a URL scheme; write host/name:tag');
  const { name, tag, digest } = splitVersion(text);
  const { host, path } = splitHost(text, name);
  const repository = hubNames.has(host) && !path.includes('/') ? `library/${path}` : path;
  checkRepository(text, repository);
  return {
    host: hubNames.has(host) ? 'docker.io' : host,
    repository,
    ...(tag !== undefined || digest === undefined ? { tag: tag ?? 'latest' } : {}),
    ...(digest === undefined ? {} : { digest }),
  };
}

/**
 * Returns the canonical name of a reference: `docker.io/library/nginx:1.29`, or `…/nginx@sha256:…` if it has a digest.
 */
export function formatReference(reference: Reference): string {
  const version = reference.digest === undefined ? `:${reference.tag ?? 'latest'}` : `@${reference.digest}`;
  return `${reference.host}/${reference.repository}${version}`;
}

function splitVersion(text: string): { name: string; tag?: string; digest?: string } {
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : text.slice(at + 1);
  const named = at === -1 ? text : text.slice(0, at);
  if (digest !== undefined && parseDigest(digest) === undefined) {
    throw invalid(text, 'what follows @ is not sha256:<64 hex digits> or sha512:<128 hex digits>');
  }
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon === -1 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !tagPattern.test(tag)) {
    throw invalid(text, 'its tag has to be 1 to 128 letters, digits, ".", "_" or "-"');
  }
  const name = colon === -1 ? named : named.slice(0, colon);
  return { name, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

function splitHost(text: string, name: string): { host: string; path: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = /[.:]/.test(first) || first === 'localhost';
  if (slash === -1 || !isHost) return { host: 'docker.io', path: name };
  return { host: normalizeHost(text, first), path: name.slice(slash + 1) };
}

function normalizeHost(text: string, host: string): string {
  const match = hostPattern.exec(host);
  const port = match?.[1];
  if (match === null || (port !== undefined && (Number(port) < 1 || Number(port) > 65_535))) {
    throw invalid(text, 'its registry is not a host name or address with an optional port');
  }
  const url = URL.parse(`https://${host}`);
  if (url === null) throw invalid(text, 'its registry is not a host name or address with an optional port');
  return port === undefined ? url.hostname : `${url.hostname}:${Number(port)}`;
}

function checkRepository(text: string, repository: string): void {
  if (repository.length > longestRepository) {
    throw invalid(text, `its repository name is longer than ${longestRepository} characters`);
  }
  if (repository !== repository.toLowerCase()) throw invalid(text, 'its repository name has to be lower case');
  if (/^[0-9a-f]{64}$/.test(repository.replace(/^library\//, ''))) {
    throw invalid(text, 'it is an image ID; give a repository name');
  }
  if (!repository.split('/').every((component) => componentPattern.test(component))) {
    throw invalid(
      text,
      'each part of its repository name has to be lower-case letters and digits, joined by ".", "_", "__" or "-"',
    );
  }
}

function invalid(text: string, why: string): ImageSourceError {
  return new ImageSourceError('invalid-reference', `${quoteReference(text)} is not an image reference: ${why}`);
}

/** Quotes a reference for messages: at most 120 characters, control characters escaped, without a login before `@`. */
export function quoteReference(text: string): string {
  const start = text.slice(0, longest);
  const at = start.lastIndexOf('@');
  const login = at !== -1 && parseDigest(start.slice(at + 1)) === undefined;
  const shown = login ? `…${start.slice(at)}` : start;
  return JSON.stringify(shown.length > 120 ? `${shown.slice(0, 120)}…` : shown);
}

/** The canonical name of a reference: `docker.io/library/nginx:1` of `nginx:1`. Throws what `parseReference` throws. */
export const canonicalName = (text: string): string => formatReference(parseReference(text));
