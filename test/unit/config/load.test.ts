import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { z } from 'zod';

import { environmentVariables } from '../../../src/config/environment.ts';
import { ConfigError, loadConfig } from '../../../src/config/load.ts';
import { policyConfig } from '../../../src/config/policy-config.ts';
import { registryProxy } from '../../../src/config/registry-proxy.ts';
import { configSchema, defaultConfig } from '../../../src/config/schema.ts';

const load = (
  text: string,
  environment: Record<string, string> = {},
  flags: { key: string; value: unknown; origin: string }[] = [],
) => loadConfig({ file: { name: 'c.yaml', text }, environment, flags });

const problems = (...given: Parameters<typeof load>): readonly string[] => {
  try {
    load(...given);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

describe('the defaults', () => {
  it('are those of docs/configuration.md', () => {
    expect(z.encode(configSchema, defaultConfig())).toEqual({
      scope: 'opt-in',
      mode: 'enforce',
      exposure: 'always',
      excludeNamespaces: ['kube-system', 'kube-public', 'kube-node-lease'],
      cluster: { dns: 'auto', domain: 'auto', nodeSearches: 'auto', service: 'kube-system/kube-dns' },
      glibc: { options: ['single-request-reopen', 'use-vc'], tcpPreflight: true },
      go: { options: [] },
      musl: { remedy: 'auto', timeout: 5, attempts: 10, extraNameservers: [] },
      mixedPods: 'redirect',
      extraOptions: {},
      nodeLocal: {
        mode: 'auto',
        addresses: ['169.254.20.10'],
        fallback: true,
        daemonSet: 'kube-system/node-local-dns',
        minReady: 1,
      },
      networkPolicies: true,
      virtualNodes: 'none',
      sidecar: {
        image: 'registry.k8s.io/coredns/coredns:v1.14.6',
        resources: {
          limits: { cpu: '100m', memory: '64Mi', 'ephemeral-storage': '' },
          requests: { cpu: '', memory: '', 'ephemeral-storage': '' },
        },
      },
      detection: {
        budget: '1500ms',
        platform: 'linux/amd64',
        registry: {
          enabled: true,
          allow: [],
          deny: [],
          insecure: [],
          mirrors: {},
          allowPrivateAddresses: true,
          concurrency: 8,
          dockerConfig: '',
          pullSecrets: false,
          identities: [],
          caFile: '',
          proxy: '',
          noProxy: [],
        },
        cache: { entries: 20_000, tagTtl: '10m', failureTtl: '1m', store: 'memory', unusedAfter: '720h' },
      },
      admissionPolicy: { enabled: false },
      warmUp: { enabled: true, rate: 2, hourly: { 'docker.io': 5 }, resources: [], lease: 'libc-dns-webhook' },
      server: { address: '0.0.0.0', port: 10_250, metricsPort: 9402, warnings: false, events: false },
      tls: {
        mode: 'ephemeral',
        certFile: '',
        clientCaFile: '',
        clientNames: [],
        keyFile: '',
        secret: 'libc-dns-webhook-ca',
        registration: 'libc-dns-webhook',
        service: 'libc-dns-webhook',
        caLifetime: '8760h',
        certLifetime: '168h',
        overlap: '5m',
      },
      log: { level: 'info', format: 'json' },
    });
  });

  it('read back what they print', () => {
    const text = stringify(z.encode(configSchema, defaultConfig()));
    expect(load(text).config).toEqual(defaultConfig());
  });

  it.each(['', '# nothing\n', '---\n'])('an empty file is the defaults: %j', (text) => {
    expect(load(text).config).toEqual(defaultConfig());
  });
});

describe('what is refused, with its place and what to do', () => {
  it.each(['cache', 'a/b/c', 'kube-system/', 'k8s-app=cache', 'kube-system/k8s-app in (cache)', 'dns/a=b,'])(
    'DaemonSets that are neither named nor selected: %j',
    (text) => {
      const problem = 'nodeLocal.daemonSet: expected namespace/name, namespace/name-* or namespace/label=value';
      expect(() => load(`nodeLocal: {daemonSet: "${text}"}\n`)).toThrow(problem);
    },
  );

  it.each([
    ['scop: cluster\n', 'c.yaml:1:7: scop: unknown key; did you mean scope?'],
    ['nodeLocal:\n  mod: on\n', 'c.yaml:2:8: nodeLocal.mod: unknown key; did you mean mode?'],
    ['log: {colour: true}\n', 'c.yaml:1:15: log.colour: unknown key; known here: level, format'],
    ['extraOptions: {glib: []}\n', 'c.yaml:1:22: extraOptions.glib: unknown key; did you mean glibc?'],
    ['musl: {attempts: 0}\n', 'c.yaml:1:18: musl.attempts: expected at least 1'],
    ['musl: {attempts: 2.5}\n', 'c.yaml:1:18: musl.attempts: expected a whole number'],
    ['musl: {timeout: 1}\n', 'c.yaml:1:17: musl.timeout: expected at least 5'],
    ['musl: {timeout: 99}\n', 'c.yaml:1:17: musl.timeout: expected at most 60'],
    ['musl:\n', 'c.yaml:1:6: musl: expected a mapping of keys'],
    ['scope: all\n', 'c.yaml:1:8: scope: expected one of opt-in, cluster'],
    ['server: {warnings: "yes"}\n', 'c.yaml:1:20: server.warnings: expected true or false'],
    [
      'server: {port: 9402}\n',
      'c.yaml:1:9: server.metricsPort: expected another port than server.port: both listen at one address',
    ],
    ['cluster: {dns: 10.96.0.10}\n', 'c.yaml:1:16: cluster.dns: expected auto, or a list'],
    ['cluster: {dns: []}\n', 'c.yaml:1:16: cluster.dns: expected at least 1 in the list'],
    [
      'detection: {registry: {pullSecrets: maybe}}\n',
      'c.yaml:1:37: detection.registry.pullSecrets: expected true or false, or unverified',
    ],
    ['detection: {registry: {mirrors: [a]}}\n', 'c.yaml:1:33: detection.registry.mirrors: expected a mapping of keys'],
    ['detection: {budget: 1500}\n', 'c.yaml:1:21: detection.budget: expected a duration from 10ms to 10s'],
    ['excludeNamespaces: [1]\n', 'c.yaml:1:21: excludeNamespaces.0: expected text'],
    ['sidecar: {image: ""}\n', 'c.yaml:1:18: sidecar.image: expected a text that is not empty'],
    ['warmUp: {hourly: {"": 1}}\n', 'c.yaml:1:23: warmUp.hourly.: expected a name'],
    [`tls: {secret: ${'a'.repeat(254)}}\n`, 'c.yaml:1:15: tls.secret: expected at most 253 characters'],
    [
      'glibc: {options: [single-requst]}\n',
      'c.yaml:1:19: glibc.options.0: "single-requst" is no option of resolv.conf: did you mean single-request?',
    ],
    [
      'glibc: {options: ["ndots:1"]}\n',
      'c.yaml:1:19: glibc.options.0: ndots takes a whole number from 5 to 15: ndots is never lowered below the 5 that the kubelet writes',
    ],
    [
      'glibc: {options: ["attempts:0"]}\n',
      'c.yaml:1:19: glibc.options.0: attempts takes a whole number from 1 to 10: attempts:0 crashes every musl program that resolves a name',
    ],
    [
      'glibc: {options: ["timeout:x"]}\n',
      'c.yaml:1:19: glibc.options.0: timeout takes a whole number from 1 to 30: timeout:0 makes musl fail every look-up at once',
    ],
    ['glibc: {options: ["use-vc:1"]}\n', 'c.yaml:1:19: glibc.options.0: use-vc takes no value'],
    [
      'extraOptions: {musl: ["timeout:2"]}\n',
      'c.yaml:1:23: extraOptions.musl.0: timeout is at least 5 here: musl counts it for the whole look-up',
    ],
    ['detection: {budget: soon}\n', 'c.yaml:1:21: detection.budget: expected a duration from 10ms to 10s'],
    ['detection: {budget: 1h}\n', 'c.yaml:1:21: detection.budget: expected a duration from 10ms to 10s'],
    [
      'detection: {platform: windows/amd64}\n',
      'c.yaml:1:23: detection.platform: expected a platform such as linux/amd64 or linux/arm/v7',
    ],
    [
      'nodeLocal: {addresses: [127.0.0.53]}\n',
      "c.yaml:1:25: nodeLocal.addresses.0: a loopback address is the Pod's own: no node-local cache answers there",
    ],
    [
      'nodeLocal: {addresses: ["::1"]}\n',
      "c.yaml:1:25: nodeLocal.addresses.0: a loopback address is the Pod's own: no node-local cache answers there",
    ],
    [
      'go: {options: [no-aaaa]}\n',
      'c.yaml:1:16: go.options.0: Go does not know it, and would resolve through its libc where it is linked to one',
    ],
    [
      'extraOptions: {go: ["debug"]}\n',
      'c.yaml:1:21: extraOptions.go.0: Go does not know it, and would resolve through its libc where it is linked to one',
    ],
    [
      'sidecar: {resources: {limits: {memory: 16Mi}}}\n',
      'c.yaml:1:40: sidecar.resources.limits.memory: expected a quantity from 32Mi to 1Gi',
    ],
    [
      'sidecar: {resources: {requests: {memory: 64m}}}\n',
      'c.yaml:1:42: sidecar.resources.requests.memory: expected a quantity from 32Mi to 1Gi',
    ],
    [
      'sidecar: {resources: {requests: {cpu: 0.1 cores}}}\n',
      'c.yaml:1:39: sidecar.resources.requests.cpu: expected a quantity from 10m to 4',
    ],
    [
      'sidecar: {resources: {limits: {ephemeral-storage: 2Gi}}}\n',
      'c.yaml:1:51: sidecar.resources.limits.ephemeral-storage: expected a quantity from 1Mi to 1Gi',
    ],
    [
      'sidecar: {resources: {requests: {cpu: 200m}}}\n',
      'c.yaml:1:39: sidecar.resources.requests.cpu: more than its limit, 100m',
    ],
    [
      'sidecar: {resources: {claims: []}}\n',
      'c.yaml:1:31: sidecar.resources.claims: unknown key; known here: limits, requests',
    ],
    ['nodeLocal: {addresses: [cache]}\n', 'c.yaml:1:25: nodeLocal.addresses.0: expected an IP address'],
    [
      'warmUp: {resources: [{group: argoproj.io, version: "1", plural: rollouts}]}\n',
      'c.yaml:1:52: warmUp.resources.0.version: expected an API version such as v1 or v1alpha1',
    ],
    ['tls: {mode: files}\n', 'c.yaml:1:6: tls.certFile: expected a path: tls.mode is files'],
    [
      'tls: {caLifetime: 1h}\n',
      'c.yaml:1:19: tls.caLifetime: expected at least three times tls.certLifetime and tls.overlap together: a CA outlives what it signs',
    ],
    [
      'musl: {remedy: redirect}\nnodeLocal: {mode: off}\n',
      'c.yaml:1:16: musl.remedy: redirect needs a node-local cache, and nodeLocal.mode is off; use auto, retry or none',
    ],
    ['[a]\n', 'c.yaml: expected a mapping of keys such as "scope: cluster"'],
    ['scope: "cluster\nmode: audit\n', expect.stringMatching(/^c\.yaml:\d:\d+: Missing closing "quote/)],
  ])('%j', (text, problem) => {
    expect(problems(text)[0]).toEqual(problem);
  });

  it('all problems are named at once', () => {
    expect(problems('scope: all\nmode: on\nlog: {level: loud}\n')).toHaveLength(3);
  });

  it('a value from the environment or a flag is blamed on it', () => {
    expect(problems('', { LIBC_DNS_MUSL_ATTEMPTS: '0' })[0]).toMatch(/^LIBC_DNS_MUSL_ATTEMPTS: musl\.attempts: /);
    expect(problems('', {}, [{ key: 'log.level', value: 'loud', origin: '--log-level' }])[0]).toMatch(
      /^--log-level: log\.level: /,
    );
  });
});

describe('the proxy of registries', () => {
  const registry = (text: string, environment: Record<string, string> = {}) =>
    load(text, environment).config.detection.registry;

  it.each<[what: string, text: string, environment: Record<string, string>, proxy: string, noProxy: string[]]>([
    ['none', '', {}, '', []],
    [
      'HTTPS_PROXY and NO_PROXY',
      '',
      { HTTPS_PROXY: 'http://p:3128', NO_PROXY: 'a, .b,10.0.0.0/8' },
      'http://p:3128',
      ['a', '.b', '10.0.0.0/8'],
    ],
    ['in lower case', '', { https_proxy: 'https://p', no_proxy: '*' }, 'https://p', ['*']],
    ['capitals first', '', { HTTPS_PROXY: 'http://p:1', https_proxy: 'http://p:2' }, 'http://p:1', []],
    ['without a scheme', '', { HTTPS_PROXY: 'p:3128' }, 'http://p:3128', []],
    ['an address', '', { HTTPS_PROXY: 'http://[fd00::1]:3128/' }, 'http://[fd00::1]:3128', []],
    ['empty variables', '', { HTTPS_PROXY: '', NO_PROXY: '' }, '', []],
    ['HTTP_PROXY is for others', '', { HTTP_PROXY: 'http://p:3128' }, '', []],
    [
      'the file wins',
      'detection: {registry: {proxy: "http://f:1", noProxy: [c]}}',
      { HTTPS_PROXY: 'http://p:1', NO_PROXY: 'a' },
      'http://f:1',
      ['c'],
    ],
    ['the file says none', 'detection: {registry: {proxy: ""}}', { HTTPS_PROXY: 'http://p:1' }, '', []],
    [
      'our own variable wins',
      'detection: {registry: {proxy: "http://f:1"}}',
      {
        HTTPS_PROXY: 'http://p:1',
        LIBC_DNS_DETECTION_REGISTRY_PROXY: 'http://o:1',
        LIBC_DNS_DETECTION_REGISTRY_NO_PROXY: 'x,y',
      },
      'http://o:1',
      ['x', 'y'],
    ],
    [
      'what Go passes over',
      '',
      { HTTPS_PROXY: 'http://p:1', NO_PROXY: 'a b,,10.0.0.0/x,<local>' },
      'http://p:1',
      ['<local>'],
    ],
  ])('%s', (_, text, environment, proxy, noProxy) => {
    expect(registry(text, environment)).toMatchObject({ proxy, noProxy });
  });

  it('keeps its login out of the configuration', () => {
    const environment = { LIBC_DNS_DETECTION_REGISTRY_PROXY: 'http://user:hun%40ter@p:3128' };
    const { config } = load('', environment);
    expect(config.detection.registry.proxy).toBe('http://p:3128');
    expect(JSON.stringify(load('', { HTTPS_PROXY: 'http://user:hun%40ter@p:3128' }))).not.toContain('hun');
    expect(registryProxy(config, environment)).toMatchObject({
      address: 'http://p:3128',
      origin: 'LIBC_DNS_DETECTION_REGISTRY_PROXY',
      url: { username: 'user', password: 'hun%40ter' },
    });
  });

  it('of the file gets the login that a variable has for the same proxy, and for no other', () => {
    const { config } = load('detection: {registry: {proxy: "http://p:3128/"}}');
    expect(registryProxy(config, { HTTPS_PROXY: 'http://u:w@p:3128' })).toMatchObject({
      origin: 'HTTPS_PROXY',
      url: { password: 'w' },
    });
    expect(registryProxy(config, { HTTPS_PROXY: 'http://u:w@q:3128' })).toMatchObject({
      origin: 'detection.registry.proxy',
      url: { password: '' },
    });
    expect(registryProxy(defaultConfig(), { HTTPS_PROXY: 'http://u:w@p:3128' })).toBeUndefined();
  });

  it.each(['http://user:secret@p:3128', 'socks5://p:1080', 'p:3128', 'http://p:3128/path', 'http://p:port', 'ftp://p'])(
    'is refused in a file as %s, and not shown',
    (proxy) => {
      expect(problems(`detection: {registry: {proxy: "${proxy}"}}`)).toEqual([
        expect.stringMatching(
          /^c\.yaml:1:31: detection\.registry\.proxy: expected http:\/\/host:port or https:\/\/host:port; a login only by the environment$/,
        ),
      ]);
    },
  );

  it('that cannot be used is refused in our own variable, and passed over with a word in that of others', () => {
    const [own] = problems('', { LIBC_DNS_DETECTION_REGISTRY_PROXY: 'socks5://u:secret@p:1080' });
    expect(own).toMatch(/^LIBC_DNS_DETECTION_REGISTRY_PROXY: detection\.registry\.proxy: expected http/);
    expect(load('', { HTTPS_PROXY: 'socks5://u:secret@p:1080' })).toMatchObject({
      config: { detection: { registry: { proxy: '' } } },
      warnings: ['environment variable HTTPS_PROXY is ignored: expected http://host:port or https://host:port'],
    });
  });

  it.each(['a b', 'a,b', 'http://a', '10.0.0.0/x', 'a/b', 'u@a', ''])('noProxy does not take %j', (entry) => {
    expect(problems(`detection: {registry: {noProxy: ["${entry}"]}}`)).toHaveLength(1);
  });
});

describe('flags over environment over file', () => {
  it('in that order', () => {
    const flag = [{ key: 'log.level', value: 'debug', origin: '--log-level' }];
    expect(load('log: {level: error}\n').config.log.level).toBe('error');
    expect(load('log: {level: error}\n', { LIBC_DNS_LOG_LEVEL: 'warn' }).config.log.level).toBe('warn');
    expect(load('log: {level: error}\n', { LIBC_DNS_LOG_LEVEL: 'warn' }, flag).config.log.level).toBe('debug');
  });

  it('tells what was set from what is a default', () => {
    const { isSet } = load('server: {port: 8443}\n', { LIBC_DNS_SERVER_ADDRESS: '::' });
    expect([isSet('server.port'), isSet('server.address'), isSet('server.metricsPort')]).toEqual([true, true, false]);
  });

  it('every key has its variable, and takes values from there', () => {
    expect(environmentVariables().map(({ variable }) => variable)).toContain(
      'LIBC_DNS_DETECTION_REGISTRY_ALLOW_PRIVATE_ADDRESSES',
    );
    const { config } = load('', {
      LIBC_DNS_SCOPE: 'cluster',
      LIBC_DNS_CLUSTER_DNS: '10.96.0.10, fd00::a',
      LIBC_DNS_CLUSTER_NODE_SEARCHES: '',
      LIBC_DNS_NODE_LOCAL_FALLBACK: 'false',
      LIBC_DNS_NODE_LOCAL_MIN_READY: '0.5',
      LIBC_DNS_DETECTION_CACHE_TAG_TTL: '1m30s',
      LIBC_DNS_DETECTION_REGISTRY_MIRRORS: '{docker.io: [https://mirror.example]}',
      LIBC_DNS_EXTRA_OPTIONS: 'glibc: [no-aaaa]',
    });
    expect(config).toMatchObject({
      scope: 'cluster',
      cluster: { dns: ['10.96.0.10', 'fd00::a'], nodeSearches: [] },
      nodeLocal: { fallback: false, minReady: 0.5 },
      detection: { cache: { tagTtl: 90_000 }, registry: { mirrors: { 'docker.io': ['https://mirror.example'] } } },
      extraOptions: { glibc: ['no-aaaa'] },
    });
    expect(policyConfig(config).extraOptions).toEqual({ glibc: [{ name: 'no-aaaa' }] });
  });

  it('domains are taken as resolv.conf has them, and written as the API server takes them', () => {
    const { config } = load('cluster: {nodeSearches: [Lab.Example., ., a_b.example], domain: Cluster.Local.}\n');
    expect(config.cluster).toMatchObject({
      nodeSearches: ['lab.example', '.', 'a_b.example'],
      domain: 'cluster.local',
    });
  });

  it('a stranger with our prefix is a warning, what Kubernetes sets for our own Service is not', () => {
    const { warnings } = load('', {
      LIBC_DNS_SCOP: 'cluster',
      LIBC_DNS_WEBHOOK_SERVICE_HOST: '10.0.0.1',
      LIBC_DNS_WEBHOOK_SERVICE_PORT_HTTPS: '443',
      LIBC_DNS_WEBHOOK_PORT: 'tcp://10.0.0.1:443',
      LIBC_DNS_WEBHOOK_PORT_443_TCP_ADDR: '10.0.0.1',
      LIBC_DNS_CONFIG: '/etc/c.yaml',
    });
    expect(warnings).toEqual([
      'environment variable LIBC_DNS_SCOP is not known and ignored; did you mean LIBC_DNS_SCOPE?',
    ]);
  });
});
