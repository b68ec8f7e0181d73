// Compressed answers, for the routes whose answers are long and made each time: lists and documents.
// Never for a stream, for pictures, or for a single product: that is text that is ready to be sent.

import compress from '@fastify/compress'
import type { FastifyReply } from 'fastify'
import type { App } from './app.ts'
import { vary } from './vary.ts'

/** Less fits into one packet as it is. */
const SMALLEST_BYTES = 1_024

/**
 * Lets every route that is declared in this scope from now on answer in `br` or `gzip` to whom takes
 * it. Their entity tags become weak: they stand for the same content in every coding (RFC 9110 §8.8.1).
 */
export async function compressAnswers(scope: App): Promise<void> {
  await scope.register(compress, {
    globalCompression: true,
    // Bodies of requests are taken as they are, or refused.
    globalDecompression: false,
    threshold: SMALLEST_BYTES,
    encodings: ['br', 'gzip'],
  })
  scope.addHook('onSend', (_request, reply, payload, done) => {
    markAsOneOfSeveral(reply)
    // Files send an empty stream with it, which would be given a coding.
    done(null, reply.statusCode === 304 ? null : payload)
  })
}

/** Also the answer that is not compressed: a cache must not give it to others, nor theirs to this client. */
function markAsOneOfSeveral(reply: FastifyReply): void {
  // As the plugin writes it.
  vary(reply, 'accept-encoding')
  const etag = reply.getHeader('etag')
  if (typeof etag === 'string' && !etag.startsWith('W/')) reply.header('etag', `W/${etag}`)
}
