// Many processes, few products, a Redis that is emptied, paused, killed and put back to an old copy, and
// processes that are killed: every answer is held against the history of the versions.
// CACHE_CHECK_OPERATIONS asks for more of them: 1000000 takes some minutes.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type RedisProcess, startRedisServer } from '../../scripts/engines/redis.ts'
import { createProducts } from '../../src/products/products.ts'
import type { Answer, CacheNodeTask } from '../support/cache-node.ts'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { context, imageJob, mediaUrls, newProduct } from '../support/products.ts'
import { connectRedis, describeWithRedisServer, redisAt } from '../support/redis.ts'

const OPERATIONS = Number(process.env.CACHE_CHECK_OPERATIONS ?? 50_000)
const PRODUCTS = 5
const FAULT_EVERY_MS = 250
/** Other nodes hear by Redis within milliseconds, and by the log when that fails; a busy machine takes longer. */
const MOST_BEHIND_MS = 10_000
const node = fileURLToPath(new URL('../support/cache-node.ts', import.meta.url))

interface Node {
  answers: Answer[]
  /** The exit code, or null for one that was killed. */
  ended: Promise<number | null>
  kill(): void
}

function startNode(task: CacheNodeTask): Node {
  const child = fork(node, [JSON.stringify(task)])
  const answers: Answer[] = []
  child.on('message', (batch: Answer[]) => void answers.push(...batch))
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return { answers, ended, kill: () => void child.kill('SIGKILL') }
}

/** Throws for an answer that is older than a write this node had answered before; returns how far others were behind. */
function check(nodes: readonly Node[]): { operations: number; behindMs: number[] } {
  /** When each version of each product was first answered to whoever wrote it. */
  const writtenAt = Array.from({ length: PRODUCTS }, () => [] as [number, number][])
  for (const { answers } of nodes)
    for (const [what, which, version, , answered] of answers)
      if (what === 'write') writtenAt[which]?.push([version, answered])
  for (const writes of writtenAt) writes.sort(([a], [b]) => a - b)
  const behindMs: number[] = []
  let operations = 0
  for (const { answers } of nodes) {
    const own = answers
      .filter(([what]) => what === 'write')
      .toSorted(([, , , , a], [, , , , b]) => a - b)
    const reads = answers
      .filter(([what]) => what === 'read')
      .toSorted(([, , , a], [, , , b]) => a - b)
    operations += answers.length
    const floors = new Array<number>(PRODUCTS).fill(0)
    let at = 0
    for (const [, which, version, begun] of reads) {
      for (let write = own[at]; write && write[4] < begun; write = own[++at])
        floors[write[1]] = Math.max(floors[write[1]] ?? 0, write[2])
      const floor = floors[which] ?? 0
      assert.ok(version >= floor, `version ${version} after an own write of ${floor}`)
      // The first newer version that had been answered before the read began.
      const newer = firstAbove(writtenAt[which] ?? [], version)
      if (newer) behindMs.push(Math.max(0, begun - newer[1]))
    }
  }
  return { operations, behindMs }
}

function firstAbove(writes: readonly [number, number][], version: number) {
  let [low, high] = [0, writes.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((writes[middle]?.[0] ?? 0) > version) high = middle
    else low = middle + 1
  }
  return writes[low]
}

/** One after the other, until the signal aborts; in the end everything runs. Returns how many. */
async function injectFaults(server: RedisProcess, replaceNode: () => void, signal: AbortSignal) {
  const withClient = async (
    work: (client: Awaited<ReturnType<typeof connectRedis>>) => unknown,
  ) => {
    await using client = await connectRedis(server.url)
    await work(client)
  }
  const faults: (() => Promise<void>)[] = [
    () => withClient((client) => client.flushAll()),
    // Kept now, and found again after the next kill.
    () => withClient((client) => client.sendCommand(['SAVE'])),
    () => withClient((client) => client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal'])),
    async () => {
      server.pause()
      await sleep(200)
      server.resume()
    },
    () => withClient((client) => client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub'])),
    async () => {
      await server.kill()
      await server.start()
    },
    // It is wherever it is, between commit and drop too; its successor knows nothing of what was written.
    async () => replaceNode(),
  ]
  let count = 0
  while (!signal.aborted) {
    await faults[count++ % faults.length]?.()
    await sleep(FAULT_EVERY_MS, undefined, { signal }).catch(() => {})
  }
  return count
}

describeOnPostgres('reads of many processes', () => {
  describeWithRedisServer('with a Redis that fails', () => {
    test('are never older than a write that their own process answered, and others soon follow', async (context_) => {
      await using open = await postgresEngine.create()
      await using server = await startRedisServer()
      const creating = createProducts({
        database: open.database,
        mediaUrls,
        imageJob,
        checkUrl: () => undefined,
        cache: { maxBytes: 0, maxStaleMs: 0, currentAsOf: () => undefined },
      })
      const ids: string[] = []
      for (let n = 0; n < PRODUCTS; n++)
        ids.push((await creating.create(newProduct({ product_images: [] }), context)).id)
      const task = (operations: number, maxBytes: number): CacheNodeTask => ({
        database: { ...open.options, poolSize: 6 } as CacheNodeTask['database'],
        redis,
        ids,
        operations,
        maxBytes,
      })
      const redis = redisAt(server.url)
      const share = Math.ceil(OPERATIONS / 3)
      // One keeps nothing in memory, so that all its reads go to Redis.
      const nodes = [
        startNode(task(share, 1_000_000)),
        startNode(task(share, 1_000_000)),
        startNode(task(share, 0)),
      ]
      const stopping = new AbortController()
      const replaced: Node[] = []
      const replaceNode = () => {
        replaced.at(-1)?.kill()
        replaced.push(startNode(task(Number.MAX_SAFE_INTEGER, 0)))
      }
      replaceNode()
      const faults = injectFaults(server, replaceNode, stopping.signal)
      const codes = await Promise.all(nodes.map(({ ended }) => ended))
      stopping.abort()
      const count = await faults
      replaced.at(-1)?.kill()
      assert.deepEqual(codes, [0, 0, 0], 'no request failed')
      for (const { ended } of replaced) assert.equal(await ended, null, 'it was killed')
      const { operations, behindMs } = check([...nodes, ...replaced])
      assert.ok(operations >= OPERATIONS)
      const most = Math.round(behindMs.reduce((a, b) => Math.max(a, b), 0))
      const behind = behindMs.filter((ms) => ms > 0).length
      context_.diagnostic(
        `${operations} operations, ${count} faults, ${replaced.length - 1} processes replaced: 0 older than an own write; ${behind} of others were behind, by at most ${most} ms`,
      )
      assert.ok(most <= MOST_BEHIND_MS, `${most} ms behind`)
    })
  })
})
