// Brings a picture's file in: from the guarded client to a file on disk, hashed on the way, under limits
// on bytes and time. What is on disk afterwards is the whole file, or nothing.

import { createHash } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { AppError, isAppError } from '../errors.ts'
import { startAllowance, type Wait } from '../lib/allowance.ts'
import type { Outbound, OutboundResponse } from '../outbound/outbound.ts'

export interface DownloadOptions {
  /** The file to write; replaced when there is one, removed when the download fails. */
  path: string
  /** The largest file that is taken. */
  maxBytes: number
  /** For everything, redirects included, but not for what has to be waited for. */
  timeoutMs: number
  signal: AbortSignal
  /** Is given the wait for a place at an origin. */
  wait?: Wait
  /** Told of the status once it is there, and after each piece how many bytes there are now. */
  onProgress?: (facts: { httpStatus?: number; bytes?: number }) => void
}

export interface Downloaded {
  bytes: number
  /** Of the file, in lower-case hex. */
  sha256: string
  /** False when the file may have been cut without anybody noticing. */
  isEndAnnounced: boolean
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
  const { path, timeoutMs, wait = (turn) => turn } = options
  const late = new AbortController()
  using time = startAllowance(timeoutMs, () => late.abort(tookTooLong(timeoutMs)))
  const signal = AbortSignal.any([options.signal, late.signal])
  try {
    using response = await outbound.get(url, { signal, wait: (turn) => time.wait(wait(turn)) })
    options.onProgress?.({ httpStatus: response.status })
    return await save(response, options)
  } catch (error) {
    // The spool is emptied by others too: what counts is why the download failed.
    await rm(path, { force: true }).catch(() => {})
    throw error
  }
}

/**
 * What reading the file came to. One that is damaged, of which nobody can tell whether it came whole, is
 * `download_truncated`: it is fetched again.
 */
export async function orTruncated<T>(downloaded: Downloaded, reading: Promise<T>): Promise<T> {
  try {
    return await reading
  } catch (error) {
    if (downloaded.isEndAnnounced || !isAppError(error, 'image_corrupt')) throw error
    throw maybeCut(downloaded, { cause: error })
  }
}

async function save(response: OutboundResponse, options: DownloadOptions): Promise<Downloaded> {
  const { status: httpStatus, headers } = response
  const announced = Number(headers['content-length'] ?? Number.NaN)
  if (announced > options.maxBytes) throw tooLarge(options.maxBytes, httpStatus)
  const downloaded = await write(response, options)
  const { bytes } = downloaded
  if (bytes < announced) throw truncated(bytes, announced, httpStatus)
  if (bytes === 0 && !response.isEndAnnounced) throw maybeCut(downloaded, { httpStatus })
  if (bytes === 0) throw new AppError('not_an_image', 'The file is empty.', { httpStatus })
  return downloaded
}

async function write(
  { status, body, isEndAnnounced }: OutboundResponse,
  { path, maxBytes, onProgress }: DownloadOptions,
): Promise<Downloaded> {
  await using file = await open(path, 'w').catch(notWritten)
  const hash = createHash('sha256')
  let bytes = 0
  for await (const pieces of body) {
    for (const piece of pieces) {
      bytes += piece.length
      hash.update(piece)
    }
    if (bytes > maxBytes) throw tooLarge(maxBytes, status)
    onProgress?.({ bytes })
    await writeAll(file, pieces).catch(notWritten)
  }
  return { bytes, sha256: hash.digest('hex'), isEndAnnounced }
}

/** In one call; should only a part have been taken, what follows tells why. */
async function writeAll(file: FileHandle, pieces: readonly Uint8Array[]): Promise<void> {
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0)
  const { bytesWritten } = await file.writev(pieces)
  if (bytesWritten < bytes) await file.writeFile(Buffer.concat(pieces).subarray(bytesWritten))
}

function tooLarge(maxBytes: number, httpStatus: number): AppError {
  const limit = `${Math.round((maxBytes / 1_048_576) * 10) / 10} MiB`
  return new AppError('file_too_large', `The file is larger than ${limit}.`, { httpStatus })
}

function truncated(bytes: number, announced: number, httpStatus: number): AppError {
  const message = `Only ${bytes} of the ${announced} bytes that were announced arrived.`
  return new AppError('download_truncated', message, { httpStatus })
}

function maybeCut({ bytes }: Downloaded, told: { httpStatus?: number; cause?: unknown }): AppError {
  const message = `The file is damaged or was cut after ${bytes} bytes: its length was not announced.`
  return new AppError('download_truncated', message, told)
}

function tookTooLong(timeoutMs: number): AppError {
  const message = `The download was not complete after ${timeoutMs / 1_000} seconds.`
  return new AppError('download_timeout', message)
}

function notWritten(cause: unknown): never {
  throw new AppError('storage_failed', 'The download could not be written to disk.', { cause })
}
