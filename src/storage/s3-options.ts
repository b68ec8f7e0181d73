// What has to be said of a bucket.

import type { S3Credentials } from './s3-presign.ts'

export interface S3Options {
  bucket: string
  region: string
  /** Of a service other than AWS. */
  endpoint?: string | undefined
  /** The bucket in the path instead of the host name. */
  forcePathStyle: boolean
  /** Without them, from where the SDK usually finds some. */
  credentials?: S3Credentials | undefined
  /** Where clients read the bucket, when not at S3 itself. */
  publicUrl?: string | undefined
  /** For a private bucket: how long the URLs that clients get live. */
  signedForMs?: number | undefined
  /** Makes the bucket when there is none. */
  createBucket: boolean
}
