// The bucket at a start: is it there, and may we use it? For development it can be made.

import {
  CreateBucketCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { type Bucket, type CallOptions, call } from './s3-client.ts'
import { codeOf, hasStatus } from './s3-errors.ts'
import type { S3Options } from './s3-options.ts'

/** Starts with a dot, as no key does. */
const PING_KEY = '.ping'
/** Health checks wait for 800 ms. */
const PING_TIMEOUT_MS = 700
/** At a start, which says what it waits for after each. */
const CHECK_TIMEOUT_MS = 5_000

/** Throws what the SDK throws when the bucket cannot be listed or written. */
export async function checkBucket(bucket: Bucket, options: S3Options): Promise<void> {
  await listable(bucket).catch(async (error) => {
    if (!options.createBucket || codeOf(error) !== 'NoSuchBucket') throw error
    await createBucket(bucket, options)
  })
  await checkWritable(bucket, { timeoutMs: CHECK_TIMEOUT_MS })
}

/**
 * Resolves when a file could be written, and writes none: the condition is judged after the permission. Only
 * the first time there is nothing that fails it.
 */
export async function checkWritable({ client, name }: Bucket, options: CallOptions): Promise<void> {
  const command = new PutObjectCommand({
    Bucket: name,
    Key: PING_KEY,
    Body: 'By this file Vitrine sees whether it may write.\n',
    IfNoneMatch: '*',
  })
  try {
    await call((sending) => client.send(command, sending), options)
  } catch (error) {
    // 409: somebody else is writing it this moment.
    if (!hasStatus(error, 409, 412)) throw error
  }
}

/** Rejects when nothing could be written, before a health check gives up. */
export async function ping(bucket: Bucket): Promise<void> {
  await checkWritable(bucket, { timeoutMs: PING_TIMEOUT_MS })
}

async function listable({ client, name }: Bucket): Promise<void> {
  // Not HEAD: its answers have no body, and so no reason.
  const command = new ListObjectsV2Command({ Bucket: name, MaxKeys: 1 })
  await call((sending) => client.send(command, sending), { timeoutMs: CHECK_TIMEOUT_MS })
}

/** With a policy that lets everybody read its files, unless URLs are signed. */
async function createBucket({ client, name }: Bucket, options: S3Options): Promise<void> {
  const { region, signedForMs } = options
  const constraint = { CreateBucketConfiguration: { LocationConstraint: region } } as const
  const command = new CreateBucketCommand({
    Bucket: name,
    // Its absence means this one region, whose name S3 refuses here.
    ...(region === 'us-east-1' ? {} : (constraint as object)),
  })
  await call((sending) => client.send(command, sending)).catch((error) => {
    // Another process was faster.
    if (codeOf(error) !== 'BucketAlreadyOwnedByYou') throw error
  })
  if (signedForMs !== undefined) return
  const policy = new PutBucketPolicyCommand({ Bucket: name, Policy: publicReads(name) })
  await call((sending) => client.send(policy, sending))
}

function publicReads(bucket: string): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: '*',
        Action: 's3:GetObject',
        Resource: `arn:aws:s3:::${bucket}/*`,
      },
    ],
  })
}
