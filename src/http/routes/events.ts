// The event log as streams of server-sent events: one product's, and everybody's. A client that lost
// its connection comes back with the last event it has and misses nothing.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../../errors.ts'
import type { Scope } from '../../events/dispatch.ts'
import type { LoggedEvent } from '../../events/events.ts'
import type { EventFeed } from '../../events/feed.ts'
import { type Position, parsePosition } from '../../events/position.ts'
import { isUuid } from '../../lib/uuid.ts'
import type { Logger } from '../../observability/logger.ts'
import type { ProductSnapshot, ProductSnapshots } from '../../products/product-snapshots.ts'
import type { App } from '../app.ts'
import { eventFrame, resync, snapshotFrame } from '../event-frames.ts'
import { createEventStreams, type EventStream, type StreamLimits } from '../event-stream.ts'
import {
  eventStream,
  eventsQuery,
  productEventStream,
  streamHeaders,
  streamQuery,
} from './events.schema.ts'
import { answers } from './problems.schema.ts'
import { productParams } from './products.schema.ts'

export interface EventRoutesOptions {
  feed: EventFeed
  snapshots: ProductSnapshots
  limits: StreamLimits
  log: Logger
}

/** What a stream tells of. */
interface Source {
  scope: Scope
  /** Where a stream begins that knows no place; undefined when there is nothing to tell of any more. */
  snapshot(signal: AbortSignal): Promise<{ position: Position; content: object } | undefined>
  /** No event of the source comes after this one. */
  isLast(event: LoggedEvent): boolean
}

type StreamRequest = FastifyRequest<{ Querystring: { after?: string } }>

export function registerEventRoutes(app: App, options: EventRoutesOptions): void {
  const { feed, snapshots, limits, log } = options
  const streams = createEventStreams(log, limits)
  app.addHook('preClose', (done) => {
    streams.close()
    done()
  })
  const serve = async (request: StreamRequest, reply: FastifyReply, source: Source) => {
    if (request.method === 'HEAD') return streams.answerHead(reply)
    const start = startOf(request)
    const stream = streams.open(request, reply)
    try {
      await deliver(stream, { feed, source, start })
    } catch (error) {
      // The client comes back, and is told then if it cannot be helped.
      log.warn({ request_id: request.id, err: error }, 'a stream of events was broken off')
    }
    stream.end()
  }
  const tags = ['events']

  app.get(
    '/events',
    {
      schema: {
        tags,
        operationId: 'followEvents',
        summary: 'Everything that happens, as it happens',
        description:
          'In the order of the log. An event is told once everything before it is decided, so a change that takes long to commit holds up those behind it; `/health/events` says by how much.',
        querystring: eventsQuery,
        headers: streamHeaders,
        response: answers({ 200: eventStream }, 'invalid_input', 'unavailable'),
      },
    },
    async (request, reply) => await serve(request, reply, everything(feed, request.query.user_id)),
  )

  app.get(
    '/products/:id/events',
    {
      schema: {
        tags,
        operationId: 'followProduct',
        summary: 'What happens to one product, as it happens',
        description:
          'The `snapshot` holds the product as it is at its `position`. The stream ends when the product is deleted.',
        params: productParams,
        querystring: streamQuery,
        headers: streamHeaders,
        response: answers({ 200: productEventStream }, 'invalid_input', 'not_found', 'unavailable'),
      },
    },
    async (request, reply) => {
      const found = await snapshots.read(request.params.id)
      const start = startOf(request)
      // Who knows a place needs no snapshot now, and an old one never.
      const first = start ? undefined : found
      const source = oneProduct(snapshots, request.params.id.toLowerCase(), first)
      if (!found) await assertHasEnding(feed, source, start)
      await serve(request, reply, source)
    },
  )
}

interface Delivery {
  feed: EventFeed
  source: Source
  /** Where the client was; undefined for one that begins. */
  start: Position | undefined
}

/** Sends until nobody reads any more or there is nothing more to come. Throws what reading throws. */
async function deliver(stream: EventStream, { feed, source, start }: Delivery): Promise<void> {
  const { signal } = stream
  let place = start
  while (!signal.aborted) {
    if (!place) {
      const snapshot = await source.snapshot(signal)
      if (!snapshot) return
      place = snapshot.position
      await stream.send([snapshotFrame(place, snapshot.content)])
    }
    const { epoch } = place
    for await (const events of feed.follow(source.scope, { start: place, signal })) {
      if (events === 'lost') await stream.send([resync])
      else await stream.send(events.map((event) => eventFrame(event, epoch)))
      if (events !== 'lost' && events.some(source.isLast)) return
    }
    place = undefined
  }
}

function everything(feed: EventFeed, userId: string | undefined): Source {
  return {
    scope: { userId },
    snapshot: async (signal) => {
      const position = await feed.position(signal)
      return position && { position, content: {} }
    },
    isLast: () => false,
  }
}

/** `first` is what was read of it to answer at all, where the stream begins with that. */
function oneProduct(
  snapshots: ProductSnapshots,
  productId: string,
  first: ProductSnapshot | undefined,
): Source {
  let fresh = first
  return {
    scope: { productId },
    snapshot: async () => {
      const found = fresh ?? (await snapshots.read(productId))
      fresh = undefined
      return found && { position: found.position, content: { product: found.product } }
    },
    // Its id is never given to another one.
    isLast: ({ type }) => type === 'product.deleted',
  }
}

/** Of a product that is gone, somebody who was following it may still get the rest. Throws `not_found`. */
async function assertHasEnding(
  feed: EventFeed,
  { scope }: Source,
  start: Position | undefined,
): Promise<void> {
  if (!start || !('productId' in scope) || !isUuid(scope.productId)) throw noSuchProduct()
  const { events } = await feed.read(scope, start)
  if (events.length === 0) throw noSuchProduct()
}

/** Stands for a place that no log has: such a client starts again. */
const NOWHERE: Position = { epoch: '', id: 0 }

/** The header is what a browser knows best: it sends the address it began with again. */
function startOf({ headers, query }: StreamRequest): Position | undefined {
  const text = headers['last-event-id']?.toString() || query.after
  return text === undefined ? undefined : (parsePosition(text) ?? NOWHERE)
}

function noSuchProduct(): AppError {
  return new AppError('not_found', 'There is no such product.')
}
