/** Reports whether an IP address is link-local (RFC 3927, RFC 4291 2.5.6), as the addresses of node-local caches are. */
export const isLinkLocal = (address: string): boolean => /^(169\.254\.|fe80:)/i.test(address);
