import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../errors.ts'
import { errorFields } from './error-fields.ts'

test('an error in the log has its own members in snake_case, and its causes', () => {
  const cause = new Error('the socket is gone')
  const error = new AppError('origin_error', 'The origin failed.', {
    httpStatus: 502,
    retryAfterMs: 2_000,
    cause,
  })
  const { stack, ...fields } = errorFields(error) as Record<string, unknown>
  assert.deepEqual(fields, {
    type: 'AppError',
    message: 'The origin failed.: the socket is gone',
    name: 'AppError',
    code: 'origin_error',
    errors: [],
    aggregate_errors: [],
    retry_after_ms: 2_000,
    http_status: 502,
  })
  assert.match(String(stack), /caused by: Error: the socket is gone/)
  assert.equal(errorFields('not an error'), 'not an error')
})
