/** The lab's addresses, and the properties of its nodes. */

export const CLUSTER_DNS = { v4: '10.96.0.10', v6: 'fd00:10:96::a' } as const;
export const NODE_LOCAL = { v4: '169.254.20.10', v6: 'fd00:169:254:20::10' } as const;

/** The servers behind the Service, on the DNS host. */
export const DNS_HOST = {
  prompt: { v4: '10.0.0.53', v6: 'fd00:53::53', delayMs: 5 },
  slow: { v4: '10.0.0.54', v6: 'fd00:53::54', delayMs: 1200 },
} as const;

/** Milliseconds until the node-local cache answers. It has all names cached. */
export const CACHE_DELAY_MS = 1;

export interface NodeSpec {
  readonly name: string;
  /** Whether the second packet of a translated connection without a reply is lost. */
  readonly raced: boolean;
  readonly upstream: keyof typeof DNS_HOST;
  /** TCP to the cluster DNS: `closed` resets connections, `dropped` drops their packets. */
  readonly tcp: 'open' | 'closed' | 'dropped';
  /**
   * The node-local cache. `refuses`: its process is gone but its address remains, as after a crash. `silent`: packets to its
   * address are lost. `restarts`: runs until it is stopped.
   */
  readonly cache: 'up' | 'refuses' | 'silent' | 'restarts';
  /** Whether the cache also answers at the cluster DNS address, as NodeLocal does in kube-proxy's iptables mode. */
  readonly intercepts: boolean;
}

const RACED: Omit<NodeSpec, 'name'> = { raced: true, upstream: 'prompt', tcp: 'open', cache: 'up', intercepts: false };

const SPECS = {
  raced: RACED,
  healthy: { ...RACED, raced: false },
  'tcp-closed': { ...RACED, tcp: 'closed' },
  'tcp-dropped': { ...RACED, tcp: 'dropped' },
  'cache-refuses': { ...RACED, cache: 'refuses' },
  'cache-silent': { ...RACED, cache: 'silent' },
  'cache-restarts': { ...RACED, cache: 'restarts' },
  slow: { ...RACED, raced: false, upstream: 'slow' },
  intercepting: { ...RACED, intercepts: true },
} as const satisfies Record<string, Omit<NodeSpec, 'name'>>;

export type NodeName = keyof typeof SPECS;

export const NODES: readonly (NodeSpec & { readonly name: NodeName })[] = (Object.keys(SPECS) as NodeName[]).map(
  (name) => Object.assign({ name }, SPECS[name]),
);
