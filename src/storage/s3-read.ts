// A stored file is what was found under its key, told by its ETag: not one that took its name since.

import {
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  NoSuchBucket,
} from '@aws-sdk/client-s3'
import { contentTypeOfKey } from './keys.ts'
import { type Bucket, call } from './s3-client.ts'
import { codeOf, hasStatus, s3Failed } from './s3-errors.ts'
import type { ByteRange, StoredFile } from './storage.ts'

interface FoundObject {
  key: string
  size: number
  etag: string
}

/** Undefined when there is none. */
async function headObject(bucket: Bucket, key: string): Promise<FoundObject | undefined> {
  try {
    const command = new HeadObjectCommand({ Bucket: bucket.name, Key: key })
    const { ContentLength, ETag } = await call((options) => bucket.client.send(command, options))
    return { key, size: ContentLength ?? 0, etag: ETag ?? '*' }
  } catch (error) {
    const cause = await unlessMissing(bucket, error)
    if (cause === undefined) return undefined
    throw s3Failed('The file could not be looked up', cause)
  }
}

/**
 * Undefined when what was thrown says that there is no such file, and else what is to be told instead. A bare 404,
 * as every `HEAD` gets it, may be that of a bucket which is away: that is asked for then.
 */
export async function unlessMissing({ client, name }: Bucket, thrown: unknown): Promise<unknown> {
  if (!hasStatus(thrown, 404) || codeOf(thrown) === 'NoSuchBucket') return thrown
  if (codeOf(thrown) === 'NoSuchKey') return undefined
  try {
    const command = new HeadBucketCommand({ Bucket: name })
    await call((options) => client.send(command, options))
    return undefined
  } catch (error) {
    if (!hasStatus(error, 404)) return error
    return new NoSuchBucket({ message: '', $metadata: { httpStatusCode: 404 } })
  }
}

/** Undefined when there is none. Reading it throws when another file has taken its name since. */
export async function findFile(bucket: Bucket, key: string): Promise<StoredFile | undefined> {
  const contentType = contentTypeOfKey(key)
  const found = contentType === undefined ? undefined : await headObject(bucket, key)
  if (contentType === undefined || !found) return undefined
  return { size: found.size, contentType, read: (range) => readChunks(bucket, found, range) }
}

/** Holds a connection only while it is iterated; leaving the loop early closes it. */
async function* readChunks(
  { client, name }: Bucket,
  { key, etag }: FoundObject,
  range?: ByteRange,
): AsyncGenerator<Uint8Array> {
  try {
    const command = new GetObjectCommand({
      Bucket: name,
      Key: key,
      IfMatch: etag,
      ...(range ? { Range: `bytes=${range.start}-${range.end}` } : {}),
    })
    const { Body } = await call((options) => client.send(command, options))
    if (Body) yield* Body as AsyncIterable<Uint8Array>
  } catch (error) {
    throw s3Failed('The file could not be read', error)
  }
}
