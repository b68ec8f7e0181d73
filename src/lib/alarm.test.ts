import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAlarm } from './alarm.ts'

const NEVER_MS = 1_000_000

describe('an alarm', () => {
  test('cuts short the wait under way, and the next one when nobody waited', async () => {
    const alarm = createAlarm()
    const waiting = alarm.wait(NEVER_MS)
    alarm.ring()
    await waiting
    alarm.ring()
    alarm.ring()
    await alarm.wait(NEVER_MS)
  })

  test('ends a wait by itself when its time is up, once for all the rings before', async () => {
    const alarm = createAlarm()
    alarm.ring()
    await alarm.wait(NEVER_MS)
    const startedAt = performance.now()
    await alarm.wait(30)
    assert.ok(performance.now() - startedAt >= 25)
  })
})
