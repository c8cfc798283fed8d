import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

import { sleep } from '../util/abort.ts';

const NAMESPACE = 'rehearsal';

/** Images of the Pods that a rehearsal makes up. No registry has them. */
export const REHEARSED_IMAGES = { glibc: 'registry.invalid/glibc:1', musl: 'registry.invalid/musl:1' } as const;

interface Containers {
  readonly containers: readonly object[];
  readonly initContainers?: readonly object[];
}

const MOUNT = {
  name: 'kube-api-access-x2v4z',
  readOnly: true,
  mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
};

const container = (image: string, more: object = {}): object => ({
  name: 'web',
  image,
  ports: [{ containerPort: 8080, protocol: 'TCP' }],
  resources: { limits: { memory: '256Mi' }, requests: { cpu: '100m', memory: '128Mi' } },
  volumeMounts: [MOUNT],
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
  imagePullPolicy: 'IfNotPresent',
  ...more,
});

/** What Pods are made of: one of glibc, one of musl after an init container, and one of CI with a command line of its own. */
function containersOf(number: number): Containers {
  const { glibc, musl } = REHEARSED_IMAGES;
  if (number % 3 === 0) return { containers: [container(glibc)] };
  if (number % 3 === 1) return { initContainers: [container(glibc, { name: 'init' })], containers: [container(musl)] };
  return { containers: [container(glibc, { args: [`--step=${number}`], env: [{ name: 'CI', value: 'true' }] })] };
}

/** Managed fields as a controller's Pods have them. */
const MANAGED = {
  manager: 'kube-controller-manager',
  operation: 'Update',
  apiVersion: 'v1',
  time: '2026-01-01T00:00:00Z',
  fieldsType: 'FieldsV1',
  fieldsV1: { 'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } }, 'f:spec': { 'f:containers': { '.': {} } } },
};

/** Returns a Pod as an API server sends it, with the defaults that it sets. */
const madeUpPod = (number: number): object => ({
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: {
    generateName: 'web-5d9c6d7f5b-',
    namespace: NAMESPACE,
    labels: { app: 'web', 'pod-template-hash': '5d9c6d7f5b' },
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-5d9c6d7f5b', uid: '1', controller: true },
    ],
    managedFields: [MANAGED],
  },
  spec: {
    volumes: [
      { name: MOUNT.name, projected: { sources: [{ serviceAccountToken: { path: 'token' } }], defaultMode: 420 } },
    ],
    ...containersOf(number),
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    serviceAccountName: 'default',
    securityContext: {},
    schedulerName: 'default-scheduler',
    tolerations: [
      { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
    ],
    priority: 0,
    enableServiceLinks: true,
  },
  status: {},
});

const POD_KIND = { group: '', version: 'v1', kind: 'Pod' };
const PODS = { group: '', version: 'v1', resource: 'pods' };

/** Returns an AdmissionReview v1 of a Pod that nobody creates. */
const madeUpReview = (number: number): string =>
  JSON.stringify({
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
      kind: POD_KIND,
      resource: PODS,
      requestKind: POD_KIND,
      requestResource: PODS,
      namespace: NAMESPACE,
      operation: 'CREATE',
      userInfo: {
        username: 'system:serviceaccount:kube-system:replicaset-controller',
        groups: ['system:authenticated'],
      },
      object: madeUpPod(number),
      oldObject: null,
      dryRun: false,
      options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
    },
  });

/** Returns a whole request, as an API server writes it. */
function requestOf(review: string): Buffer {
  const lines = [
    'POST /mutate?timeout=5s HTTP/1.1',
    'Host: libc-dns-webhook.libc-dns.svc:443',
    'User-Agent: kube-apiserver-admission',
    `Content-Length: ${Buffer.byteLength(review)}`,
    'Accept: application/json, */*',
    'Content-Type: application/json',
    'Accept-Encoding: gzip',
  ];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${review}`);
}

/**
 * Sends a request and waits for its whole answer. Rejects if the connection ends before, or the status is not 200. Not undici: its client
 * would take 0.4 s of processor time more, and 34 MiB that stay.
 */
type Call = (request: Buffer) => Promise<void>;

function createCall(socket: TLSSocket): Call {
  let text = '';
  let waiting: PromiseWithResolvers<void> | undefined;
  socket.on('data', (piece) => {
    text += piece.toString('latin1');
    const end = text.indexOf('\r\n\r\n');
    if (end === -1) return;
    const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1]);
    if (!text.startsWith('HTTP/1.1 200 ')) socket.destroy(new Error(`unexpected answer: ${text.slice(0, 100)}`));
    else if (text.length >= end + 4 + length) waiting?.resolve();
  });
  socket.on('error', (error) => waiting?.reject(error));
  socket.on('close', () => waiting?.reject(new Error('the connection has ended')));
  return async (request) => {
    text = '';
    waiting = Promise.withResolvers();
    socket.write(request);
    await waiting.promise;
  };
}

interface RehearsalCalls {
  readonly port: number;
  /** PEM of the CA of the server on that port of 127.0.0.1. */
  readonly ca: string;
  readonly calls: number;
  /** Ends the calls; they then reject with its reason. */
  readonly signal: AbortSignal;
}

/** Different reviews; they are sent again and again. */
const REVIEWS = 60;

/** Calls after which others get a turn of the event loop for {@link PAUSE_MS}. */
const CALLS_AT_ONCE = 20;
const PAUSE_MS = 1;

/** Sends made-up reviews over one connection, one after another and with pauses in which others are answered. */
export async function sendMadeUpReviews({ port, ca, calls, signal }: RehearsalCalls): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, ca });
  const call = createCall(socket);
  const abort = (): void => void socket.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort);
  try {
    await once(socket, 'secureConnect', { signal });
    const requests = Array.from({ length: REVIEWS }, (_, number) => requestOf(madeUpReview(number)));
    for (let sent = 0; sent < calls; sent += 1) {
      await call(requests[sent % REVIEWS] as Buffer);
      if (sent % CALLS_AT_ONCE === CALLS_AT_ONCE - 1) await sleep(PAUSE_MS, signal);
    }
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}
