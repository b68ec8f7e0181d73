// The pictures of a product, as they are asked for and shown.

import { Type } from 'typebox'
import { imageErrorCodes } from '../../errors.ts'
import {
  type AttemptDocument,
  attemptOutcomes,
  attemptStages,
  type ImageDocument,
  imageStatuses,
  MAX_SHOWN_ATTEMPTS,
} from '../../images/image.ts'
import { exampleImage } from './examples.ts'
import { reference } from './problems.schema.ts'

export const timestamp = Type.String({
  format: 'date-time',
  description: 'UTC, with microseconds.',
  examples: ['2026-11-20T08:00:00.123456Z'],
})

const stage = Type.Enum([...attemptStages])

const imageErrorSchema = Type.Object({
  code: Type.Enum([...imageErrorCodes]),
  detail: Type.String(),
  retryable: Type.Boolean(),
  stage,
  http_status: Type.Optional(Type.Integer({ description: 'What the origin answered.' })),
})

const renditionSchema = Type.Object({
  preset: Type.String(),
  url: Type.String({ format: 'uri-reference' }),
  width: Type.Integer(),
  height: Type.Integer(),
  bytes: Type.Integer(),
  format: Type.String(),
})

export const imageSchema = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    position: Type.Integer({ minimum: 0 }),
    source_url: Type.String(),
    status: Type.Enum([...imageStatuses]),
    width: Type.Union([Type.Integer(), Type.Null()]),
    height: Type.Union([Type.Integer(), Type.Null()]),
    bytes: Type.Union([Type.Integer(), Type.Null()]),
    format: Type.Union([Type.String(), Type.Null()]),
    thumbhash: Type.Union([Type.String(), Type.Null()]),
    attempts: Type.Integer({ minimum: 0 }),
    max_attempts: Type.Integer({ minimum: 1 }),
    next_attempt_at: Type.Union([timestamp, Type.Null()]),
    error: Type.Union([imageErrorSchema, Type.Null()]),
    renditions: Type.Array(renditionSchema),
  },
  { $id: 'Image', examples: [exampleImage] },
)

export const attemptSchema = Type.Object(
  {
    number: Type.Integer({ minimum: 1 }),
    stage,
    started_at: timestamp,
    finished_at: Type.Union([timestamp, Type.Null()]),
    outcome: Type.Union([Type.Enum([...attemptOutcomes]), Type.Null()]),
    code: Type.Union([Type.String(), Type.Null()]),
    http_status: Type.Union([Type.Integer(), Type.Null()]),
    bytes: Type.Union([Type.Integer(), Type.Null()]),
    timings: Type.Union([
      Type.Record(Type.String(), Type.Number({ description: 'Milliseconds.' })),
      Type.Null(),
    ]),
    worker: Type.String(),
    trace_id: Type.Union([Type.String(), Type.Null()]),
  },
  { $id: 'Attempt' },
)

export const imageParams = Type.Object({ id: Type.String() })
export const image = reference<ImageDocument>('Image')
export const imageList = Type.Object({ data: Type.Array(image) })
export const attemptList = Type.Object({
  data: Type.Array(reference<AttemptDocument>('Attempt'), { maxItems: MAX_SHOWN_ATTEMPTS }),
})
