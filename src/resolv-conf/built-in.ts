/** What a cluster's DNS is taken to be where nothing says otherwise: what kubeadm, kind and most distributions use. */
export const BUILT_IN = { dns: ['10.96.0.10'], domain: 'cluster.local', nodeSearches: [] } as const;
