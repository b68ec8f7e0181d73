// Two processes on one PostgreSQL and one Redis, and a Redis that goes and comes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql } from 'kysely'
import { startRedisServer } from '../../scripts/engines/redis.ts'
import { findFreePort } from '../../src/app/free-port.ts'
import { startComposed } from '../support/composed.ts'
import { describeOnPostgres, postgresEngine } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { newProduct } from '../support/products.ts'
import { connectRedis, describeWithRedisServer } from '../support/redis.ts'
import { makeDataFolder } from '../support/service.ts'

interface Node {
  url: string
}

describeOnPostgres('two processes', () => {
  describeWithRedisServer('with a Redis', () => {
    test("share what they show, see each other's writes, and go on without it", async () => {
      await using database = await postgresEngine.create()
      await using redis = await startRedisServer()
      await using folder = await makeDataFolder()
      const environment = {
        DATA_DIR: folder.path,
        DATABASE_URL: database.url ?? '',
        CACHE_URL: redis.url,
        PUBLIC_URL: 'http://shop.example',
      }
      const ports = [await findFreePort('127.0.0.1'), await findFreePort('127.0.0.1')]
      const [one, other] = ports.map((port) => ({ url: `http://127.0.0.1:${port}` })) as [
        Node,
        Node,
      ]
      await using _one = await startComposed({ ...environment, PORT: String(ports[0]) })
      await using _other = await startComposed({ ...environment, PORT: String(ports[1]) })
      const health = async (node: { url: string }) =>
        (await fetch(`${node.url}/redis-health`)).status
      const price = async (node: { url: string }, id: string) => {
        const answer = await fetch(`${node.url}/products/${id}`)
        assert.equal(answer.status, 200)
        return ((await answer.json()) as { product_price: number }).product_price
      }
      const change = async (node: { url: string }, id: string, product_price: number) => {
        const headers = { 'content-type': 'application/merge-patch+json' }
        const body = JSON.stringify({ product_price })
        const url = `${node.url}/products/${id}`
        assert.equal((await fetch(url, { method: 'PATCH', headers, body })).status, 200)
      }
      for (const node of [one, other])
        await eventually(async () => assert.equal(await health(node), 200))

      const posted = await fetch(`${one.url}/products`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(newProduct({ product_images: [] })),
      })
      const { id } = (await posted.json()) as { id: string }
      await price(one, id)
      await using client = await connectRedis(redis.url)
      assert.equal((await client.keys('vitrine:*:place')).length, 1, 'they share one cache')
      for (let n = 1; n <= 20; n++) {
        const [writer, reader] = n % 2 ? [one, other] : [other, one]
        await change(writer, id, n)
        assert.equal(await price(writer, id), n)
        await eventually(async () => assert.equal(await price(reader, id), n))
      }

      await redis.kill()
      for (const node of [one, other])
        await eventually(async () => assert.equal(await health(node), 503))
      await change(one, id, 100)
      assert.equal(await price(one, id), 100)
      assert.equal(await price(other, id), 100, 'memory is not trusted while nothing is heard')
      await redis.start()
      for (const node of [one, other])
        await eventually(async () => assert.equal(await health(node), 200))
      assert.equal(await price(other, id), 100)
    })
  })
})

describeOnPostgres('services of two databases', () => {
  describeWithRedisServer('with one Redis', () => {
    test('share nothing there', async () => {
      await using stack = new AsyncDisposableStack()
      const redis = stack.use(await startRedisServer())
      const client = stack.use(await connectRedis(redis.url))
      for (let n = 1; n <= 2; n++) {
        const { database, url = '' } = stack.use(await postgresEngine.create())
        // The databases of tests are copies of one, which has its mark.
        await sql`UPDATE store SET mark = gen_random_uuid()`.execute(database.db)
        const environment = { DATABASE_URL: url, CACHE_URL: redis.url, ROLE: 'api' }
        stack.use(await startComposed(environment))
        await eventually(async () => assert.equal((await client.keys('vitrine:*:place')).length, n))
      }
    })
  })
})
