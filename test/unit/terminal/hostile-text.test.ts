import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Detector } from '../../../src/detection/detector.ts';
import type { DoctorParts } from '../../../src/doctor/evidence.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { fakeCluster } from '../../support/audit-fake.ts';
import { cli, type CliOptions, type CliResult } from '../../support/cli.ts';

/** C0, DEL, C1, escape sequences, line ends, directions, and what takes no room. */
const HOSTILE = 'x\u001B[31mEVIL\u001B]0;t\u0007\u009B2J\u007F\b\r\v\u0085\u2028\u202Eexe\u2066\u200B\uFEFF\u{E0041}y';

/** What our own painter writes, and what only others write. */
const STYLE = /\u001B\[(?:1|2|22|3[1-9]|90)m(?!EVIL)/gu; // oxlint-disable-line no-control-regex
const REDRAW = '\r\u001B[K';
const ACTED_ON = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

const TYPES = { apiVersion: 'apps/v1', kind: 'Deployment' };

/** Every field that some output shows, with the hostile text in it; keys too. */
function workload(hostile: string): object {
  const container = (name: string): object => ({
    name: name + hostile,
    image: `registry.test/${hostile}`,
    command: [hostile],
    args: [hostile],
    env: [{ name: 'GODEBUG', value: hostile }],
  });
  const template = {
    metadata: {
      labels: { app: hostile, [hostile]: hostile, 'libc-dns.dev/mode': hostile },
      annotations: {
        'libc-dns.dev/libc': hostile,
        [`libc-dns.dev/libc.a${hostile}`]: 'musl',
        [`libc-dns.dev/libc.${hostile}`]: hostile,
        'libc-dns.dev/remedy': hostile,
        [hostile]: hostile,
      },
    },
    spec: {
      serviceAccountName: hostile,
      schedulerName: hostile,
      nodeSelector: { [hostile]: hostile },
      dnsConfig: {
        nameservers: [hostile],
        searches: [hostile, `${hostile}.example`],
        options: [
          { name: hostile, value: hostile },
          { name: 'ndots', value: hostile },
        ],
      },
      containers: [container('a'), container('b')],
    },
  };
  return { ...TYPES, metadata: { name: hostile, namespace: hostile }, spec: { template } };
}

const policy = (hostile: string): object => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: hostile, namespace: hostile },
  spec: { podSelector: { matchLabels: { app: hostile } }, policyTypes: ['Egress'], egress: [] },
});

const manifest = (hostile = HOSTILE): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [workload(hostile), policy(hostile)] }, null, 2);

/** Knows of no image why, in a registry's words. */
const detector: Detector = {
  detect: async () => ({
    from: 'none',
    executable: HOSTILE,
    verdict: { resolver: 'unknown', libc: 'unknown', evidence: { source: 'none', detail: HOSTILE, confidence: 0 } },
    failure: { code: 'unavailable', message: HOSTILE },
    meter: { requests: 1, bytes: 1 },
  }),
};

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-hostile-'));
  file = join(folder, `${HOSTILE}.yaml`.replaceAll('/', ''));
  writeFileSync(file, manifest());
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Asserts that nothing of it reaches a terminal as a command, and that the hostile text was there to be shown. */
function expectShown(result: CliResult, shows: 'out' | 'err' | 'both' = 'out'): void {
  expect(result.out.replaceAll(STYLE, '')).not.toMatch(ACTED_ON);
  expect(result.err.replaceAll(REDRAW, '')).not.toMatch(ACTED_ON);
  if (shows !== 'err') expect(result.out).toContain('EVIL');
  if (shows !== 'out') expect(result.err).toContain('EVIL');
}

const manifestFlags = ['--offline', '--node-local', 'on', '--namespace-mode', 'enforce'];

describe.each([
  ['on a terminal', { terminal: true, columns: 100, environment: { TERM: 'xterm' } }],
  ['in a pipe', {}],
] satisfies [string, CliOptions][])('nothing that others wrote acts on a terminal: %s', (_, where) => {
  const given = (): CliOptions => ({ ...where, detector, stdin: manifest() });

  it.each(['text', 'json'])('explain -o %s', async (format) => {
    for (const flags of [manifestFlags, manifestFlags.filter((flag) => flag !== '--offline')]) {
      expectShown(await cli(['explain', '-o', format, ...flags], given()), 'both');
      expectShown(await cli(['explain', '-o', format, ...flags, '-f', file], given()), 'both');
    }
  });

  it.each(['json', 'patch'])('inject -o %s', async (format) => {
    expectShown(await cli(['inject', '-o', format, ...manifestFlags], given()), 'both');
  });

  it.each(['table', 'markdown', 'json', 'html'])('audit -f -o %s', async (format) => {
    expectShown(await cli(['audit', '-o', format, ...manifestFlags, '-f', file], given()));
    const report = join(folder, 'report');
    const { code } = await cli(['audit', '-o', format, ...manifestFlags, '-f', file, '--output-file', report], given());
    expect(code).toBe(0);
    expectShown({ code, out: readFileSync(report, 'utf8'), err: '' });
  });

  it.each(['table', 'markdown', 'json', 'html'])('audit of a cluster -o %s', async (format) => {
    const cluster = fakeCluster([{ name: HOSTILE, namespace: HOSTILE, image: HOSTILE }], {
      server: HOSTILE,
      openDetector: async () => ({
        detector,
        gaps: [{ what: HOSTILE, message: HOSTILE, grant: HOSTILE }],
        close: async () => {},
      }),
    });
    expectShown(await cli(['audit', '-o', format, '--namespace-mode', 'enforce'], { ...given(), cluster }));
  });

  it.each(['table', 'json'])('detect -o %s', async (format) => {
    expectShown(await cli(['detect', '-o', format, HOSTILE, `a${HOSTILE}`], given()));
  });

  it.each(['table', 'json'])('doctor -o %s', async (format) => {
    const openDoctor = async ({ config }: { config: DoctorParts['config'] }) => ({
      parts: {
        noCluster: HOSTILE,
        config,
        given: {},
        inside: false,
        configGiven: HOSTILE,
        clock: { now: () => 0 },
      } as never,
      close: async () => {},
    });
    expectShown(await cli(['doctor', '-o', format], { ...given(), openDoctor }));
  });

  it('config', async () => {
    const config = join(folder, 'config.yaml');
    writeFileSync(config, JSON.stringify({ sidecar: { image: HOSTILE } }));
    expectShown(await cli(['config', config], given()));
  });

  it.each([
    ['a document that is none', ['explain'], `a: [\n${JSON.stringify(HOSTILE)}`, 'neither'],
    ['an anchor that is not there', ['explain'], `a: *x\u202EEVIL\n`, 'err'],
    ['a file that is not there', ['explain', '-f', `/nowhere/${HOSTILE}`], '', 'err'],
    ['an unknown command', [HOSTILE], '', 'err'],
    ['an unknown flag', ['explain', `--${HOSTILE}`], '', 'err'],
    ['a value that a flag does not take', ['explain', '-o', HOSTILE], '', 'err'],
    ['a configuration that is not there', ['explain', '--config', HOSTILE], '', 'err'],
    ['a check that there is not', ['doctor', '--check', HOSTILE], '', 'err'],
  ] satisfies [string, string[], string, string][])('the error of %s', async (_name, argv, stdin, shows) => {
    const openDoctor = async ({ config }: { config: DoctorParts['config'] }) => ({
      parts: { config, given: {} } as never,
      close: async () => {},
    });
    const result = await cli(argv, { ...given(), stdin, openDoctor });
    expect(result.code).not.toBe(0);
    if (shows === 'err') expectShown(result, 'err');
    else for (const text of [result.out, result.err]) expect(text).not.toMatch(ACTED_ON);
  });

  it('a warning of the environment', async () => {
    const environment = { [`LIBC_DNS_${HOSTILE}`]: 'x', TERM: 'xterm' };
    expectShown(await cli(['config'], { ...given(), environment }), 'err');
  });
});

describe('JSON keeps what it says', () => {
  it('explain -o json: the same value once it is parsed', async () => {
    const { out } = await cli(['explain', '-o', 'json', ...manifestFlags], { stdin: manifest() });
    const [entry] = JSON.parse(out) as { name: string; namespace: string; containers: { image: string }[] }[];
    expect(entry).toMatchObject({ name: HOSTILE, namespace: HOSTILE });
    expect(entry?.containers[0]?.image).toBe(`registry.test/${HOSTILE}`);
  });

  it('inject -o json: every byte of the manifest', async () => {
    const { out } = await cli(['inject', '-o', 'json', '--offline', '--namespace-mode', 'off'], { stdin: manifest() });
    expect(JSON.parse(out)).toEqual(JSON.parse(manifest()));
  });
});

describe('inject for the next program, and for people', () => {
  // JSON may have U+009B and U+007F as they are, and YAML not.
  const POD = `{"kind": "Pod", "apiVersion": "v1",\n"metadata": {"name": "web", "labels": {"a": "\u202EEVIL\u009B2J\u007F[31m"}},\n"spec": {"containers": [{"name": "main", "image": "\u202Ea"}]}}\n`;

  it.each(['yaml', 'diff'])('-o %s: as it is in a pipe, spelled out on a terminal', async (format) => {
    const flags = ['inject', '-o', format, ...manifestFlags];
    const piped = await cli(flags, { stdin: POD });
    expect(piped.out).toContain('"\u202EEVIL\u009B2J\u007F[31m"');
    const shown = await cli(flags, { stdin: POD, terminal: true, environment: { TERM: 'xterm' } });
    expectShown(shown);
    expect(shown.out).toContain(String.raw`"\u{202e}EVIL\u{9b}2J\u{7f}[31m"`);
  });

  it('line ends of Windows are no reason to spell anything out', async () => {
    const { out } = await cli(['inject', ...manifestFlags], { stdin: POD.replaceAll('\n', '\r\n'), terminal: true });
    expect(out).not.toContain(String.raw`\u{d}`);
  });
});

describe('the log', () => {
  it.each(['json', 'text'] as const)('as %s', (format) => {
    const lines: string[] = [];
    const log = createLog({ level: 'info', format, destination: { write: (line) => void lines.push(line) } });
    log.warn({ pod: HOSTILE, [HOSTILE]: HOSTILE, err: new Error(HOSTILE) }, HOSTILE);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^[^\n]*\n$/);
    expect(lines[0]).toContain('EVIL');
    expect(lines[0]).not.toMatch(ACTED_ON);
    if (format === 'json')
      expect(JSON.parse(lines[0] ?? '')).toMatchObject({ msg: HOSTILE, pod: HOSTILE, [HOSTILE]: HOSTILE });
  });
});
