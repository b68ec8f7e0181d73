// The pool's rules, with real children: how many, for how long, and what happens when none can be started.

import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import pino from 'pino'
import type { AppError } from '../../src/errors.ts'
import { type RenderChild, startRenderChild } from '../../src/pipeline/render-child.ts'
import { RenderPool, type RenderPoolOptions } from '../../src/pipeline/render-pool.ts'
import { bareCommand, unaborted } from '../support/renderer.ts'

const log = pino({ level: 'silent' })
const broken = { file: '/bin/false', args: [], environment: {} }

let now: number
let isBroken: boolean
let starts: number
beforeEach(() => {
  now = 0
  isBroken = false
  starts = 0
})

let pool: RenderPool
afterEach(() => pool[Symbol.asyncDispose]())

function open(options: Partial<RenderPoolOptions> = {}): RenderPool {
  pool = new RenderPool({
    start: (signal) => {
      starts++
      return startRenderChild(isBroken ? broken : bareCommand(1e9), { timeoutMs: 10_000, signal })
    },
    processes: 2,
    requestsPerChild: 1_000,
    clock: { now: () => now },
    log,
    ...options,
  })
  return pool
}

const pidOf = async (child: RenderChild) => child.pid

/** Holds a child until it is told to let go. */
async function hold(): Promise<{ child: RenderChild; letGo(): Promise<void> }> {
  const { promise: held, resolve } = Promise.withResolvers<RenderChild>()
  const { promise: free, resolve: release } = Promise.withResolvers<void>()
  const use = pool.use(
    async (child) => {
      resolve(child)
      await free
    },
    { signal: unaborted },
  )
  return {
    child: await held,
    letGo: () => {
      release()
      return use
    },
  }
}

describe('children', () => {
  test('are started as they are needed, and no more than are allowed', async () => {
    open()
    const first = await hold()
    assert.equal(starts, 1)
    const second = await hold()
    assert.notEqual(first.child.pid, second.child.pid)
    const third = hold()
    await first.letGo()
    assert.equal((await third).child, first.child)
    assert.equal(starts, 2)
    await Promise.all([second.letGo(), (await third).letGo()])
  })

  test('serve one request after the other', async () => {
    open()
    const pids = [
      await pool.use(pidOf, { signal: unaborted }),
      await pool.use(pidOf, { signal: unaborted }),
    ]
    assert.equal(pids[0], pids[1])
    assert.equal(starts, 1)
  })

  test('are replaced after so many requests', async () => {
    open({ processes: 1, requestsPerChild: 2 })
    const pids = []
    for (let request = 0; request < 5; request++)
      pids.push(await pool.use(pidOf, { signal: unaborted }))
    assert.equal(new Set(pids).size, 3)
    assert.deepEqual([pids[0], pids[2]], [pids[1], pids[3]])
  })

  test('are kept when the work with them fails for other reasons', async () => {
    open()
    const pid = await pool.use(pidOf, { signal: unaborted })
    const work = async () => {
      throw new Error('our own mistake')
    }
    await assert.rejects(pool.use(work, { signal: unaborted }), /our own mistake/)
    assert.equal(await pool.use(pidOf, { signal: unaborted }), pid)
  })
})

describe('when no child can be started', () => {
  const unavailable = (retryAfterMs: number) => (error: AppError) => {
    assert.equal(error.code, 'unavailable')
    assert.equal(error.retryAfterMs, retryAfterMs)
    assert.match(String(error.cause), /render_crashed|broke off/)
    return true
  }

  test('who waits is told so, and when to come again; the wait doubles up to 30 s', async () => {
    open()
    isBroken = true
    for (const seconds of [1, 2, 4, 8, 16, 30, 30]) {
      const uses = [pool.use(pidOf, { signal: unaborted }), pool.use(pidOf, { signal: unaborted })]
      await Promise.all(uses.map((use) => assert.rejects(use, unavailable(seconds * 1_000))))
      now += seconds * 1_000
    }
    assert.equal(starts, 7)
  })

  test('nobody starts another before its time', async () => {
    open()
    isBroken = true
    await assert.rejects(pool.use(pidOf, { signal: unaborted }), unavailable(1_000))
    isBroken = false
    now = 999
    await assert.rejects(pool.use(pidOf, { signal: unaborted }), unavailable(1))
    assert.equal(starts, 1)
    now = 1_000
    assert.equal(typeof (await pool.use(pidOf, { signal: unaborted })), 'number')
  })

  test('those that run go on, and serve who waits', async () => {
    open()
    const first = await hold()
    isBroken = true
    const second = pool.use(pidOf, { signal: unaborted })
    await first.letGo()
    assert.equal(await second, first.child.pid)
  })
})

test('a signal that has aborted already takes no child', async () => {
  open()
  const reason = new Error('too late')
  await assert.rejects(
    pool.use(pidOf, { signal: AbortSignal.abort(reason) }),
    (error) => error === reason,
  )
  assert.equal(starts, 0)
})
