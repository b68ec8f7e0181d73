// `Prefer: wait=N`: the answer to a change comes when its pictures are settled, or when the time is up.

import { addAbortListener } from 'node:events'
import type { FastifyReply } from 'fastify'
import type { Products, Representation } from '../products/product.ts'
import type { App } from './app.ts'
import { preferredWait } from './prefer.ts'

/** What to answer with: what was made, or the same as it is after the wait that the client prefers. */
export type PictureWait = (made: Representation, reply: FastifyReply) => Promise<Representation>

/** Waits end at once when the client leaves and when the server closes. */
export function createPictureWait(app: App, products: Pick<Products, 'settled'>): PictureWait {
  const closing = new AbortController()
  app.addHook('preClose', (done) => {
    closing.abort()
    done()
  })
  return async (made, reply) => {
    const seconds = preferredWait(reply.request.headers.prefer)
    if (seconds === undefined) return made
    reply.header('preference-applied', `wait=${seconds}`)
    const leaving = new AbortController()
    using _closing = addAbortListener(closing.signal, () => leaving.abort())
    reply.raw.once('close', () => leaving.abort())
    return await products.settled(made, { timeoutMs: seconds * 1_000, signal: leaving.signal })
  }
}
