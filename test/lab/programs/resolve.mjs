// Looks up one name, once: prints `asking`, then its time and result as one line of JSON.
// First argument: `lookup` (libc's getaddrinfo) or `resolve` (c-ares: A and AAAA asked at once).
import dns from 'node:dns/promises';

const [how, name] = process.argv.slice(2);
const lookup = async () => (await dns.lookup(name, { all: true })).map(({ address }) => address);
const resolve = async () => (await Promise.all([dns.resolve4(name), dns.resolve6(name)])).flat();

// A first look-up of a name in /etc/hosts, so that what Node does only once is not measured.
await dns.lookup('localhost');

let addresses = [];
let error = '';
console.log('asking');
const start = performance.now();
try {
  addresses = await (how === 'resolve' ? resolve() : lookup());
} catch (failure) {
  error = failure.code ?? String(failure);
}
console.log(JSON.stringify({ ms: performance.now() - start, addresses, error }));
