import { appendFileSync } from 'node:fs';
import type { KubeObject } from '../../src/kubernetes/objects.ts';
import type { TestCluster } from './cluster.ts';

export interface PodObject extends KubeObject {
  readonly spec: {
    readonly dnsPolicy?: string;
    readonly dnsConfig?: {
      readonly nameservers?: readonly string[];
      readonly searches?: readonly string[];
      readonly options?: readonly { readonly name: string; readonly value?: string }[];
    };
    readonly volumes?: readonly { readonly name: string }[];
    readonly containers: readonly { readonly name: string }[];
  };
}

export interface PodRequest {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Returns a Pod that declares musl unless `annotations` are given. */
export function podObject({ name, labels = {}, annotations, spec }: PodRequest): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels, annotations: annotations ?? { 'libc-dns.dev/libc': 'musl' } },
    spec: { containers: [{ name: 'main', image: 'registry.test/app:1' }], ...spec },
  };
}

/** Creates a Pod through the API. Resolves to the stored object. */
export async function createPod(
  { client }: Pick<TestCluster, 'client'>,
  namespace: string,
  pod: PodRequest,
  query: Readonly<Record<string, string>> = {},
): Promise<PodObject> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  if (process.env['RECORD_PODS'] !== undefined)
    appendFileSync(process.env['RECORD_PODS'], `${JSON.stringify(podObject(pod))}\n`);
  return await client.request<PodObject>({ method: 'POST', path, query, body: podObject(pod), timeoutMs: 30_000 });
}

/** Returns a Pod's options in the form `timeout:5`. */
export function optionsOf({ spec }: PodObject): string[] {
  return (spec.dnsConfig?.options ?? []).map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));
}
