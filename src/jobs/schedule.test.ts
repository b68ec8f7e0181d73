import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import pino from 'pino'
import { eventually } from '../../test/support/eventually.ts'
import { openSchedule } from './schedule.ts'

const NEVER_MS = 1_000_000

function collectingLog() {
  const lines: string[] = []
  const write = (line: string) => void lines.push(JSON.parse(line).msg)
  return { lines, log: pino({ level: 'info' }, { write }) }
}

describe('a schedule', () => {
  test('runs at once, then again and again, never twice at the same time', async () => {
    let running = 0
    let runs = 0
    const { log } = collectingLog()
    await using _schedule = openSchedule({
      name: 'counting',
      everyMs: 1,
      log,
      task: async () => {
        assert.equal(++running, 1)
        await new Promise(setImmediate)
        running--
        runs++
      },
    })
    await eventually(() => assert.ok(runs >= 5))
  })

  test('a wake during a run is another run, ten wakes are one', async () => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>()
    let runs = 0
    const { log } = collectingLog()
    await using schedule = openSchedule({
      name: 'counting',
      everyMs: NEVER_MS,
      log,
      task: async () => {
        runs++
        await gate
      },
    })
    for (let i = 0; i < 10; i++) schedule.wake()
    open()
    await eventually(() => assert.equal(runs, 2))
    schedule.wake()
    await eventually(() => assert.equal(runs, 3))
  })

  test('an outage is logged once, its end too, and the runs go on', async () => {
    let runs = 0
    const { log, lines } = collectingLog()
    await using _schedule = openSchedule({
      name: 'counting',
      everyMs: 1,
      log,
      task: async () => {
        if (++runs <= 3) throw new Error('no')
      },
    })
    await eventually(() => assert.ok(runs >= 5))
    assert.deepEqual(lines, ['counting failed; trying again', 'counting works again'])
  })

  test('while it fails, wakes do not hurry it', async () => {
    let runs = 0
    const { log, lines } = collectingLog()
    await using schedule = openSchedule({
      name: 'counting',
      everyMs: NEVER_MS,
      log,
      task: async () => {
        runs++
        throw new Error('no')
      },
    })
    await eventually(() => assert.equal(lines.length, 1))
    schedule.wake()
    await new Promise(setImmediate)
    assert.equal(runs, 1)
  })

  test('disposing of it tells the run under way, and waits for it', async () => {
    let ended = false
    const { log } = collectingLog()
    const schedule = openSchedule({
      name: 'counting',
      everyMs: NEVER_MS,
      log,
      task: async (signal) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        await new Promise(setImmediate)
        ended = true
      },
    })
    await schedule[Symbol.asyncDispose]()
    assert.ok(ended)
  })
})
