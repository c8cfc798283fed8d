import { join } from 'node:path';

import type { Daemons } from './daemons.ts';
import { API_SERVER, certificatesOf, NODES, type Order, POD_NETWORK, SERVICES } from './place.ts';

type Start = (name: string, folder: string, flags: Readonly<Record<string, string | boolean>>) => void;

const onFirst =
  (daemons: Daemons): Start =>
  (name, folder, flags) => {
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    daemons.start(name, NODES[0].name, join(folder, name), args);
  };

const fileIn =
  (order: Order) =>
  (name: string): string =>
    join(certificatesOf(order.folder), name);

/** Starts etcd and the API server on the first node. */
export function startApiServer(order: Order, daemons: Daemons): void {
  const [start, file] = [onFirst(daemons), fileIn(order)];
  start('etcd', order.controlPlane, {
    'data-dir': join(order.folder, 'etcd'),
    'listen-client-urls': 'http://127.0.0.1:2379',
    'advertise-client-urls': 'http://127.0.0.1:2379',
    'listen-peer-urls': 'http://127.0.0.1:2380',
    'unsafe-no-fsync': true,
    'log-level': 'warn',
  });
  start('kube-apiserver', order.controlPlane, {
    'etcd-servers': 'http://127.0.0.1:2379',
    'advertise-address': API_SERVER,
    'bind-address': API_SERVER,
    'secure-port': '6443',
    'tls-cert-file': file('apiserver.crt'),
    'tls-private-key-file': file('apiserver.key'),
    'client-ca-file': file('ca.crt'),
    'kubelet-client-certificate': file('apiserver-kubelet.crt'),
    'kubelet-client-key': file('apiserver-kubelet.key'),
    'kubelet-certificate-authority': file('ca.crt'),
    'kubelet-preferred-address-types': 'InternalIP',
    'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
    'service-account-key-file': file('sa.pub'),
    'service-account-signing-key-file': file('sa.key'),
    'service-cluster-ip-range': SERVICES,
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'allow-privileged': true,
  });
}

/** Starts the controller manager and the scheduler on the first node: they end where the API server is not ready. */
export function startControllers(order: Order, daemons: Daemons): void {
  const [start, file] = [onFirst(daemons), fileIn(order)];
  const logIn = (user: string): Record<string, string> => ({
    kubeconfig: file(`${user}.kubeconfig`),
    'authentication-kubeconfig': file(`${user}.kubeconfig`),
    'authorization-kubeconfig': file(`${user}.kubeconfig`),
    'leader-elect': 'false',
    'bind-address': '127.0.0.1',
  });
  start('kube-controller-manager', order.controlPlane, {
    ...logIn('controller-manager'),
    'root-ca-file': file('ca.crt'),
    'service-account-private-key-file': file('sa.key'),
    'use-service-account-credentials': true,
    'cluster-cidr': POD_NETWORK,
    // A node that is gone is noticed within the time of a test.
    'node-monitor-grace-period': '20s',
  });
  start('kube-scheduler', order.node, logIn('scheduler'));
}
