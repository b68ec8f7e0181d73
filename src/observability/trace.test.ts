import assert from 'node:assert/strict'
import { test } from 'node:test'
import { continueTrace, traceIdOf } from './trace.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const own = /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/

test('a caller’s trace is continued in a new span, its flags kept', () => {
  const continued = continueTrace(`00-${traceId}-00f067aa0ba902b7-00`)
  assert.match(continued, new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`))
  assert.doesNotMatch(continued, /00f067aa0ba902b7/)
  assert.equal(traceIdOf(continued), traceId)
})

test('a later version of the format is read as far as it is known', () => {
  assert.equal(traceIdOf(continueTrace(`01-${traceId}-00f067aa0ba902b7-01-more`)), traceId)
})

const ignored = [
  undefined,
  '',
  'garbage',
  `00-${traceId}-00f067aa0ba902b7`,
  `00-${traceId}-00f067aa0ba902b7-01-more`,
  `ff-${traceId}-00f067aa0ba902b7-01`,
  `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `00-${traceId.toUpperCase()}-00f067aa0ba902b7-01`,
  `00-${traceId}-00f067aa0ba902b7-01, 00-${traceId}-00f067aa0ba902b7-01`,
]
for (const header of ignored) {
  test(`${header} starts a new trace`, () => {
    const made = continueTrace(header)
    assert.match(made, own)
    assert.notEqual(traceIdOf(made), traceId)
    assert.notEqual(continueTrace(header), made)
  })
}
