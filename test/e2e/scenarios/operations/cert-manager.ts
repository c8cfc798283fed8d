import { certManagerFolder, missingIn } from '../../../kubernetes/programs.ts';
import { withCertManager } from '../../cluster/cert-manager.ts';
import { CHART, type Cluster } from '../../cluster/cluster.ts';
import { until } from '../../cluster/daemons.ts';
import { change, untilPatched } from '../../meanwhile.ts';
import { expectThat, type Scenario } from '../../scenario.ts';
import { helmInstall, NAMESPACE, RELEASE, upgrade } from '../../installation.ts';
import { allServed } from './certificates.ts';

interface Registration {
  readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
}

const decoded = (base64 = ''): string => Buffer.from(base64, 'base64').toString().trim();

/** Returns true if every webhook of the registration trusts the CA that signed the certificate. The injector keeps those before. */
async function isInjected(cluster: Cluster): Promise<true | undefined> {
  const secret = ['-n', NAMESPACE, 'secret', `${RELEASE}-tls`] as const;
  const { data } = await cluster.get<{ data: Readonly<Record<string, string>> }>(...secret);
  const ca = decoded(data['ca.crt']);
  const { webhooks } = await cluster.get<Registration>('mutatingwebhookconfiguration', RELEASE);
  const trusts = ({ clientConfig }: (typeof webhooks)[number]): boolean => decoded(clientConfig.caBundle).includes(ca);
  return (ca !== '' && webhooks.every(trusts)) || undefined;
}

/** Asks for a new certificate as `cmctl renew` does. */
function renew(cluster: Cluster): Promise<string> {
  const condition = {
    type: 'Issuing',
    status: 'True',
    reason: 'ManuallyTriggered',
    message: 'asked for by a test',
    lastTransitionTime: new Date().toISOString().replace(/\.\d+/, ''),
  };
  const patch = JSON.stringify([{ op: 'add', path: '/status/conditions/-', value: condition }]);
  const words = ['-n', NAMESPACE, 'patch', 'certificate', RELEASE, '--subresource=status', '--type=json'] as const;
  return cluster.kubectl(...words, '-p', patch);
}

const RENEWED = change('cert-manager', 'cert-manager issues the certificate, and renews it', async (cluster) => {
  const before = await allServed(cluster);
  await renew(cluster);
  // The kubelet brings it into the Pods within a minute or so.
  await until(
    'the renewed certificate from every replica',
    async () => {
      const now = await allServed(cluster);
      return now.size === 1 && [...now].every((serial) => !before.has(serial)) ? true : undefined;
    },
    150_000,
  );
});

/** Changes where certificates come from, and waits until all replicas serve another one than before that the API server trusts. */
async function changeSource(cluster: Cluster, ...flags: readonly string[]): Promise<void> {
  const before = await allServed(cluster);
  await upgrade(cluster, '--reset-values', ...flags);
  const now = await allServed(cluster);
  expectThat(
    [...now].every((serial) => !before.has(serial)),
    'replicas still serve certificates of the other source',
  );
  await untilPatched(cluster);
}

const BY_CERT_MANAGER = ['--set', 'certificates.source=cert-manager'] as const;

export const certManager: Scenario = {
  ...RENEWED,
  whyNot() {
    const isBuilt = missingIn(certManagerFolder, ['cert-manager']).length === 0;
    return isBuilt ? undefined : 'cert-manager is not built: npm run kubernetes -- --cert-manager';
  },
  run: (cluster) =>
    withCertManager(cluster, async () => {
      // As on a cluster where the replicas never had a CA of their own.
      await cluster.helm('uninstall', RELEASE, '-n', NAMESPACE, '--wait');
      await cluster.kubectl('-n', NAMESPACE, 'delete', 'secret', `${RELEASE}-ca`);
      await helmInstall(cluster, CHART, ...BY_CERT_MANAGER);
      await until('the CA in the registration', () => isInjected(cluster));
      const first = await allServed(cluster);
      expectThat(first.size === 1, `replicas serve ${first.size} certificates`);
      const seen = await RENEWED.run(cluster);
      expectThat((await isInjected(cluster)) === true, 'the registration does not trust the renewed certificate');
      await changeSource(cluster);
      await changeSource(cluster, ...BY_CERT_MANAGER);
      await changeSource(cluster);
      return `${seen}; then to certificates of the replicas' own, to cert-manager's and back`;
    }),
};
