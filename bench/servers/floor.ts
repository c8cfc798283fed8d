import { openFastify } from './fastify.ts';

/**
 * The floor: a fastify server with our TLS and body settings that only parses a review and allows the Pod. Arguments:
 * certificate file, key file, port (0 for any), host, and a JSON Patch to return (empty for none). Prints its URL; ends at
 * SIGTERM.
 */
const [certFile = '', keyFile = '', port = '0', host = '127.0.0.1', patch = ''] = process.argv.slice(2);
const patched = patch === '' ? {} : { patchType: 'JSONPatch', patch: btoa(patch) };

const app = openFastify(certFile, keyFile);
app.post('/mutate', async (request, reply) => {
  const { apiVersion, kind, request: review } = request.body as Record<string, unknown> & { request: { uid: string } };
  reply.header('content-type', 'application/json; charset=utf-8');
  return JSON.stringify({ apiVersion, kind, response: { uid: review.uid, allowed: true, ...patched } });
});
console.log(await app.listen({ host, port: Number(port) }));
