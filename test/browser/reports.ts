import { readFileSync } from 'node:fs';

import type { AuditReport, Finding, ImageEntry, NamespaceEntry, WorkloadEntry } from '../../src/audit/report/report.ts';

/** A small cluster, some of whose names are hostile. */
export const example = JSON.parse(
  readFileSync(new URL('../fixtures/audit/report.json', import.meta.url), 'utf8'),
) as AuditReport;

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

function pick<T>(from: readonly T[], index: number): T {
  const found = from[index % from.length];
  if (found === undefined) throw new Error('nothing to pick from');
  return found;
}

const workload = (index: number): WorkloadEntry => ({
  ...pick(example.workloads, index),
  namespace: `team-${index % 400}`,
  name: `service-${index}`,
  pods: index % 97,
});

const image = (index: number): ImageEntry => ({
  ...pick(example.images, index),
  image: `registry.test/app-${index}:v1`,
});

const namespace = (index: number): NamespaceEntry => ({ ...pick(example.namespaces, index), name: `team-${index}` });

const finding = (index: number): Finding => {
  const found = pick(example.findings, index);
  return { ...found, where: { ...found.where, namespace: `team-${index % 400}`, name: `service-${index}` } };
};

/** A cluster of so many workloads, as many findings and images, and 400 namespaces. */
export const largeReport = (workloads: number): AuditReport => ({
  ...example,
  workloads: times(workloads, workload),
  images: times(workloads, image),
  findings: times(workloads, finding),
  namespaces: times(400, namespace),
});
