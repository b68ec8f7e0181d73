// Listeners that come, go and are killed while bells ring: the group gives partitions from one to the other.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openQueue } from '../../src/queue/open.ts'
import type { Queue } from '../../src/queue/queue.ts'
import { silent } from '../jobs/support.ts'
import { eventually } from '../support/eventually.ts'
import { describeOnKafka, kafkaBrokers, newTopology, serverAt } from '../support/kafka.ts'

const program = fileURLToPath(new URL('../support/kafka-listener.ts', import.meta.url))
const PATIENCE_MS = 60_000

describeOnKafka('a rebalance under load', () => {
  const topology = newTopology(6)
  const processes: ChildProcess[] = []
  /** How often each was heard. */
  const heard = new Map<string, number>()
  let queue: Queue
  before(async () => {
    queue = await openQueue({
      kind: 'kafka',
      server: serverAt(kafkaBrokers),
      topology,
      log: silent,
    })
  })
  after(async () => {
    for (const child of processes) child.kill('SIGKILL')
    await queue[Symbol.asyncDispose]()
  })

  const startListener = () => {
    const child = spawn(process.execPath, [program, kafkaBrokers, topology.topic], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    processes.push(child)
    let count = 0
    createInterface(child.stdout).on('line', (id) => {
      count++
      heard.set(id, (heard.get(id) ?? 0) + 1)
    })
    return {
      hears: (more: number) => {
        const sofar = count
        return eventually(() => assert.ok(count >= sofar + more), PATIENCE_MS)
      },
      kill: () => child.kill('SIGKILL'),
      stop: async () => {
        child.stdin?.end()
        const [code] = await once(child, 'exit')
        assert.equal(code, 0)
      },
    }
  }

  test('loses nothing: some join, one leaves, one is killed', async (t) => {
    const rung: string[] = []
    let isOver = false
    const ringing = (async () => {
      while (!isOver) {
        const ids = Array.from({ length: 20 }, () => randomUUID())
        await queue.announce(ids)
        rung.push(...ids)
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    })()
    try {
      const first = startListener()
      await first.hears(100)
      const second = startListener()
      await second.hears(100)
      await first.hears(100)
      const third = startListener()
      await third.hears(100)
      second.kill()
      await third.hears(100)
      await first.stop()
      await third.hears(100)
      const fourth = startListener()
      await fourth.hears(100)
      await third.hears(100)
    } finally {
      isOver = true
      await ringing
    }
    await eventually(() => {
      const missed = rung.filter((id) => !heard.has(id))
      assert.equal(missed.length, 0, `${missed.length} of ${rung.length} were not heard`)
    }, PATIENCE_MS)
    await eventually(async () => assert.equal((await queue.ping())?.lag, 0), PATIENCE_MS)
    const again = [...heard.values()].reduce((sum, count) => sum + count - 1, 0)
    // What was answered and not yet told when its partition went, and what was in a dead process's hands.
    assert.ok(again < rung.length / 2, `${again} of ${rung.length} were heard again`)
    t.diagnostic(`${rung.length} bells, ${again} heard again`)
  })
})
