// Creates a Pod as a dry run and looks at what comes back: `helm test`. Exit status 0: the webhook patched it.
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

const account = process.env.SERVICE_ACCOUNT ?? '/var/run/secrets/kubernetes.io/serviceaccount';
const server = process.env.API_SERVER ?? 'https://kubernetes.default.svc';
const namespace = process.env.TEST_NAMESPACE;
const tries = Number(process.env.TRIES ?? 12);

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    generateName: 'libc-dns-test-',
    labels: { 'libc-dns.dev/mode': 'enforce' },
    // No registry has a part in this.
    annotations: { 'libc-dns.dev/libc': 'glibc' },
  },
  spec: {
    securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'test',
        image: 'libc-dns.dev/never-started:1',
        resources: { requests: { cpu: '1m', memory: '1Mi' }, limits: { cpu: '1m', memory: '1Mi' } },
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  },
};

/** What the Pod is like once it is through admission; an error where it was refused. */
async function admitted() {
  const url = `${server}/api/v1/namespaces/${namespace}/pods?dryRun=All`;
  const headers = {
    authorization: `Bearer ${readFileSync(`${account}/token`, 'utf8')}`,
    'content-type': 'application/json',
  };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(pod) });
  const body = await response.json();
  if (!response.ok) throw new Error(`${response.status}: ${body.message}`);
  return body;
}

// A Service that has just been made takes a moment to reach its Pods.
for (let attempt = 1; ; attempt += 1) {
  const result = await admitted().catch((error) => error);
  const decision = result.metadata?.annotations?.['libc-dns.dev/decision'];
  if (decision !== undefined) {
    console.log(`the Pod came back patched: ${decision}`);
    console.log(`dnsConfig: ${JSON.stringify(result.spec.dnsConfig ?? {})}`);
    break;
  }
  const because = result.cause instanceof Error ? `: ${result.cause.message}` : '';
  const why = result instanceof Error ? `${result.message}${because}` : 'the Pod came back as it was';
  console.log(`try ${attempt} of ${tries}: ${why}`);
  if (attempt >= tries) {
    console.log('The API server did not reach the webhook: see "A Pod is not patched" in docs/troubleshooting.md.');
    process.exit(1);
  }
  await setTimeout(5000);
}
