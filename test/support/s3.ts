// Buckets for tests: on the server that TEST_S3_ENDPOINT names, or on one of the caller's own that can be
// stopped and started.

import { randomUUID } from 'node:crypto'
import { describe } from 'node:test'
import { isVersitygwInstalled } from '../../scripts/engines/versitygw.ts'
import type { S3Options } from '../../src/storage/s3.ts'
import { skipUnlessRequired } from './required.ts'

export { type S3Server, startVersitygw } from '../../scripts/engines/versitygw.ts'

export type S3Bucket = { kind: 's3' } & S3Options

const named = process.env.TEST_S3_ENDPOINT || undefined

/** Runs a suite for an S3; says why when there is none, and fails where one must be (CI). */
export function describeWithS3(name: string, suite: () => void): void {
  const missing = named === undefined ? 'TEST_S3_ENDPOINT names no server' : undefined
  describe(name, { skip: skipUnlessRequired('s3', missing) }, suite)
}

/** Runs a suite that starts servers of its own. */
export function describeWithS3Server(name: string, suite: () => void): void {
  const missing = isVersitygwInstalled() ? undefined : 'no versitygw is installed'
  describe(name, { skip: skipUnlessRequired('s3', missing) }, suite)
}

/** A bucket that is not there yet, and is made when it is opened. */
export function newBucket(server = named ?? 'http://127.0.0.1'): S3Bucket {
  const { protocol, host, username, password } = new URL(server)
  return {
    kind: 's3',
    bucket: `test-${randomUUID()}`,
    region: 'us-east-1',
    endpoint: `${protocol}//${host}`,
    forcePathStyle: true,
    credentials: {
      accessKeyId: decodeURIComponent(username),
      secretAccessKey: decodeURIComponent(password),
    },
    createBucket: true,
  }
}

/** What the program is to be told to use a bucket. */
export function settingsOf({ bucket, endpoint, credentials }: S3Bucket): Record<string, string> {
  return {
    S3_BUCKET_NAME: bucket,
    S3_ENDPOINT: endpoint ?? '',
    AWS_ACCESS_KEY_ID: credentials?.accessKeyId ?? '',
    AWS_SECRET_ACCESS_KEY: credentials?.secretAccessKey ?? '',
    S3_CREATE_BUCKET: 'true',
  }
}
