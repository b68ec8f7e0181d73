// What a broker that stops, is killed or is not there yet does to its queue, on every broker: each broker's
// test file calls this within its suite, with its own way of starting one.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, afterEach, before, test } from 'node:test'
import pino from 'pino'
import type { Engine } from '../../scripts/engines/engine.ts'
import { findFreePort } from '../../src/app/free-port.ts'
import { errorFields } from '../../src/observability/error-fields.ts'
import type { Logger } from '../../src/observability/logger.ts'
import type { Answer, Queue } from '../../src/queue/queue.ts'
import { eventually } from '../support/eventually.ts'

export const PATIENCE_MS = 60_000
/** What is said of an outage as it begins, and as it ends. */
export const BEGUN = 'does not work; trying again'
const OVER = 'works again'

export interface OutageOptions<Changes> {
  /** Starts the broker, which is ended after the tests. */
  start(): Promise<Omit<Engine, 'signal'>>
  /** Opens a queue on it, or one of which something is otherwise. */
  openQueue(log: Logger, changes: Changes | { port?: number }): Promise<Queue>
  /** What the lines begin with that tell of it. */
  prefix: RegExp
  /** The figure that tells how many bells wait. */
  waiting: 'bells' | 'lag'
}

interface Line {
  level: number
  msg: string
  err?: object
}

/** Adds the tests, and returns what they are written with. What it opens is closed after each test. */
export function testOutages<Changes>(options: OutageOptions<Changes>) {
  const { start, openQueue, prefix, waiting } = options
  let broker: Omit<Engine, 'signal'>
  const stack = new AsyncDisposableStack()
  const resources: AsyncDisposable[] = []
  before(async () => {
    broker = stack.use(await start())
  })
  after(() => stack.disposeAsync())
  afterEach(async () => {
    for (const resource of resources.splice(0).reverse()) await resource[Symbol.asyncDispose]()
  })

  /** Closed after the test, before what was there already. */
  const use = <T extends AsyncDisposable>(resource: T): T => {
    resources.push(resource)
    return resource
  }
  const open = async (changes: Changes | { port?: number } = {}) => {
    const lines: Line[] = []
    const write = (line: string) => void lines.push(JSON.parse(line))
    const log = pino({ level: 'info', serializers: { err: errorFields } }, { write })
    return { queue: use(await openQueue(log, changes)), lines }
  }
  const listen = (queue: Queue, onCall = async () => {}) => {
    const stopping = new AbortController()
    const heard = new Set<string>()
    const handler = async (id: string): Promise<Answer> => {
      await onCall()
      heard.add(id)
      return 'heard'
    }
    const ended = queue.listen(handler, { concurrency: 4, signal: stopping.signal })
    const stop = async () => {
      stopping.abort()
      await ended
    }
    use({ [Symbol.asyncDispose]: stop })
    return { heard, stop }
  }
  const announced = async (queue: Queue, count: number) => {
    const ids = Array.from({ length: count }, () => randomUUID())
    await queue.announce(ids)
    return ids
  }
  const hasHeard = (heard: ReadonlySet<string>, ids: readonly string[]) =>
    eventually(() => assert.ok(ids.every((id) => heard.has(id))), PATIENCE_MS)
  const answers = (queue: Queue) => eventually(() => queue.ping(), PATIENCE_MS)
  const messages = (lines: readonly Line[]) => lines.map(({ msg }) => msg.replace(prefix, ''))
  /** Of each outage is told once, and once that it is over. A broker that starts may go away again: that is another. */
  const assertTold = (lines: readonly Line[]) => {
    const told = messages(lines)
    assert.ok([2, 4].includes(told.length), `told: ${told}`)
    assert.deepEqual(
      told,
      told.map((_, n) => (n % 2 === 0 ? BEGUN : OVER)),
    )
  }

  for (const how of ['stop', 'kill'] as const) {
    test(`what was announced before a ${how} is heard after it; it is said once, and once that it is over`, async () => {
      const { queue, lines } = await open()
      const { heard, stop } = listen(queue)
      await hasHeard(heard, await announced(queue, 10))
      await stop()
      const ids = await announced(queue, 200)
      const again = listen(queue, () => new Promise((resolve) => setTimeout(resolve, 20)))
      await eventually(() => assert.ok(again.heard.size > 4))
      await broker[how]()
      await eventually(() => assert.rejects(queue.ping(), { code: 'unavailable' }))
      const started = performance.now()
      await assert.rejects(announced(queue, 1), { code: 'unavailable' })
      assert.ok(performance.now() - started < 4_000, 'nobody waits for what is away')
      await broker.start()
      await hasHeard(again.heard, ids)
      await answers(queue)
      await hasHeard(again.heard, await announced(queue, 10))
      await eventually(() => assertTold(lines))
      await eventually(async () => assert.equal((await queue.ping())?.[waiting], 0))
    })
  }

  test('announcements under way when it is killed are refused or kept', async () => {
    const { queue } = await open()
    const { heard } = listen(queue)
    const taken: string[] = []
    let isOver = false
    const announcing = (async () => {
      while (!isOver)
        try {
          taken.push(...(await announced(queue, 100)))
        } catch (error) {
          assert.equal((error as { code: string }).code, 'unavailable')
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
    })()
    try {
      await eventually(() => assert.ok(taken.length > 1_000), PATIENCE_MS)
      await broker.kill()
      await broker.start()
      const before = taken.length
      await eventually(() => assert.ok(taken.length > before), PATIENCE_MS)
    } finally {
      isOver = true
      await announcing
    }
    await hasHeard(heard, taken)
  })

  test('who stops while it is away ends at once', async () => {
    const { queue } = await open()
    const { heard, stop } = listen(queue)
    await hasHeard(heard, await announced(queue, 1))
    await broker.kill()
    await eventually(() => assert.rejects(queue.ping()))
    const started = performance.now()
    await stop()
    await queue[Symbol.asyncDispose]()
    const took = performance.now() - started
    assert.ok(took < 8_000, `it took ${took} ms`)
    await broker.start()
  })

  test('who starts while it is away listens once it is there', async () => {
    await broker.stop()
    const { queue, lines } = await open()
    const { heard } = listen(queue)
    await assert.rejects(queue.ping(), { code: 'unavailable' })
    await broker.start()
    await answers(queue)
    await hasHeard(heard, await announced(queue, 10))
    await eventually(() => assertTold(lines), PATIENCE_MS)
  })

  test('a start where nobody listens goes on, and says so in a few words', async () => {
    const { queue, lines } = await open({ port: await findFreePort('127.0.0.1') })
    assert.deepEqual(messages(lines), [BEGUN])
    assert.ok(JSON.stringify(lines[0]?.err).length < 2_000)
    await assert.rejects(queue.announce([randomUUID()]), { code: 'unavailable' })
  })
  return { use, open, listen, announced, hasHeard, answers, messages }
}
