import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { certManagerFolder } from '../../kubernetes/programs.ts';
import type { Cluster } from './cluster.ts';
import { until } from './daemons.ts';
import { API_SERVER, certificatesOf, NODES } from './place.ts';

const NAME = 'cert-manager';

/** Where its webhook listens, beside the API server. */
const PORT = 10_260;

/** Registrations of its webhook as its own chart writes them. */
function registrations(ca: string): readonly object[] {
  const registration = (kind: string, path: string, operations: readonly string[], resource: string): object => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: `${kind}WebhookConfiguration`,
    metadata: { name: 'cert-manager-webhook' },
    webhooks: [
      {
        name: 'webhook.cert-manager.io',
        rules: [{ apiGroups: ['cert-manager.io'], apiVersions: ['v1'], operations, resources: [resource] }],
        admissionReviewVersions: ['v1'],
        failurePolicy: 'Fail',
        sideEffects: 'None',
        clientConfig: { url: `https://${API_SERVER}:${PORT}/${path}`, caBundle: readFileSync(ca, 'base64') },
      },
    ],
  });
  return [
    registration('Validating', 'validate', ['CREATE', 'UPDATE'], '*/*'),
    registration('Mutating', 'mutate', ['CREATE'], 'certificaterequests'),
  ];
}

/** Waits until its webhook refuses a Certificate for no name, which the CustomResourceDefinition allows. */
async function untilChecked(cluster: Cluster): Promise<void> {
  const wrong = {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: { name: 'wrong', namespace: 'default' },
    spec: { secretName: 'wrong', issuerRef: { name: 'none' } },
  };
  await until("cert-manager's webhook", async () => {
    const refusal = await cluster.apply(wrong).catch(({ message }: Error) => message);
    return refusal?.includes('admission webhook "webhook.cert-manager.io" denied') === true || undefined;
  });
}

/** Lets `run` happen while cert-manager issues certificates, injects CAs and checks what users write (test/kubernetes/cert-manager). Its CRDs stay. */
export async function withCertManager<T>(cluster: Cluster, run: () => Promise<T>): Promise<T> {
  const { order, daemons } = cluster;
  const file = (name: string): string => join(certificatesOf(order.folder), name);
  await cluster.kubectl('apply', '--server-side', '-f', join(certManagerFolder, 'crds'));
  await cluster.kubectl('wait', '--for=condition=Established', 'customresourcedefinition', '--all', '--timeout=60s');
  const serving = ['-certificate', file('cert-manager.crt'), '-key', file('cert-manager.key'), '-port', String(PORT)];
  const args = ['-kubeconfig', file('admin.kubeconfig'), ...serving];
  daemons.start(NAME, NODES[0].name, join(certManagerFolder, NAME), args);
  const registered = registrations(file('ca.crt'));
  await cluster.apply(...registered);
  try {
    await untilChecked(cluster);
    return await run();
  } finally {
    await daemons.stop(NAME);
    for (const kind of ['validating', 'mutating']) {
      await cluster.kubectl('delete', `${kind}webhookconfiguration`, 'cert-manager-webhook');
    }
  }
}
