import assert from 'node:assert/strict'
import { test } from 'node:test'
import { preferredWait } from './prefer.ts'

test('a wait is whole seconds, alone or among other preferences', () => {
  const headers: [header: string | string[], seconds: number][] = [
    ['wait=10', 10],
    ['Wait = 10', 10],
    ['wait="10"', 10],
    ['wait=0', 0],
    ['respond-async, wait=10', 10],
    ['return=minimal; foo="a, wait=3", wait=10; x=1', 10],
    ['handling="lenient, wait=2",wait=7', 7],
    [['return=representation', 'wait=5'], 5],
  ]
  for (const [header, seconds] of headers) assert.equal(preferredWait(header), seconds, `${header}`)
})

test('more than the longest wait is the longest wait', () => {
  for (const header of ['wait=31', 'wait=3600', `wait=${'9'.repeat(400)}`]) {
    assert.equal(preferredWait(header), 30)
  }
})

test('of two waits the first one counts', () => {
  assert.equal(preferredWait('wait=5, wait=10'), 5)
  assert.equal(preferredWait('wait=soon, wait=10'), undefined)
})

test('what is no wait, or none that can be kept, is ignored', () => {
  const headers = [
    undefined,
    '',
    ',',
    'respond-async',
    'wait',
    'wait=',
    'wait=-1',
    'wait=1.5',
    'wait=1s',
    'wait=1e1',
    'waiting=5',
    'x-wait=5',
    'return="wait=5"',
    'return=a; wait=5',
  ]
  for (const header of headers) assert.equal(preferredWait(header), undefined, `${header}`)
})

test('a hostile header costs no time', () => {
  const started = process.cpuUsage()
  for (const header of [
    `${'a=",'.repeat(4_000)}`,
    `${'a'.repeat(16_000)}`,
    `${'a;"b"'.repeat(3_000)}`,
    `wait=${'"\\'.repeat(8_000)}`,
    `${', '.repeat(8_000)}`,
  ]) {
    preferredWait(header)
  }
  const { user } = process.cpuUsage(started)
  assert.ok(user < 500_000, `${user} µs`)
})
