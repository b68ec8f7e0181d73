// Files in a bucket of AWS S3 or of any service that speaks its language. A file that was put is there for
// everybody at once: S3 answers a put after it is durable, and reads see it from then on.

import { DeleteObjectCommand, PutObjectCommand, paginateListObjectsV2 } from '@aws-sdk/client-s3'
import { guardStorage } from './guard.ts'
import { contentTypeOfKey, MARK_PREFIX, MARK_TEXT, markIds, markName } from './keys.ts'
import { checkBucket, ping } from './s3-bucket.ts'
import { type Bucket, bucketUrl, call, createClient } from './s3-client.ts'
import { s3Failed, s3Unusable } from './s3-errors.ts'
import type { S3Options } from './s3-options.ts'
import { findFile, unlessMissing } from './s3-read.ts'
import { openSigner } from './s3-signer.ts'
import { type ListedFile, STORAGE_KEY, type Storage } from './storage.ts'

export type { S3Options }

/** A key never means another file. */
const IMMUTABLE = 'public, max-age=31536000, immutable'

/** Throws `storage_failed` where another try may help, else an Error for the operator. */
export async function openS3(options: S3Options): Promise<Storage> {
  const { bucket, region, endpoint, publicUrl, signedForMs } = options
  const at = endpoint === undefined ? `AWS ${region}` : new URL(endpoint).host
  const place = `the bucket ${bucket} (${at})`
  await using starting = new AsyncDisposableStack()
  const client = starting.adopt(createClient(options), (opened) => opened.destroy())
  try {
    const url = bucketUrl(client, options)
    await checkBucket({ client, name: bucket }, options)
    const signer =
      signedForMs === undefined
        ? undefined
        : starting.use(
            await openSigner({ client, region, urlPrefix: url, lifetimeMs: signedForMs }),
          )
    return createS3(
      { client, name: bucket },
      {
        place,
        urlPrefix: publicUrl === undefined ? url : `${publicUrl}/`,
        ...(signer && { signer }),
      },
      starting.move(),
    )
  } catch (error) {
    throw s3Unusable(place, error)
  }
}

function createS3(
  bucket: Bucket,
  told: Pick<Storage, 'place' | 'urlPrefix' | 'signer'>,
  resources: AsyncDisposableStack,
): Storage {
  return guardStorage({
    ...told,
    put: (key, body, { contentType, signal }) =>
      putObject(bucket, { key, body, contentType, signal }),
    open: (key) => findFile(bucket, key),
    remove: (key) => removeObject(bucket, key),
    list: () => listObjects(bucket),
    mark: (id) => {
      const body = { body: MARK_TEXT, contentType: 'text/plain' }
      return putObject(bucket, { key: markName(id), ...body, signal: undefined })
    },
    marks: () => findMarks(bucket),
    ping: () =>
      ping(bucket).catch((error) => {
        throw s3Failed('Files can not be written', error)
      }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  })
}

interface Put {
  key: string
  body: Uint8Array
  contentType: string
  signal: AbortSignal | undefined
}

/** With a checksum that S3 compares: the SDK adds it, as it does to every put. */
async function putObject({ client, name }: Bucket, put: Put): Promise<void> {
  const { key, body, contentType, signal } = put
  const command = new PutObjectCommand({
    Bucket: name,
    Key: key,
    Body: body,
    ContentLength: body.byteLength,
    ContentType: contentType,
    CacheControl: IMMUTABLE,
    ChecksumAlgorithm: 'CRC32',
  })
  try {
    await call((options) => client.send(command, options), { signal })
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    throw s3Failed('The file could not be stored', error)
  }
}

async function removeObject({ client, name }: Bucket, key: string): Promise<void> {
  try {
    const command = new DeleteObjectCommand({ Bucket: name, Key: key })
    await call((options) => client.send(command, options))
  } catch (error) {
    const cause = await unlessMissing({ client, name }, error)
    if (cause !== undefined) throw s3Failed('The file could not be removed', cause)
  }
}

/** Names that no key has are passed by: the bucket may hold other things. */
async function* listObjects(bucket: Bucket): AsyncGenerator<ListedFile> {
  try {
    for await (const { Key: key = '', LastModified: putAt } of listContents(bucket, '')) {
      const isFile = STORAGE_KEY.test(key) && contentTypeOfKey(key) !== undefined
      if (isFile && putAt) yield { key, putAt }
    }
  } catch (error) {
    throw s3Failed('The files could not be listed', error)
  }
}

async function findMarks(bucket: Bucket): Promise<string[]> {
  try {
    const found = await Array.fromAsync(listContents(bucket, MARK_PREFIX), ({ Key = '' }) => Key)
    return markIds(found)
  } catch (error) {
    throw s3Failed('The marks of the store could not be looked up', error)
  }
}

async function* listContents({ client, name }: Bucket, prefix: string) {
  const pages = paginateListObjectsV2({ client }, { Bucket: name, Prefix: prefix })
  for await (const { Contents = [] } of pages) yield* Contents
}
