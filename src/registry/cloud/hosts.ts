/**
 * The clouds whose registries accept our workload identity. A new one also needs: `cloudRegistry` below, a file beside this one
 * with its login, `cloudPackages` and `loginTo` in `identities.ts`, `detection.registry.identities` in `config/schema.ts` (then
 * `npm run generate`), its package in `package.json` (optional peer and devDependency) and `build.mjs`, `docs/pull-secrets.md` and
 * `docs/dependencies.md`.
 */
export type Cloud = 'aws' | 'google' | 'azure';

/** What the login to a cloud's registry depends on. */
export type CloudRegistry =
  | { readonly cloud: 'aws'; readonly region: string; readonly fips: boolean }
  | { readonly cloud: 'google' }
  | { readonly cloud: 'azure' };

const region = '(?<region>[a-z]{2,4}(?:-[a-z]+){1,3}-\\d{1,2})';

/** Each partition of AWS has its own domains and regions; a token of one must not reach another's operator. */
const elasticRegistries = [
  {
    partition: /^(?!cn-|eusc-)/,
    host: new RegExp(`^\\d{12}\\.dkr\\.ecr(?<fips>-fips)?\\.${region}\\.amazonaws\\.com$`),
  },
  { partition: /^(?!cn-|eusc-)/, host: new RegExp(`^\\d{12}\\.dkr-ecr(?<fips>-fips)?\\.${region}\\.on\\.aws$`) },
  { partition: /^cn-/, host: new RegExp(`^\\d{12}\\.dkr\\.ecr\\.${region}\\.amazonaws\\.com\\.cn$`) },
  { partition: /^cn-/, host: new RegExp(`^\\d{12}\\.dkr-ecr\\.${region}\\.on\\.amazonwebservices\\.com\\.cn$`) },
  { partition: /^eusc-/, host: new RegExp(`^\\d{12}\\.dkr\\.ecr\\.${region}\\.amazonaws\\.eu$`) },
];
const googleRegistry = /^(?:(?:[a-z0-9-]{1,63}\.)?gcr\.io|[a-z0-9-]{1,63}\.pkg\.dev)$/;
const azureRegistry = /^[a-z0-9][a-z0-9-]{1,62}\.azurecr\.(?:io|cn|us)$/;

/**
 * Returns the cloud whose registry a host is; undefined for all others, and for any port but 443. A Pod can name any
 * host: so the whole name must match a domain of the cloud. (The kubelet's credential providers: matchImages of
 * ecr-credential-provider, auth-provider-gcp and acr-credential-provider)
 */
export function cloudRegistry(host: string): CloudRegistry | undefined {
  const name = host.replace(/:443$/, '');
  for (const { partition, host: pattern } of elasticRegistries) {
    const groups = pattern.exec(name)?.groups;
    const found = groups?.['region'];
    if (found !== undefined && partition.test(found)) {
      return { cloud: 'aws', region: found, fips: groups?.['fips'] !== undefined };
    }
  }
  if (googleRegistry.test(name)) return { cloud: 'google' };
  return azureRegistry.test(name) ? { cloud: 'azure' } : undefined;
}
