import { type Authority, authorityOf, hubHost } from './hosts/pattern.ts';
import type { HostRules } from './hosts/rules.ts';
import type { Reference } from './reference.ts';

/** Where a repository is asked for: its own registry, or a mirror of it. */
export interface Endpoint {
  /** Scheme, host and port. */
  readonly origin: string;
  /** The registry as credentials name it. */
  readonly host: string;
  /** Path of the repository there. */
  readonly repository: string;
  /** Of a mirror: the registry that it stands in for, which it is told as containerd does (`?ns=`). */
  readonly namespace?: string;
  readonly listedOnly: boolean;
}

/** A configured mirror. */
export interface Mirror {
  readonly url: URL;
  readonly authority: Authority;
}

/**
 * Reads a mirror: `https://mirror.example/prefix`, or without the scheme. Repositories are looked for below the prefix:
 * `/v2/prefix/library/nginx/…`. `http://` has to be written out. Throws a RangeError that names the entry.
 */
export function parseMirror(text: string): Mirror {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0].toLowerCase();
  const url = URL.parse(scheme === undefined ? `https://${text}` : text);
  const known = scheme === undefined || scheme === 'https://' || scheme === 'http://';
  if (!known || url === null || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new RangeError('a mirror has to be host[:port][/prefix], with https:// or http:// and without a login');
  }
  return { url, authority: authorityOf(url) };
}

/** The registry's host and port. Docker Hub is asked at registry-1.docker.io. */
export function registryAuthority(reference: Reference, rules: HostRules): Authority {
  return authorityOf(registryUrl(reference, rules));
}

function registryUrl({ host }: Reference, rules: HostRules): URL {
  const name = host === hubHost ? 'registry-1.docker.io' : host;
  const url = new URL(`https://${name}`);
  const { protocol } = rules.transport(authorityOf(url));
  return protocol === 'https:' ? url : new URL(`${protocol}//${name}`);
}

/** Where to ask, in order: the mirrors of the reference's registry, then the registry itself. */
export function endpointsOf(reference: Reference, mirrors: readonly Mirror[], rules: HostRules): Endpoint[] {
  const origin = registryUrl(reference, rules);
  const { host, repository } = reference;
  const listedOnly = rules.admittedByAddress(authorityOf(origin), repository);
  const mirrored = mirrors.map(({ url }): Endpoint => {
    const prefix = url.pathname.split('/').filter((part) => part !== '');
    const path = [...prefix, repository].join('/');
    return { origin: url.origin, host: url.host, repository: path, namespace: host, listedOnly: false };
  });
  return [...mirrored, { origin: origin.origin, host, repository, listedOnly }];
}
