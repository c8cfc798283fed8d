import { type Authority, authorityOf, hubHost } from './hosts/pattern.ts';
import type { HostRules } from './hosts/rules.ts';
import type { Reference } from './reference.ts';

/** A place that serves a repository: its registry, or a mirror. */
export interface Endpoint {
  /** Scheme, host and port. */
  readonly origin: string;
  /** The registry as credentials name it. */
  readonly host: string;
  /** Path of the repository there. */
  readonly repository: string;
  /** For a mirror: the registry that it mirrors, sent as `?ns=` like containerd does. */
  readonly namespace?: string;
  /** Connect only to the networks of the allow list. */
  readonly listedOnly: boolean;
  /** The endpoint that redirected here: what this one answers is charged to it. */
  readonly ledBy?: Endpoint;
}

/** A configured mirror. */
export interface Mirror {
  readonly url: URL;
  readonly authority: Authority;
}

/**
 * Reads a mirror: `https://mirror.example/prefix`, or without the scheme; `http://` must be written out. The mirror's
 * repositories are below the prefix: `/v2/prefix/library/nginx/…`. A prefix may be written with its `/v2`, as containerd's hosts.toml has it
 * with `override_path`. Throws a RangeError.
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

/** Returns the registry's host and port; registry-1.docker.io for Docker Hub. */
export function registryAuthority(reference: Reference, rules: HostRules): Authority {
  return authorityOf(registryUrl(reference, rules));
}

function registryUrl({ host }: Reference, rules: HostRules): URL {
  const name = host === hubHost ? 'registry-1.docker.io' : host;
  const url = new URL(`https://${name}`);
  const { protocol } = rules.transport(authorityOf(url));
  return protocol === 'https:' ? url : new URL(`${protocol}//${name}`);
}

/** Returns the endpoints to try, in order: the mirrors of the reference's registry, then the registry. */
export function endpointsOf(reference: Reference, mirrors: readonly Mirror[], rules: HostRules): Endpoint[] {
  const origin = registryUrl(reference, rules);
  const { host, repository } = reference;
  const listedOnly = rules.admittedByAddress(authorityOf(origin), repository);
  const mirrored = mirrors.map(({ url }): Endpoint => {
    const parts = url.pathname.split('/').filter((part) => part !== '');
    const path = [...(parts[0] === 'v2' ? parts.slice(1) : parts), repository].join('/');
    return { origin: url.origin, host: url.host, repository: path, namespace: host, listedOnly: false };
  });
  return [...mirrored, { origin: origin.origin, host, repository, listedOnly }];
}
