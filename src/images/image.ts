// The picture of a product as clients see it. The shapes are the public contract.

import type { Timestamp } from '../database/types.ts'
import type { ImageErrorCode } from '../errors.ts'

export const imageStatuses = ['queued', 'processing', 'retry_scheduled', 'ready', 'failed'] as const
export type ImageStatus = (typeof imageStatuses)[number]

export const attemptStages = ['claim', 'download', 'inspect', 'render', 'store', 'settle'] as const
export type AttemptStage = (typeof attemptStages)[number]

export const attemptOutcomes = [
  'ready',
  'retry_scheduled',
  'failed',
  'handed_back',
  'dropped',
] as const
export type AttemptOutcome = (typeof attemptOutcomes)[number]

export interface ImageError {
  code: ImageErrorCode
  detail: string
  retryable: boolean
  stage: AttemptStage
  http_status?: number
}

export interface RenditionDocument {
  preset: string
  url: string
  width: number
  height: number
  bytes: number
  format: string
}

export interface ImageDocument {
  id: string
  position: number
  source_url: string
  status: ImageStatus
  width: number | null
  height: number | null
  bytes: number | null
  format: string | null
  thumbhash: string | null
  attempts: number
  max_attempts: number
  next_attempt_at: Timestamp | null
  error: ImageError | null
  renditions: RenditionDocument[]
}

export interface AttemptDocument {
  number: number
  stage: AttemptStage
  started_at: Timestamp
  finished_at: Timestamp | null
  /** How it ended; null while it runs. */
  outcome: AttemptOutcome | null
  code: string | null
  http_status: number | null
  bytes: number | null
  /** Milliseconds by stage, for the stages that were reached; `wait`: for a place at a host, for a child. */
  timings: Record<string, number> | null
  worker: string
  trace_id: string | null
}

/** The preset whose renditions are a product's `compressed_product_images`. */
export const PUBLISHED_PRESET = 'default'

/** Retries add to a picture's attempts without end; this is several rounds of them. */
export const MAX_SHOWN_ATTEMPTS = 100

/** Who asked, as far as the ledger and the logs carry it on. */
export interface RequestContext {
  requestId: string
  /** W3C trace context of the request. */
  traceparent: string
}

/** The pictures' use cases. An id that names nothing, whatever its form, throws `not_found`. */
export interface Images {
  ofProduct(productId: string): Promise<ImageDocument[]>
  read(imageId: string): Promise<ImageDocument>
  /** The newest MAX_SHOWN_ATTEMPTS, oldest first. */
  attempts(imageId: string): Promise<AttemptDocument[]>
  /**
   * Runs a picture again with fresh attempts; one that waits for its next attempt at once, with those it has left.
   * Throws `conflict` while it is being processed.
   */
  retry(imageId: string, context: RequestContext): Promise<ImageDocument>
  /**
   * Runs again, with fresh attempts, what failed or waits for its next attempt; where nothing did, what
   * is ready. Pictures under way are left alone: `conflict` when there are no others. The pictures as
   * this left them.
   */
  retryOfProduct(productId: string, context: RequestContext): Promise<ImageDocument[]>
}
