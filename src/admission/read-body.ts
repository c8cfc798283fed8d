import { errorCodes, type FastifyContentTypeParser } from 'fastify';

/**
 * A parser that hands a body of at most `limit` bytes on as it came. Fastify's own copies it, for whoever keeps it, though nearly
 * every body comes in one piece and is only compared. The bytes are good until the handler returns: who keeps them copies them.
 */
export const readBody =
  (limit: number): FastifyContentTypeParser =>
  ({ headers }, payload, done) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const finish = (error: Error | null, body?: Buffer): void => {
      payload.off('data', onData).off('end', onEnd).off('error', onError);
      done(error, body);
    };
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > limit) finish(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
      else chunks.push(chunk);
    };
    const onEnd = (): void => finish(null, chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
    // The caller has gone.
    const onError = (error: Error): void => finish(Object.assign(error, { statusCode: 400 }));
    if (Number(headers['content-length']) > limit) done(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
    else payload.on('data', onData).on('end', onEnd).on('error', onError);
  };
