import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

import { ephemeralPair } from '../../src/certificates/ephemeral.ts';
import type { TestCluster } from './cluster.ts';

interface Review {
  readonly request: {
    readonly uid: string;
    readonly object: { readonly spec: { readonly containers: readonly object[] } };
  };
}

/** Starts another webhook, called after ours, that adds one glibc container to Pods labelled `sidecar`. */
export async function startSidecarInjector(cluster: TestCluster): Promise<{ stop: () => Promise<void> }> {
  const names = [{ type: 'ip', value: '127.0.0.1' }] as const;
  const { ca, cert, key } = await ephemeralPair({ names, now: Date.now(), days: 1 });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { uid, object } = (JSON.parse(await text(request)) as Review).request;
    const patch = [
      { op: 'add', path: '/spec/containers/-', value: { name: 'sidecar', image: 'registry.test/proxy:1' } },
      { op: 'add', path: '/metadata/annotations/libc-dns.dev~1libc.sidecar', value: 'glibc' },
    ];
    const added = object.spec.containers.length > 1 ? [] : patch;
    const reviewed = { uid, allowed: true, patchType: 'JSONPatch', patch: btoa(JSON.stringify(added)) };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: reviewed }));
  };
  const server = createServer({ cert, key }, (request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const name = 'zz-sidecar-injector';
  await cluster.apply({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name },
    webhooks: [
      {
        name: 'sidecar.example.com',
        clientConfig: { url: `https://127.0.0.1:${port}/`, caBundle: btoa(ca) },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        objectSelector: { matchLabels: { sidecar: 'yes' } },
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
      },
    ],
  });
  return {
    stop: async () => {
      await cluster.kubectl(['delete', 'mutatingwebhookconfiguration', name]);
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
