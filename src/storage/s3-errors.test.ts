import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { AppError } from '../errors.ts'
import { s3Failed, s3Unusable } from './s3-errors.ts'

/** As the SDK throws what S3 answered; its message and members may repeat what was sent. */
function refusal(name: string, status: number, more: object = {}): Error {
  const said = { name, $metadata: { httpStatusCode: status, requestId: 'r-1' }, ...more }
  return Object.assign(new Error('AKIASECRET'), { AWSAccessKeyId: 'AKIASECRET' }, said)
}

const place = 'the bucket shop (AWS eu-west-1)'
const inHeader = { $response: { headers: { 'x-amz-bucket-region': 'eu-west-2' } } }

describe('what S3 refuses at a start', () => {
  const lasting: [thrown: Error, says: string][] = [
    [refusal('AccessDenied', 403), 'the access key may not do this: allow it s3:ListBucket'],
    [refusal('RequestTimeTooSkewed', 403), 'the clock of this machine is wrong: set it right'],
    [refusal('ExpiredToken', 400), 'the credentials have expired'],
    [refusal('PermanentRedirect', 301, inHeader), 'set AWS_REGION=eu-west-2'],
    [
      refusal('AuthorizationHeaderMalformed', 400, { Region: 'eu-west-3' }),
      'set AWS_REGION=eu-west-3',
    ],
    [refusal('PermanentRedirect', 301, { Region: 'a b; rm' }), 'the bucket is in another region'],
    [refusal('XAdminUserNotFound', 404), 'it answered 404 XAdminUserNotFound'],
    [refusal('<html>\nsecret', 400), 'it answered 400'],
  ]
  for (const [thrown, says] of lasting) {
    test(`says that ${says}, which waiting does not change`, () => {
      const error = s3Unusable(place, thrown)
      assert.ok(error instanceof Error && !(error instanceof AppError))
      assert.ok(error.message.startsWith(`cannot use ${place}: `), error.message)
      assert.ok(error.message.includes(says), error.message)
      assert.ok(!inspect(error, { depth: 9 }).includes('AKIASECRET'))
    })
  }

  test('may be tried again when it is of the moment', () => {
    const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
    for (const thrown of [refusal('SlowDown', 503), refusal('InternalError', 500), reset]) {
      const error = s3Unusable(place, thrown)
      assert.ok(error instanceof AppError)
      assert.equal(error.code, 'storage_failed')
      assert.ok(!inspect(error, { depth: 9 }).includes('AKIASECRET'))
    }
  })
})

test('a defect of ours stays one', () => {
  const defect = new TypeError('undefined is not a function')
  assert.equal(s3Failed('The file could not be stored', defect), defect)
})
