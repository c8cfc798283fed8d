/** The fields of a DaemonSet that identify its product. */
interface DaemonSetFields {
  readonly name: string;
  /** Of its containers and init containers. */
  readonly images: readonly string[];
}

interface NfqueueProduct {
  readonly product: string;
  /** Of the DaemonSet. */
  readonly name?: RegExp;
  /** Tested against each image without tag and digest. */
  readonly image: RegExp;
}

/**
 * Programs that have the packets of Pods handed to them by NFQUEUE, before conntrack has confirmed their entry.
 *
 * - kindnet and kube-network-policies: the first packet of each connection (kubernetes-sigs/kind#3713,
 *   kubernetes-sigs/kube-network-policies#95, which also works around it for DNS)
 * - NeuVector: its data path on Cilium, or with ENFORCER_NV_DATAPATH_NFQ (neuvector/neuvector#247, #669)
 * - Prisma Cloud Defender: DNS packets (kubernetes/dns#648)
 * - Calico Enterprise and Cloud: dnsPolicyMode, by default DelayDeniedPacket (FelixConfiguration). Open source Calico has none of it.
 */
const PRODUCTS: readonly NfqueueProduct[] = [
  { product: 'kindnet', name: /^kindnet$/, image: /\/kindnetd$/ },
  { product: 'kube-network-policies', name: /kube-network-policies/, image: /\/kube-network-policies$/ },
  { product: 'NeuVector', name: /^neuvector-enforcer-pod$/, image: /\/neuvector\/enforcer$/ },
  { product: 'Prisma Cloud Defender', name: /^twistlock-defender-ds$/, image: /\/twistlock\/defender$/ },
  { product: 'Calico Enterprise', image: /\/tigera\/(cnx-|calico-)?node$/ },
];

/** Takes tag and digest away: `registry:5000/a/b:1@sha256:…` is `registry:5000/a/b`. */
const repositoryOf = (image: string): string => (image.split('@', 1)[0] ?? '').replace(/:[^/:]*$/, '');

/** Returns the product of a DaemonSet that is known to use NFQUEUE; undefined for any other. */
export function nfqueueProduct({ name, images }: DaemonSetFields): string | undefined {
  const repositories = images.map((image) => `/${repositoryOf(image)}`);
  return PRODUCTS.find((one) => one.name?.test(name) || repositories.some((image) => one.image.test(image)))?.product;
}
