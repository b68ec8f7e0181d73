// Where the settings say that rendered files are kept.

import { join } from 'node:path'
import { type Choice, unusedWarnings } from './choice.ts'
import { describe, type Resolved } from './resolve.ts'
import type { Values } from './settings.ts'

export type StorageConfig =
  | { readonly kind: 'filesystem'; readonly directory: string }
  | {
      readonly kind: 's3'
      readonly bucket: string
      readonly region: string
      readonly endpoint?: string
      readonly forcePathStyle: boolean
      readonly credentials?: AccessKeys
      readonly publicUrl?: string
      readonly signedForMs?: number
      readonly createBucket: boolean
    }

interface AccessKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** Set for S3 alone; the `AWS_*`, also as other names of these, are for anything that uses AWS. */
const onlyForS3 = [
  'S3_ENDPOINT',
  'S3_FORCE_PATH_STYLE',
  'S3_PUBLIC_URL',
  'S3_URLS',
  'S3_URL_LIFETIME',
  'S3_CREATE_BUCKET',
] as const

/** Never throws. */
export function chooseStorage(resolved: Resolved, dataDir: string): Choice<StorageConfig> {
  const { values, given } = resolved
  const mistakes: string[] = []
  const bucket = chooseBucket(resolved, mistakes)
  // A bucket that is wrong by itself is a mistake already; what else was said of it is none.
  if (!given.has('STORAGE_URL') && !given.has('S3_BUCKET_NAME')) {
    const names = onlyForS3.filter((name) => !given.get(name)?.key.startsWith('AWS_'))
    const warnings = unusedWarnings(resolved, names, 'no S3_BUCKET_NAME is set')
    const config = { kind: 'filesystem', directory: join(dataDir, 'objects') } as const
    return { config, derived: {}, mistakes, warnings }
  }
  mistakes.push(...mistakesOf(resolved))
  const config = s3Of(values, bucket)
  return {
    config,
    derived: {
      S3_FORCE_PATH_STYLE: String(config.forcePathStyle),
      ...(config.endpoint === undefined ? {} : { S3_ENDPOINT: config.endpoint }),
    },
    mistakes,
    warnings: [],
  }
}

/** Of two ways to name the bucket, the one from the stronger source counts. */
function chooseBucket({ values, given }: Resolved, mistakes: string[]): string {
  const [url, name] = [given.get('STORAGE_URL'), given.get('S3_BUCKET_NAME')]
  if (!url || !name) return values.STORAGE_URL ?? values.S3_BUCKET_NAME ?? ''
  if (url.rank === name.rank && values.STORAGE_URL !== values.S3_BUCKET_NAME)
    mistakes.push(`${describe(url)} and ${describe(name)} name two buckets: keep one of them`)
  return (url.rank < name.rank ? values.STORAGE_URL : values.S3_BUCKET_NAME) ?? ''
}

function mistakesOf({ values, given }: Resolved): string[] {
  const [id, secret] = [given.get('AWS_ACCESS_KEY_ID'), given.get('AWS_SECRET_ACCESS_KEY')]
  const mistakes: string[] = []
  if (id && !secret) mistakes.push(`${describe(id)} needs AWS_SECRET_ACCESS_KEY beside it`)
  if (secret && !id) mistakes.push(`${describe(secret)} needs AWS_ACCESS_KEY_ID beside it`)
  const address = given.get('S3_PUBLIC_URL')
  if (address && values.S3_URLS === 'presigned') {
    mistakes.push(
      `${describe(address)} cannot be used with S3_URLS=presigned: what is signed is the address of the bucket itself`,
    )
  }
  if (address && isOwnMedia(values)) {
    mistakes.push(
      `${describe(address)} leads to this service, which sends those links on to it: name the bucket, or what reads from it`,
    )
  }
  return mistakes
}

function isOwnMedia({ PUBLIC_URL: own, S3_PUBLIC_URL: address }: Values): boolean {
  return own !== undefined && [`${own}/media`, `${own}/api/v1/media`].includes(address ?? '')
}

function s3Of(values: Values, bucket: string): StorageConfig & { kind: 's3' } {
  const { S3_ENDPOINT: endpoint = values.AWS_ENDPOINT_URL, S3_PUBLIC_URL: address } = values
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = values
  const { AWS_SESSION_TOKEN: sessionToken } = values
  const token = sessionToken === undefined ? {} : { sessionToken }
  return {
    kind: 's3',
    bucket,
    region: values.AWS_REGION,
    ...(endpoint === undefined ? {} : { endpoint }),
    // Few services that are not AWS have a host name for each bucket.
    forcePathStyle: values.S3_FORCE_PATH_STYLE ?? endpoint !== undefined,
    ...(accessKeyId && secretAccessKey
      ? { credentials: { accessKeyId, secretAccessKey, ...token } }
      : {}),
    ...(address === undefined ? {} : { publicUrl: address }),
    ...(values.S3_URLS === 'presigned' ? { signedForMs: values.S3_URL_LIFETIME } : {}),
    createBucket: values.S3_CREATE_BUCKET,
  }
}
