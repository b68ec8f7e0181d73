// What S3 refuses, in words for an operator that are safe to show to anybody. Of an answer only its code
// is kept: what S3 says besides may repeat keys and signatures.

import { AppError } from '../errors.ts'

/** A refusal as the SDK throws it, by the members that are read. */
interface Refusal extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string }
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> }
  readonly Region?: string
}

/** What will not change by itself: somebody has to set something right. */
const mistakes: Readonly<Record<string, string>> = {
  NoSuchBucket:
    'there is no such bucket: create it, correct S3_BUCKET_NAME, or for development set S3_CREATE_BUCKET=true',
  BucketAlreadyExists: 'the bucket belongs to somebody else: choose another S3_BUCKET_NAME',
  InvalidBucketName: 'S3 allows no bucket of this name: correct S3_BUCKET_NAME',
  AccessDenied:
    'the access key may not do this: allow it s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its files',
  InvalidAccessKeyId: 'the access key is not known there: check AWS_ACCESS_KEY_ID and S3_ENDPOINT',
  SignatureDoesNotMatch: 'the secret key is wrong: check AWS_SECRET_ACCESS_KEY',
  RequestTimeTooSkewed: 'the clock of this machine is wrong: set it right, best by NTP',
  ExpiredToken: 'the credentials have expired: renew them',
  InvalidToken: 'the session token is wrong: check AWS_SESSION_TOKEN',
  CredentialsProviderError:
    'there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role',
  EPROTO: 'it does not speak TLS as it should: check whether S3_ENDPOINT is http or https',
}

const WRONG_REGION =
  'the bucket is in another region: set AWS_REGION to the one that it was created in'

/** Of other regions S3 says so under several names, and names the right one in one of two places. */
const regional: ReadonlySet<string> = new Set([
  'PermanentRedirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
])

/** What may be over in a moment. */
const passing: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody answers at its address',
  ECONNRESET: 'the connection broke off',
  EPIPE: 'the connection broke off',
  EHOSTUNREACH: 'its address cannot be reached',
  ENETUNREACH: 'its address cannot be reached',
  ENOTFOUND: 'there is no host of its name',
  EAI_AGAIN: 'its name cannot be looked up',
  ETIMEDOUT: 'it did not answer in time',
  TimeoutError: 'it did not answer in time',
  AbortError: 'it did not answer in time',
  PreconditionFailed: 'it was replaced meanwhile',
  NoSuchKey: 'it was removed meanwhile',
  SlowDown: 'it has too much to do',
  ServiceUnavailable: 'it has too much to do',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is not trusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is not trusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is not trusted',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
}

/** What the SDK threw becomes `storage_failed`; a defect of ours is thrown on as it is. */
export function s3Failed(message: string, thrown: unknown): unknown {
  if (isDefect(thrown)) return thrown
  const reason = mistakeOf(thrown) ?? passing[codeOf(thrown)]
  return new AppError('storage_failed', reason ? `${message}: ${reason}.` : `${message}.`, {
    cause: withoutSecrets(thrown),
  })
}

/** The same at a start: an Error for the operator where waiting does not help. */
export function s3Unusable(place: string, thrown: unknown): unknown {
  const mistake = mistakeOf(thrown)
  if (mistake === undefined) return s3Failed(`The pictures in ${place} cannot be reached`, thrown)
  return new Error(`cannot use ${place}: ${mistake}`, { cause: withoutSecrets(thrown) })
}

export function hasStatus(thrown: unknown, ...statuses: number[]): boolean {
  return statuses.includes((thrown as Refusal).$metadata?.httpStatusCode ?? 0)
}

/** The name of a refusal, or the code of a connection that failed. */
export function codeOf(thrown: unknown): string {
  const { name = '', code } = thrown as { name?: string; code?: unknown }
  return typeof code === 'string' ? code : name
}

function mistakeOf(thrown: unknown): string | undefined {
  const code = codeOf(thrown)
  const { Region, $response, $metadata } = thrown as Refusal
  if (!regional.has(code)) return mistakes[code] ?? unknownRefusal(code, $metadata?.httpStatusCode)
  const region = Region ?? $response?.headers?.['x-amz-bucket-region'] ?? ''
  return /^[a-z0-9-]+$/.test(region)
    ? `the bucket is in the region ${region}: set AWS_REGION=${region}`
    : WRONG_REGION
}

/** Services other than AWS have codes of their own. */
function unknownRefusal(code: string, status = 0): string | undefined {
  const isLasting = status >= 400 && status < 500 && ![408, 409, 412, 429].includes(status)
  if (!isLasting || code in passing) return undefined
  return `it answered ${status} ${/^\w{1,60}$/.test(code) ? code : ''}`.trim()
}

function isDefect(thrown: unknown): boolean {
  return thrown instanceof AppError || thrown instanceof TypeError || thrown instanceof RangeError
}

function withoutSecrets(thrown: unknown): unknown {
  const { $metadata } = thrown as Refusal
  if ($metadata?.httpStatusCode === undefined) return thrown
  const { httpStatusCode, requestId = 'unknown' } = $metadata
  return new Error(`S3 answered ${httpStatusCode} ${codeOf(thrown)} (request ${requestId})`)
}
