import type { ClusterSection, Gap } from '../audit/report/report.ts';
import type { Scanned } from '../audit/scan/scanned.ts';
import type { Config } from '../config/schema.ts';
import type { PodCredentials } from '../detection/pod-verdicts.ts';
import type { ClusterFacts } from '../policy/model.ts';
import type { DetectingCommand, OpenDetector } from '../terminal/io.ts';

/** How a person names a cluster, as for kubectl. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** The webhook as it is installed in the cluster. */
export interface InstalledWebhook {
  readonly namespace: string | undefined;
  readonly configuration: { readonly name: string; readonly text: string } | undefined;
  readonly gaps: readonly Gap[];
}

/** What the cluster's DNS is, each value with its source. */
export interface AuditFacts {
  readonly facts: ClusterFacts;
  readonly section: Omit<ClusterSection, 'kubeProxy' | 'dnsOverTcp'>;
  /** `not asked`: we are not in the cluster, or the configuration does not want it asked. */
  readonly dnsOverTcp: ClusterSection['dnsOverTcp'];
  readonly gaps: readonly Gap[];
}

export interface AuditDetector extends OpenDetector {
  /** The logins of Pods, where the configuration has Secrets read. */
  readonly credentials?: PodCredentials;
  readonly gaps: readonly Gap[];
}

export interface ScanRequest {
  /** Empty: all. */
  readonly namespaces: readonly string[];
  /** `namespace/name`. */
  readonly dnsService: string;
  readonly signal: AbortSignal;
  readonly onProgress: (what: string) => void;
}

/** A cluster that is read and not changed. All methods reject with `CommandError`, or with the signal's reason. */
export interface AuditCluster {
  /** The API server's address. */
  readonly server: string;
  installation(signal: AbortSignal): Promise<InstalledWebhook>;
  facts(config: Config): Promise<AuditFacts>;
  scan(request: ScanRequest): Promise<Scanned>;
  /** Remembers nothing in the cluster; what the webhook's replicas have found is used. */
  openDetector(config: Config): Promise<AuditDetector>;
  close(): Promise<void>;
}

/** What `libc-dns audit` is handed. */
export interface AuditingCommand extends DetectingCommand {
  readonly version: string;
  /** Joins the cluster that a person means. Rejects with `CommandError` where there is none. */
  readonly openCluster: (flags: ClusterFlags) => Promise<AuditCluster>;
  /** Replaces the file whole, or leaves it as it was. Rejects as node:fs does. */
  readonly writeFile: (path: string, text: string) => Promise<void>;
  /** Aborts when the person has had enough (SIGINT, SIGTERM). From this call on the process does not end by itself. */
  readonly untilInterrupted: () => AbortSignal;
  readonly now: () => Date;
}
