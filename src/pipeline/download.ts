// Brings a picture's file in: from the guarded client to a file on disk, hashed on the way, under limits
// on bytes and time. What is on disk afterwards is the whole file, or nothing.

import { createHash } from 'node:crypto'
import { open, rm } from 'node:fs/promises'
import { AppError } from '../errors.ts'
import type { Outbound, OutboundResponse } from '../outbound/outbound.ts'

export interface DownloadOptions {
  /** The file to write; replaced when there is one, removed when the download fails. */
  path: string
  /** The largest file that is taken. */
  maxBytes: number
  /** For everything, redirects included. */
  timeoutMs: number
  signal: AbortSignal
  /** Told after each piece how many bytes there are now. */
  onBytes?: (bytes: number) => void
}

export interface Downloaded {
  bytes: number
  /** Of the file, in lower-case hex. */
  sha256: string
  httpStatus: number
  /** As the origin named it: a claim, not a fact. */
  contentType?: string
}

/**
 * Downloads a URL to a file. Throws what `Outbound.get` throws, and `file_too_large`,
 * `download_truncated`, `not_an_image` for an empty file, `storage_failed` when the file cannot be
 * written. An abort rejects with the signal's reason.
 */
export async function download(
  outbound: Outbound,
  url: string,
  options: DownloadOptions,
): Promise<Downloaded> {
  const { path, timeoutMs } = options
  const deadline = AbortSignal.timeout(timeoutMs)
  const signal = AbortSignal.any([options.signal, deadline])
  try {
    using response = await outbound.get(url, { signal })
    return await save(response, options)
  } catch (error) {
    // The spool is emptied by others too: what counts is why the download failed.
    await rm(path, { force: true }).catch(() => {})
    throw error === deadline.reason ? tookTooLong(timeoutMs, error) : error
  }
}

async function save(response: OutboundResponse, options: DownloadOptions): Promise<Downloaded> {
  const { status: httpStatus, headers } = response
  const announced = Number(headers['content-length'] ?? Number.NaN)
  if (announced > options.maxBytes) throw tooLarge(options.maxBytes, httpStatus)
  const { bytes, sha256 } = await write(response, options)
  if (bytes < announced) throw truncated(bytes, announced, httpStatus)
  if (bytes === 0) throw new AppError('not_an_image', 'The file is empty.', { httpStatus })
  const contentType = headers['content-type']
  return { bytes, sha256, httpStatus, ...(contentType === undefined ? {} : { contentType }) }
}

async function write(
  { status, body }: OutboundResponse,
  { path, maxBytes, onBytes }: DownloadOptions,
): Promise<{ bytes: number; sha256: string }> {
  await using file = await open(path, 'w').catch(notWritten)
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) throw tooLarge(maxBytes, status)
    hash.update(chunk)
    await file.writeFile(chunk).catch(notWritten)
    onBytes?.(bytes)
  }
  return { bytes, sha256: hash.digest('hex') }
}

function tooLarge(maxBytes: number, httpStatus: number): AppError {
  const limit = `${Math.round((maxBytes / 1_048_576) * 10) / 10} MiB`
  return new AppError('file_too_large', `The file is larger than ${limit}.`, { httpStatus })
}

function truncated(bytes: number, announced: number, httpStatus: number): AppError {
  const message = `Only ${bytes} of the ${announced} bytes that were announced arrived.`
  return new AppError('download_truncated', message, { httpStatus })
}

function tookTooLong(timeoutMs: number, cause: unknown): AppError {
  const message = `The download was not complete after ${timeoutMs / 1_000} seconds.`
  return new AppError('download_timeout', message, { cause })
}

function notWritten(cause: unknown): never {
  throw new AppError('storage_failed', 'The download could not be written to disk.', { cause })
}
