// The settings that choose and reach the storage of rendered files.

import type { SettingTable } from './setting.ts'
import {
  awsRegion,
  boolean,
  bucketName,
  bucketUrl,
  duration,
  oneOf,
  publicUrl,
  text,
} from './value-types.ts'

const DAY_MS = 24 * 60 * 60_000

export const storageSettings = {
  STORAGE_URL: {
    type: bucketUrl,
    secret: 'url',
    description: 'The bucket of `S3_BUCKET_NAME`, written as `s3://bucket`.',
  },
  S3_BUCKET_NAME: {
    type: bucketName,
    aliases: ['AWS_BUCKET_NAME'],
    yaml: 'aws.s3bucket',
    description:
      'The bucket of S3, or of a service that speaks its language, in which rendered files are kept. Without it they are kept in `DATA_DIR/objects` and served by the api.',
  },
  S3_ENDPOINT: {
    type: publicUrl,
    aliases: ['AWS_ENDPOINT_URL_S3'],
    derived: '`AWS_ENDPOINT_URL`, else AWS',
    secret: 'url',
    description:
      'The address of a service other than AWS: SeaweedFS, MinIO, Garage, R2 and others.',
  },
  S3_FORCE_PATH_STYLE: {
    type: boolean,
    derived: '`false` for AWS, else `true`',
    description: 'Whether the bucket stands in the path of its URLs instead of the host name.',
  },
  S3_PUBLIC_URL: {
    type: publicUrl,
    derived: 'the address of the bucket itself',
    secret: 'url',
    description:
      'The address under which clients read the bucket, such as that of a CDN; links to pictures start with it.',
  },
  S3_URLS: {
    type: oneOf(['public', 'presigned']),
    default: 'public',
    description:
      'Links to pictures: `public` for a bucket that everybody may read, `presigned` for a private one: they are signed whenever they are shown, and end after `S3_URL_LIFETIME`.',
  },
  S3_URL_LIFETIME: {
    type: duration({ min: 60_000, max: 7 * DAY_MS }),
    default: '1h',
    description:
      'How long signed links live. Those that are shown have at least half of it before them, and no longer than temporary credentials live.',
  },
  S3_CREATE_BUCKET: {
    type: boolean,
    default: 'false',
    description:
      'For development: makes the bucket when there is none, with a policy that lets everybody read it unless links are signed.',
  },
  AWS_ENDPOINT_URL: {
    type: publicUrl,
    secret: 'url',
    description: 'The address of whatever else stands in for AWS, where `S3_ENDPOINT` is not set.',
  },
  AWS_REGION: {
    type: awsRegion,
    default: 'us-east-1',
    yaml: 'aws.region',
    description: 'The region that the bucket is in.',
  },
  AWS_ACCESS_KEY_ID: {
    type: text,
    aliases: ['AWS_ACCESS_KEY'],
    secret: 'whole',
    derived: 'where the SDK of AWS looks: its files, or the role of the machine',
    description: 'The access key, together with `AWS_SECRET_ACCESS_KEY`.',
  },
  AWS_SECRET_ACCESS_KEY: {
    type: text,
    aliases: ['AWS_SECRET_KEY'],
    secret: 'whole',
    description: 'The secret key.',
  },
  AWS_SESSION_TOKEN: {
    type: text,
    secret: 'whole',
    description: 'The session token of temporary keys.',
  },
} as const satisfies SettingTable
