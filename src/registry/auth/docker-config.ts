import { z } from 'zod';

import type { Credential } from '../../detection/image-source.ts';
import { messageOf } from '../../util/text.ts';
import { hubHost } from '../hosts/pattern.ts';
import { parseBoundedJson } from '../../util/json-bounds.ts';
import { type CredentialSource, type KeyedCredential, matchCredentials } from './credentials.ts';

/** The logins of a docker config file. */
interface DockerConfig {
  readonly auths: readonly KeyedCredential[];
  /** Credential helper by registry: `{ "ghcr.io": "gh" }` stands for the program docker-credential-gh. */
  readonly credHelpers: Readonly<Record<string, string>>;
  /** Credential helper for every registry that `credHelpers` does not name. */
  readonly credsStore?: string;
  /** Messages about invalid entries, without their content. */
  readonly problems: readonly string[];
}

/** Asks the program docker-credential-<helper> for a registry's login; undefined if it has none. */
export type CredentialHelper = (helper: string, server: string) => Promise<Credential | undefined>;

const longest = 1 << 20; // A Kubernetes Secret holds no more.
const mostLogins = 500;
const text = z.string().optional();
const entrySchema = z.object({
  auth: text,
  username: text,
  password: text,
  identitytoken: text,
  registrytoken: text,
});
const fileSchema = z.record(z.string(), z.unknown());
const helperName = z.string().regex(/^[A-Za-z0-9][\w.-]*$/);

/**
 * Reads `~/.docker/config.json`, or a Secret's `.dockerconfigjson`. Never throws: leaves out invalid entries and names
 * them in `problems`. (docker/cli cli/config/configfile/file.go)
 */
export function parseDockerConfig(json: string): DockerConfig {
  const file = parseObject(json);
  if (file === undefined) return { auths: [], credHelpers: {}, problems: ['it is not a JSON object'] };
  const problems: string[] = [];
  const auths = readAuths(file['auths'] ?? {}, problems);
  const credHelpers: Record<string, string> = Object.create(null);
  const helpers = fileSchema.safeParse(file['credHelpers'] ?? {});
  if (!helpers.success) problems.push('credHelpers is not an object');
  for (const [server, helper] of Object.entries(helpers.data ?? {}).slice(0, mostLogins)) {
    const name = helperName.safeParse(helper);
    if (name.success) credHelpers[server] = name.data;
    else problems.push(`credHelpers has no valid helper name for ${JSON.stringify(server)}`);
  }
  const store = helperName.safeParse(file['credsStore'] || undefined);
  if (!store.success && file['credsStore']) problems.push('credsStore is not a valid helper name');
  return { auths, credHelpers, ...(store.success ? { credsStore: store.data } : {}), problems };
}

/** Reads a Secret's `.dockercfg`, which is the content of `auths` alone. Never throws, like `parseDockerConfig`. */
export function parseLegacyDockerConfig(json: string): DockerConfig {
  const file = parseObject(json);
  if (file === undefined) return { auths: [], credHelpers: {}, problems: ['it is not a JSON object'] };
  const problems: string[] = [];
  return { auths: readAuths(file, problems), credHelpers: {}, problems };
}

/**
 * Returns a source of the logins in a docker config file. Runs credential helpers only if `helper` is given, which
 * suits a person's command line and not a server. The login of a helper comes before those of `auths`, like in Docker.
 * A helper that fails counts as having no login; `onProblem` reports it.
 */
export function dockerConfigCredentials(
  config: DockerConfig,
  options: { readonly helper?: CredentialHelper; readonly onProblem?: (message: string) => void } = {},
): CredentialSource {
  const logins = new Map<string, Promise<Credential | undefined>>();
  const askHelper = (helper: CredentialHelper, name: string, server: string) => {
    const login = helper(name, server).catch((error: unknown) => {
      options.onProblem?.(messageOf(error));
      return undefined;
    });
    logins.set(server, login);
    return login;
  };
  return {
    async find(host, repository) {
      const listed = matchCredentials(config.auths, host, repository);
      const server = host === hubHost ? 'https://index.docker.io/v1/' : host;
      const name = config.credHelpers[server] ?? config.credHelpers[host] ?? config.credsStore;
      if (options.helper === undefined || name === undefined) return listed;
      const credential = await (logins.get(server) ?? askHelper(options.helper, name, server));
      return credential === undefined ? listed : [credential, ...listed];
    },
  };
}

// A Secret of a MiB, the largest that there is, has 10,000 logins.
const bounds = { depth: 16, values: 50_000 };

function parseObject(json: string): Record<string, unknown> | undefined {
  if (json.length > longest) return undefined;
  return fileSchema.safeParse(parseBoundedJson(Buffer.from(json), bounds)).data;
}

function readAuths(auths: unknown, problems: string[]): KeyedCredential[] {
  const entries = fileSchema.safeParse(auths);
  if (!entries.success) problems.push('auths is not an object');
  const all = Object.entries(entries.data ?? {});
  if (all.length > mostLogins) problems.push(`only the first ${mostLogins} of ${all.length} logins are read`);
  return all.slice(0, mostLogins).flatMap(([host, value]) => {
    const credential = readEntry(value);
    // Docker writes an empty entry if a credential helper holds the login.
    if (credential === 'empty') return [];
    if (credential !== undefined) return [{ host, credential }];
    problems.push(
      `the login for ${JSON.stringify(host)} is neither auth (base64 of user:password) nor username and password`,
    );
    return [];
  });
}

function readEntry(value: unknown): Credential | 'empty' | undefined {
  const entry = entrySchema.safeParse(value);
  if (!entry.success) return undefined;
  const { auth, username = '', password = '', identitytoken, registrytoken } = entry.data;
  const login = auth ? decodeAuth(auth) : { username, password };
  if (login === undefined) return undefined;
  if (login.username === '' && login.password === '' && !identitytoken && !registrytoken) return 'empty';
  return {
    ...login,
    ...(identitytoken ? { identityToken: identitytoken } : {}),
    ...(registrytoken ? { registryToken: registrytoken } : {}),
  };
}

function decodeAuth(auth: string): { username: string; password: string } | undefined {
  // Checks first, because Buffer skips characters that are not base64.
  const compact = auth.replaceAll(/\s/g, '');
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(compact)) return undefined;
  const decoded = Buffer.from(compact, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon < 1) return undefined;
  // Old Docker clients padded the password with NUL.
  return { username: decoded.slice(0, colon), password: withoutPadding(decoded.slice(colon + 1)) };
}

function withoutPadding(padded: string): string {
  let end = padded.length;
  while (padded[end - 1] === '\0') end -= 1;
  return padded.slice(0, end);
}
