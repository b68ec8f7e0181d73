// Streams of events, as they are asked for and shown.

import { type TSchema, Type } from 'typebox'
import { eventTypes } from '../../events/events.ts'
import { POSITION } from '../../events/position.ts'
import { timestamp } from './images.schema.ts'
import { reference } from './problems.schema.ts'
import { MAX_USER_ID, product, withoutNul } from './products.schema.ts'

const position = Type.String({ pattern: POSITION, examples: ['1f0c83d2-4711'] })

export const eventSchema = Type.Object(
  {
    id: { ...position, description: 'Its place in the log; also the `id:` of the entry.' },
    type: Type.Enum([...eventTypes], { description: 'Also the `event:` of the entry.' }),
    at: timestamp,
    user_id: Type.String(),
    product_id: Type.String({ format: 'uuid' }),
    image_id: Type.Union([Type.String({ format: 'uuid' }), Type.Null()]),
    version: Type.Integer({ minimum: 1, description: "The product's version after the change." }),
    details: Type.Record(Type.String(), Type.Unknown(), {
      description: 'Such as `attempt`, `code` and `next_attempt_at`, by the type.',
    }),
  },
  { $id: 'Event', description: 'The `data:` of an entry of a stream of events.' },
)

const after = Type.Optional(
  Type.String({
    pattern: POSITION,
    'x-expected': 'the id of an event, such as 1f0c83d2-4711',
    description: 'Begins after this event. `Last-Event-ID` goes before it.',
  }),
)

export const streamQuery = Type.Object({ after })

export const eventsQuery = Type.Object({
  user_id: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: MAX_USER_ID,
      ...withoutNul,
      description: "Only of this user's products.",
    }),
  ),
  after,
})

export const streamHeaders = Type.Object({
  'Last-Event-ID': Type.Optional(
    Type.String({ description: 'The last event that was received: the stream goes on after it.' }),
  ),
})

const json = (content: TSchema) =>
  Type.String({ contentMediaType: 'application/json', contentSchema: content })

/** OpenAPI 3.1 leaves open what the schema of such an answer describes: here it is one entry, as a client reads it. */
const entryOf = (snapshot: TSchema) =>
  Type.Union([
    Type.Object({
      id: position,
      event: Type.Literal('snapshot', { description: 'Where the stream begins.' }),
      data: json(snapshot),
    }),
    Type.Object({
      id: position,
      event: Type.Enum([...eventTypes]),
      data: json(reference('Event')),
    }),
    Type.Object({
      event: Type.Literal('resync', { description: 'A `snapshot` follows.' }),
      data: json(Type.Object({ reason: Type.String() })),
    }),
  ])

const streamOf = (snapshot: TSchema) => ({
  description:
    'Server-sent events that do not end: `snapshot` first, unless the stream goes on after a known event; then each event of the log with its `id:`, once and in order; `resync` and another `snapshot` when the log does not reach back to where the client was; a comment every 15 seconds.',
  content: {
    'text/event-stream': {
      schema: entryOf(snapshot),
      example:
        'id: 1f0c83d2-4711\nevent: image.ready\ndata: {"id":"1f0c83d2-4711","type":"image.ready"}\n\n',
    },
  },
})

export const eventStream = streamOf(Type.Object({ position }))
export const productEventStream = streamOf(Type.Object({ position, product }))
