import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');
export const CHART = join(ROOT, 'charts/libc-dns-webhook');

/** Release and namespace of everything that is rendered here. */
export const RELEASE = 'libc-dns-webhook';
export const NAMESPACE = 'libc-dns';

/** Helm's program: `HELM`, else `helm` on the path. */
const HELM = process.env['HELM'] ?? 'helm';

/** Whether there is a Helm. Says loudly on standard error, once a file, where there is none. */
export function hasHelm(): boolean {
  try {
    execFileSync(HELM, ['version', '--short'], { stdio: 'pipe' });
    return true;
  } catch {
    process.stderr.write(`\n!! CHART TESTS DID NOT RUN: no ${HELM}: go install helm.sh/helm/v4/cmd/helm@v4.3.1\n\n`);
    return false;
  }
}

/** A Helm that was built without its release flags takes itself for one of a Kubernetes long gone. */
const KUBERNETES = ['--kube-version', '1.37.0'];

/** Flags that have `helm template` render what it renders where there is a cluster: the test, too. */
export const IN_CLUSTER = ['--api-versions', 'apiregistration.k8s.io/v1'];

/** Runs Helm; returns its standard output. Throws an error whose message is its standard error. */
export function helm(args: readonly string[], input?: string): string {
  try {
    return execFileSync(HELM, args, { encoding: 'utf8', stdio: 'pipe', ...(input !== undefined && { input }) });
  } catch (error) {
    throw new Error(String((error as { stderr?: unknown }).stderr ?? error), { cause: error });
  }
}

/** The chart's text for values given as on the command line, as `--set-json` takes them. */
export function renderText(values: readonly string[] = [], more: readonly string[] = []): string {
  const sets = values.flatMap((value) => ['--set-json', value]);
  return helm(['template', RELEASE, CHART, '--namespace', NAMESPACE, ...KUBERNETES, ...sets, ...more]);
}

/** What `helm install` says of values given as on the command line. It has no flag for a version of Kubernetes, so the chart asks for none. */
export function notes(values: readonly string[]): string {
  const chart = mkdtempSync(join(tmpdir(), 'libc-dns-notes-'));
  try {
    cpSync(CHART, chart, { recursive: true });
    const about = join(chart, 'Chart.yaml');
    writeFileSync(about, readFileSync(about, 'utf8').replace(/^kubeVersion:.*$/m, ''));
    const sets = values.flatMap((value) => ['--set-json', value]);
    const text = helm(['install', RELEASE, chart, '--namespace', NAMESPACE, '--dry-run=client', ...sets]);
    return text.slice(text.lastIndexOf('\nNOTES:\n'));
  } finally {
    rmSync(chart, { recursive: true });
  }
}
