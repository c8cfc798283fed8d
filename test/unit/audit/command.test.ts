import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { AuditCluster } from '../../../src/audit/cluster.ts';
import type { AuditReport } from '../../../src/audit/report/report.ts';
import { CommandError } from '../../../src/terminal/io.ts';
import { fakeCluster } from '../../support/audit-fake.ts';
import { cli, type CliOptions } from '../../support/cli.ts';
import { elf } from '../../support/elf-builder.ts';
import { image } from '../../support/image-builder.ts';
import { layer } from '../../support/layer-builder.ts';
import { writeOciLayout } from '../../support/oci-layout.ts';

const HOSTILE = '<img src=x onerror=alert(1)>\u001b[31m|\u202e`x` @all #1 [a](https://evil.test)';
const cluster = fakeCluster([
  { name: 'web', image: 'musl:1' },
  { name: HOSTILE, image: 'glibc:1' },
]);

const audit = async (flags: readonly string[], options: CliOptions = { cluster }) =>
  await cli(['audit', ...flags], options);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'libc-dns-audit-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('output', () => {
  it.each([80, 100, 140])(
    'the table fits a terminal of %i columns, and begins with what it comes to',
    async (columns) => {
      const { code, out } = await audit(['--no-color'], { cluster, terminal: true, columns });
      expect(code).toBe(0);
      const lines = out.split('\n');
      expect(lines.filter((line) => line.length > columns)).toEqual([]);
      expect(lines[2]).toMatch(/^This cluster needs it: 2 of 2 Pods/);
      expect(out.indexOf('SUMMARY')).toBeLessThan(out.indexOf('WORKLOADS'));
    },
  );

  it('colours only on a terminal, and not under --no-color', async () => {
    const coloured = async (flags: string[], terminal: boolean): Promise<boolean> =>
      // eslint-disable-next-line no-control-regex
      /\u001B\[/.test((await audit(flags, { cluster, terminal })).out);
    expect(await coloured([], true)).toBe(true);
    expect(await coloured(['--no-color'], true)).toBe(false);
    expect(await coloured([], false)).toBe(false);
  });

  it('where nobody watches, nothing is cut and no progress is shown', async () => {
    const { out, err } = await audit([]);
    expect(out).toContain('onerror=alert(1)>\\u{1b}[31m|\\u{202e}');
    expect(out).not.toContain('…');
    expect(err).toBe('');
  });

  it.each(['table', 'markdown'])(
    'control characters and direction marks never come out as they are: %s',
    async (format) => {
      const { out } = await audit(['-o', format]);
      expect(out).not.toMatch(/[\p{Cf}\p{Zl}\p{Zp}]/u);
      expect(out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    },
  );

  it('Markdown: a name is no markup, no link, no mention, and ends no cell', async () => {
    const { out } = await audit(['-o', 'markdown']);
    const row = out.split('\n').find((line) => line.includes('onerror') && line.includes('OptionsAdded')) ?? '';
    expect(row.replaceAll('\\|', '').split('|')).toHaveLength(9);
    expect(row).toContain('&lt;img src=x onerror=alert\\(1\\)&gt;');
    expect(row).toContain('@&#8203;all \\#&#8203;1 \\[a\\]\\(https&#8203;://evil.test\\)');
    expect(row).not.toMatch(/(?<!\\)[`[\]]/);
  });

  it('JSON is the report', async () => {
    const { out } = await audit(['-o', 'json']);
    const report = JSON.parse(out) as AuditReport;
    expect(report).toMatchObject({ apiVersion: 'audit.libc-dns.dev/v1', summary: { pods: 2, exposure: { yes: 2 } } });
    expect(report.workloads[0]?.name).toBe(HOSTILE);
  });

  it('HTML is a page of its own', async () => {
    const { out } = await audit(['-o', 'html']);
    expect(out).toMatch(/^<!doctype html>/i);
    expect(out).not.toContain('<img src=x');
  });

  it('progress is one line on a terminal, and is taken away', async () => {
    const { err } = await audit([], { cluster, terminal: true });
    expect(err).toMatch(/2\/2 images/);
    expect(err.endsWith('\r\u001B[K')).toBe(true);
    expect(err).not.toContain('\n');
  });
});

describe('--output-file', () => {
  it('holds the report, and nothing goes to standard output', async () => {
    const file = join(folder, 'r.json');
    const { code, out } = await audit(['-o', 'json', '--output-file', file], { cluster, terminal: true });
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ kind: 'AuditReport' });
    expect(readdirSync(folder)).toEqual(['r.json']);
  });

  it('a table in a file has no colours', async () => {
    const file = join(folder, 'r.txt');
    await audit(['--output-file', file], { cluster, terminal: true });
    expect(readFileSync(file, 'utf8')).not.toContain('\u001B');
  });

  it('a link leads to the file that is replaced', async () => {
    writeFileSync(join(folder, 'real'), 'old');
    symlinkSync('real', join(folder, 'link'));
    await audit(['-o', 'json', '--output-file', join(folder, 'link')]);
    expect(readFileSync(join(folder, 'real'), 'utf8')).toContain('AuditReport');
    expect(readdirSync(folder)).toEqual(['link', 'real']);
  });

  it('a device is written to, and stays one', async () => {
    expect(await audit(['-o', 'json', '--output-file', '/dev/null'])).toMatchObject({ code: 0, out: '' });
  });

  it('a folder that is not there: exit 1, and nothing is left', async () => {
    const { code, err } = await audit(['--output-file', join(folder, 'no', 'r.json')]);
    expect({ code, err }).toMatchObject({
      code: 1,
      err: `libc-dns: --output-file ${join(folder, 'no', 'r.json')}: no such file or directory\n`,
    });
    expect(await audit(['--output-file', folder])).toMatchObject({ code: 1 });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('interrupted while the cluster is silent: at once', async () => {
    const interrupted = new AbortController();
    let closed = false;
    const silent = fakeCluster([], {
      facts: async () => {
        setTimeout(() => interrupted.abort('SIGINT'), 10);
        return await new Promise(() => {});
      },
      close: async () => {
        closed = true;
      },
    });
    const result = await audit([], { cluster: silent, signal: interrupted.signal });
    expect({ result, closed }).toMatchObject({
      result: { code: 1, err: 'libc-dns: interrupted: nothing was written\n' },
      closed: true,
    });
  });

  it('interrupted: exit 1, nothing is written', async () => {
    const interrupted = new AbortController();
    const stopping = fakeCluster([{ name: 'a', image: 'musl' }], {
      openDetector: async () => {
        interrupted.abort('SIGINT');
        return { gaps: [], close: async () => {} };
      },
    });
    const options = { cluster: stopping, signal: interrupted.signal };
    const result = await audit(['--output-file', join(folder, 'r')], options);
    expect(result).toEqual({ code: 1, out: '', err: 'libc-dns: interrupted: nothing was written\n' });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('--fail-on', () => {
  const calm = fakeCluster([{ name: 'a', image: 'go', namespace: 'kube-system' }]);
  it.each<[string, AuditCluster, number]>([
    ['changes', cluster, 3],
    ['exposed', cluster, 3],
    ['changes', calm, 0],
    ['exposed', calm, 0],
  ])('%s', async (what, subject, expected) => {
    const { code, out, err } = await audit(['--fail-on', what, '-o', 'json'], { cluster: subject });
    expect(code).toBe(expected);
    expect(JSON.parse(out)).toMatchObject({ kind: 'AuditReport' });
    expect(err).toMatch(expected === 3 ? /--fail-on/ : /^$/);
  });
});

describe('manifests', () => {
  const manifest = [
    'apiVersion: v1\nkind: Namespace\nmetadata: {name: "off", labels: {libc-dns.dev/mode: "off"}}\n',
    'kind: Pod\napiVersion: v1\nmetadata: {name: a, namespace: "off"}\nspec: {containers: [{name: m, image: musl}]}\n',
    'kind: CronJob\napiVersion: batch/v1\nmetadata: {name: b}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: m, image: musl}]}}}}}\n',
  ].join('---\n');

  it('each Pod and template counts once; namespaces in the input give their mode, others enforce', async () => {
    const flags = ['-f', '-', '-o', 'json', '-n', 'jobs,off'];
    const { detector } = await cluster.openDetector({} as never);
    const { out } = await audit(flags, { stdin: manifest, ...(detector && { detector }) });
    const { workloads, source, verdict } = JSON.parse(out) as AuditReport;
    expect(source).toMatchObject({ kind: 'manifests', files: ['standard input'] });
    expect(workloads.map(({ kind, namespace, name, mode, pods }) => [kind, namespace, name, mode, pods])).toEqual([
      ['CronJob', 'jobs', 'b', 'enforce', 1],
      ['Pod', 'off', 'a', 'off', 1],
    ]);
    expect(workloads[0]?.decision.remedy).toEqual(['retry']);
    expect(verdict.needed).toBe('perhaps');
  });

  it('a document that cannot be read hides no other one, and makes it fail', async () => {
    const { code, out, err } = await audit(['-f', '-', '-o', 'json'], { stdin: `${manifest}---\na: *b\n` });
    const { workloads, gaps, verdict } = JSON.parse(out) as AuditReport;
    expect(verdict.next[0]).toBe('Correct what could not be read (1 gap), and run the audit again.');
    const message = 'document 4, line 15, column 4: unresolved alias *b';
    expect([code, workloads.length, gaps]).toEqual([
      1,
      2,
      [{ what: 'standard input', message, grant: 'nothing: correct the manifest' }],
    ]);
    expect(err).toBe(`libc-dns: standard input: ${message}\nlibc-dns: 1 problem: see above\n`);
  });

  it('labels of a namespace that send its Pods to virtual nodes count', async () => {
    const { detector } = await cluster.openDetector({} as never);
    const reasonWith = async (label: string): Promise<unknown> => {
      const stdin = manifest.replace('libc-dns.dev/mode: "off"', label);
      const flags = ['-f', '-', '-o', 'json', '--node-local', 'on', '-n', 'jobs,off'];
      const { out } = await audit(flags, { stdin, ...(detector && { detector }) });
      const { workloads } = JSON.parse(out) as AuditReport;
      return workloads.find(({ name }) => name === 'a')?.decision.reason;
    };
    expect(await reasonWith('team: a')).toBe('MuslRedirected');
    expect(await reasonWith('virtual-node-affinity-injection: enabled')).toBe('VirtualNode');
  });
});

describe('names that others chose', () => {
  it('never lead to a folder of our own', async () => {
    await writeOciLayout(folder, {
      v1: image({
        layers: [layer([{ path: 'app', content: elf({ interpreter: '/lib/ld-musl-x86_64.so.1' }) }], 'none')],
        config: { entrypoint: ['/app'] },
      }),
    });
    const pod = `{kind: Pod, apiVersion: v1, metadata: {name: a}, spec: {containers: [{name: m, image: "oci:${folder}:v1"}]}}`;
    const { out } = await audit(['-f', '-', '-o', 'json'], { stdin: pod, registries: true });
    expect(JSON.parse(out)).toMatchObject({ images: [{ digest: null, error: { code: 'invalid-reference' } }] });
    const explained = await cli(['explain', '-f', '-', '-o', 'json'], { stdin: pod, registries: true });
    expect(explained.out).toContain('(invalid-reference)');
    expect((await cli(['detect', `oci:${folder}:v1`], { registries: true })).code).toBe(0);
  });
});

describe('wrong usage', () => {
  it.each([
    [['-f', 'x.yaml', '--fail-on', 'exposed'], /needs a cluster/],
    [['-f', 'x.yaml', '--kubeconfig', 'k'], /give either --filename or a cluster/],
    [['-A', '-n', 'shop'], /give either --namespace or --all-namespaces/],
    [['-o', 'xml'], /Allowed choices are table, json, yaml, name, markdown, html/],
    [['--fail-on', 'x'], /Allowed choices are changes, exposed/],
  ])('%j', async (flags, message) => {
    expect(await audit(flags)).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) });
  });

  it('a cluster that cannot be read: exit 1, and what to grant', async () => {
    const failing = fakeCluster([], {
      scan: async () => {
        throw new CommandError('failed', 'GET /api/v1/pods: forbidden. The audit needs at least: list pods');
      },
    });
    expect(await audit([], { cluster: failing })).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/list pods/),
    });
  });
});

describe('the configuration', () => {
  const text = 'scope: cluster\nmode: audit\ndetection: { registry: { dockerConfig: /etc/libc-dns/docker.json } }\n';
  const installed = fakeCluster([{ name: 'a', image: 'musl' }], {
    installation: async () => ({
      registered: true,
      namespace: 'libc-dns',
      configuration: { name: 'ConfigMap libc-dns/libc-dns-webhook', text },
      gaps: [],
    }),
  });

  it("is the installed webhook's where there is one; files in its Pod are not looked for here", async () => {
    const { code, out } = await audit(['-o', 'json'], { cluster: installed });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      source: { configuration: 'ConfigMap libc-dns/libc-dns-webhook' },
      workloads: [{ mode: 'audit' }],
    });
  });

  it('is --config where that is given', async () => {
    const file = join(folder, 'c.yaml');
    writeFileSync(file, 'scope: cluster\n');
    const { out } = await audit(['-o', 'json', '--config', file], { cluster: installed });
    expect(JSON.parse(out)).toMatchObject({ source: { configuration: file }, workloads: [{ mode: 'enforce' }] });
  });

  it('one that is not valid is said to be so, by its name', async () => {
    const broken = fakeCluster([], {
      installation: async () => ({
        registered: true,
        namespace: 'n',
        configuration: { name: 'ConfigMap n/c', text: 'scope: x' },
        gaps: [],
      }),
    });
    expect(await audit([], { cluster: broken })).toMatchObject({
      code: 2,
      err: expect.stringMatching(/ConfigMap n\/c/),
    });
  });
});

describe('exposure', () => {
  const onNode = (kernel: string, registered: boolean): AuditCluster => {
    const old = fakeCluster([{ name: 'web', image: 'musl:1' }]);
    const nodes = [{ name: 'n', os: 'linux', kernel, osImage: 'x' }];
    return {
      ...old,
      scan: async (request) => ({ ...(await old.scan(request)), nodes }),
      installation: async (signal) => ({ ...(await old.installation(signal)), registered }),
    };
  };
  const reportOf = async (setting: string, kernel: string, registered = true): Promise<AuditReport> => {
    const options = { cluster: onNode(kernel, registered), environment: { LIBC_DNS_EXPOSURE: setting } };
    return JSON.parse((await audit(['-o', 'json'], options)).out) as AuditReport;
  };
  const FIXED = 'the one Linux node has kernels with the fixes of all three races';
  const LACKS = '1 node runs a kernel that lacks a fix of the race, or may lack one (4.14.90)';

  it.each([
    ['always', '4.14.90', 'MuslRetried', `always: Pods are patched; with auto they would be too: ${LACKS}: n.`],
    ['always', '6.12.9', 'MuslRetried', `always: Pods are patched; with auto none would be: ${FIXED}.`],
    ['auto', '4.14.90', 'MuslRetried', `auto: Pods are patched: ${LACKS}: n.`],
    ['auto', '6.12.9', 'NotExposed', `auto: no Pod is patched: ${FIXED}.`],
  ])('%s on kernel %s: %s', async (setting, kernel, reason, line) => {
    const { verdict, workloads, summary, cluster: section } = await reportOf(setting, kernel);
    expect(verdict.because.at(-1)).toBe(`Exposure is set to ${line}`);
    expect(workloads.map(({ decision }) => decision.reason)).toEqual([reason]);
    expect(workloads[0]?.containers).toMatchObject([{ resolver: 'musl' }]);
    expect(summary.podsThatWouldChange).toBe(reason === 'NotExposed' ? 0 : 1);
    expect(section.exposure).toMatchObject({ setting, exposed: kernel === '4.14.90' });
  });

  it.each([
    ['4.14.90', `Pods would be patched: ${LACKS}: n.`],
    ['6.12.9', `no Pod would be patched: ${FIXED}.`],
  ])('says what auto would come to on kernel %s before anything is installed', async (kernel, line) => {
    const { verdict } = await reportOf('always', kernel, false);
    expect(verdict.because.at(-1)).toBe(`With exposure auto, ${line}`);
  });
});
