// The SDK's client with bounded times: nothing here waits for ever, and everything can be aborted.

import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import type { S3Options } from './s3-options.ts'

const CONNECT_TIMEOUT_MS = 3_000
/** Of one try, until the answer begins; the largest rendition goes over 10 Mbit/s in it. */
const ANSWER_TIMEOUT_MS = 20_000
/** Of an answer that stops half-way, or whose reader does. */
const SILENCE_TIMEOUT_MS = 60_000
/** Retries included, with the SDK's pauses between them. */
const CALL_TIMEOUT_MS = 60_000
const TRIES = 3
/** Of slow readers too: they must not take a worker's place. */
const CONNECTIONS = 256

/** Where its files are, and who asks for them. */
export interface Bucket {
  readonly client: S3Client
  readonly name: string
}

export function createClient(options: S3Options): S3Client {
  const { region, endpoint, forcePathStyle, credentials } = options
  const sockets = { keepAlive: true, maxSockets: CONNECTIONS }
  const config: S3ClientConfig = {
    region,
    forcePathStyle,
    maxAttempts: TRIES,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: ANSWER_TIMEOUT_MS,
      throwOnRequestTimeout: true,
      socketTimeout: SILENCE_TIMEOUT_MS,
      httpAgent: sockets,
      httpsAgent: sockets,
    },
    ...(endpoint === undefined ? {} : { endpoint }),
    // Links are made for the endpoint that we know: from nowhere else may the SDK take one.
    ignoreConfiguredEndpointUrls: true,
    // Else the SDK looks in its usual places.
    ...(credentials === undefined ? {} : { credentials: { ...credentials } }),
  }
  return new S3Client(config)
}

export interface CallOptions {
  signal?: AbortSignal | undefined
  timeoutMs?: number
}

/**
 * Calls with a signal that ends it all, until there is an answer: a body is read in its reader's time.
 * Rejects with the caller's reason when that was what ended it.
 */
export async function call<T>(
  send: (options: { abortSignal: AbortSignal }) => Promise<T>,
  { signal, timeoutMs = CALL_TIMEOUT_MS }: CallOptions = {},
): Promise<T> {
  signal?.throwIfAborted()
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), timeoutMs)
  try {
    const abortSignal = signal ? AbortSignal.any([signal, late.signal]) : late.signal
    return await send({ abortSignal })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** A file's URL is this and its key: on a host of the bucket's own or below a path, as the SDK has it. */
export function bucketUrl(
  { config }: S3Client,
  { bucket, region, endpoint, forcePathStyle }: S3Options,
): string {
  const { url } = config.endpointProvider({
    Bucket: bucket,
    Region: region,
    ForcePathStyle: forcePathStyle,
    ...(endpoint === undefined ? {} : { Endpoint: endpoint }),
  })
  return `${url.href.replace(/\/$/, '')}/`
}
