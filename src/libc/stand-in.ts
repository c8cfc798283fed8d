import { baseName } from '../inspection/command/invocation.ts';
import { type EvidenceSource, unknownVerdict, type Verdict } from '../policy/verdict.ts';
import { agreedHint, type Hint } from './hints.ts';
import { shownName } from './image-path.ts';
import type { LayerIndex } from './layer-index.ts';
import { isSystemPath } from './layer-order.ts';
import { loaderLibc } from './loader.ts';

/** What is known of a program whose bytes were not reached. */
export interface Unreached {
  /** Where it may be. */
  readonly paths: readonly string[];
  /** The history says that somebody copied, linked or built it in, so that it may be linked to anything. */
  readonly copiedIn: boolean;
  /** The history says that the distribution's package manager installed it. */
  readonly packaged: boolean;
  /** If it is anywhere, then in the base layer. */
  readonly onlyInBase: boolean;
  /** The image holds a Go toolchain, so that its programs are likely Go's. */
  readonly goImage: boolean;
  /** Something was installed to run glibc's programs beside musl, so that the base says nothing. */
  readonly twoLibcs: boolean;
}

const certainty = {
  baseLayer: { known: 0.75, other: 0.55 },
  history: { known: 0.5, other: 0.4 },
  label: { known: 0.35, other: 0.3 },
} as const;

// Programs that distributions build against their own C library, and that do not resolve names by themselves.
const linkedToBase = new Set(
  (
    'sh bash dash ash zsh busybox cat sleep tail env ls date nginx httpd apache2 apachectl lighttpd haproxy varnishd squid ' +
    'node nodejs python python2 python3 perl ruby php php-fpm java erl beam.smp R Rscript lua luajit openresty ' +
    'postgres mysqld mariadbd mongod redis-server valkey-server memcached sqlite3 mosquitto rabbitmq-server ' +
    'curl wget dig ping getent sshd cron crond rsyslogd dnsmasq unbound named postfix exim4 git vim top'
  ).split(' '),
);

// Go programs that distributions package, so that they too lie where the distribution's own do.
const madeByGo = new Set(
  (
    'caddy traefik consul vault nomad terraform kubectl helm k3s docker dockerd containerd runc coredns etcd prometheus ' +
    'alertmanager grafana grafana-server influxd telegraf gitea forgejo minio syncthing rclone hugo restic gh yq frpc frps'
  ).split(' '),
);

/** Whether the base's C library says anything of the program: not of one that was copied in or stands apart, which may be Go's. */
export function mayStandIn(program: Unreached): boolean {
  if (program.copiedIn || program.twoLibcs || program.paths.length === 0) return false;
  if (isLinkedToBase(program)) return true;
  if (!program.packaged && !program.onlyInBase) return false;
  if (program.goImage || madeByGo.has(baseName(program.paths[0] ?? ''))) return false;
  return program.paths.some(isSystemPath) && program.paths.every(isOrdinaryPath);
}

/**
 * The verdict on a program that was not reached: that of the base layer's first executable, else of the image's own words.
 * Unknown where the program need not be linked to the base's C library.
 */
export function standInVerdict(program: Unreached, base: LayerIndex | undefined, hints: readonly Hint[]): Verdict {
  const missing = `${shownName(`/${program.paths[0] ?? ''}`)} is out of reach`;
  const first = firstDynamic(base);
  const libc = first === undefined ? undefined : loaderLibc(first.interpreter);
  if (!mayStandIn(program)) {
    return unknownVerdict(
      libc === undefined ? missing : `${missing}, and the base layer's ${libc} need not be its own`,
    );
  }
  const kind = isLinkedToBase(program) ? 'known' : 'other';
  if (first !== undefined && libc !== undefined) {
    const detail = `${missing}; the base layer's /${shownName(first.path)} has interpreter ${shownName(first.interpreter)}`;
    return verdict('base-layer', libc, detail, certainty.baseLayer[kind]);
  }
  const hint = agreedHint(hints);
  if (hint === undefined) return unknownVerdict(missing);
  return verdict(hint.source, hint.libc, `${missing}; the image says: ${hint.text}`, certainty[hint.source][kind]);
}

/** A layer's first program with an interpreter, in the archive's order. */
export function firstDynamic(layer: LayerIndex | undefined): { path: string; interpreter: string } | undefined {
  for (const [path, node] of layer?.nodes ?? []) {
    if (node.type !== 'file' || !node.executable || node.content.kind !== 'elf') continue;
    const { finding } = node.content;
    if (finding.kind === 'dynamic' && !finding.go && !/\.so(?:\.|$)/u.test(path)) {
      return { path, interpreter: finding.interpreter };
    }
  }
  return undefined;
}

function isLinkedToBase({ paths }: Unreached): boolean {
  const name = baseName(paths[0] ?? '');
  return linkedToBase.has(name) || linkedToBase.has(name.replace(/-?\d[\d.]*$/u, ''));
}

// Looked up in PATH, a program may also stand in /usr/local; what is only there was put there by hand.
function isOrdinaryPath(path: string): boolean {
  return isSystemPath(path) || /^usr\/local\/s?bin\//u.test(path);
}

function verdict(
  source: EvidenceSource,
  libc: 'glibc' | 'musl' | 'other',
  detail: string,
  confidence: number,
): Verdict {
  return { resolver: libc, libc, evidence: { source, detail, confidence } };
}
