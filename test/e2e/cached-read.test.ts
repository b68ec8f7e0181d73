// The cached read as it is composed: what it costs, and how soon it shows what was written.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sql } from 'kysely'
import pg from 'pg'
import type { Database } from '../../src/database/database.ts'
import { openDatabase } from '../../src/database/open.ts'
import type { HealthReport } from '../../src/observability/health.ts'
import { type Composed, startComposed } from '../support/composed.ts'
import {
  describeOnEachDatabase,
  describeOnPostgres,
  postgresEngine,
  type TestDatabase,
} from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { heldBack, type Origin, startOrigin } from '../support/origin.ts'
import { createPictureWork, freshUrls, type PictureWork } from '../support/picture-work.ts'
import { jpeg } from '../support/pictures.ts'
import {
  type Environment,
  getProduct,
  makeDataFolder,
  postProduct,
  settled,
} from '../support/service.ts'

/** What requests for products ask of the database; what the process asks by itself names none of these. */
const CATALOGUE = /\b(products|images|renditions|objects|users)\b/

describeOnEachDatabase('GET /products/:id', (engine) => {
  const stack = new AsyncDisposableStack()
  let origin: Origin
  let service: Composed
  let statements: string[] = []
  before(async () => {
    origin = stack.use(await startOrigin({ '/a.jpg': await jpeg(40, 30, 'plum') }))
    const environment: Environment = { OUTBOUND_ALLOW: '127.0.0.1/32' }
    if (engine.name === 'postgres')
      environment.DATABASE_URL = stack.use(await engine.create()).url ?? ''
    const onStatement = (text: string) => void statements.push(text)
    service = stack.use(await startComposed(environment, { onStatement }))
  })
  after(() => stack.disposeAsync())

  /** The statements that `work` caused. */
  const countingStatements = async (work: () => Promise<unknown>): Promise<string[]> => {
    statements = []
    await work()
    return statements.filter((text) => CATALOGUE.test(text))
  }
  /** A settled product that this node holds. */
  const warm = async () => {
    const { id } = await postProduct(service, [`${origin.url}/a.jpg`])
    await settled(service, id)
    await eventually(async () =>
      assert.deepEqual(await countingStatements(() => getProduct(service, id)), []),
    )
    return id
  }
  const get = (id: string, headers: Record<string, string> = {}) =>
    fetch(`${service.url}/products/${id}`, { headers })

  test('does no SQL when it is cached, for a 304 neither', async () => {
    const id = await warm()
    const { id: other } = await postProduct(service, [])
    const first = await get(id)
    const body = await first.text()
    const etag = first.headers.get('etag') ?? ''
    const caused = await countingStatements(async () => {
      for (let n = 0; n < 50; n++) {
        const hit = await get(id)
        assert.deepEqual([hit.status, hit.headers.get('etag'), await hit.text()], [200, etag, body])
        const unchanged = await get(id, { 'if-none-match': etag })
        assert.deepEqual([unchanged.status, await unchanged.text()], [304, ''])
      }
    })
    assert.deepEqual(caused, [])
    const missed = await countingStatements(() => get(other))
    assert.equal(missed.length, 1, 'a miss is one statement, and would have been noticed')
  })

  test('is told of by the health report', async () => {
    await warm()
    const { checks } = (await (await fetch(`${service.url}/health`)).json()) as HealthReport
    assert.equal(checks.cache?.status, 'healthy')
    const { entries = 0, bytes = 0 } = checks.cache?.details ?? {}
    assert.ok(entries >= 1 && bytes > entries * 300, JSON.stringify(checks.cache))
  })

  test('shows a write as soon as it was answered', async () => {
    const id = await warm()
    for (let n = 0; n < 3; n++) {
      const before = await settled(service, id)
      const imageId = before.images[0]!.id
      const retry = await fetch(`${service.url}/images/${imageId}/retry`, { method: 'POST' })
      assert.equal(retry.status, 202)
      const after = await getProduct(service, id)
      assert.ok(after.version > before.version, `${after.version} after ${before.version}`)
    }
  })

  test('G4: never goes back in time, nor before an own write, for readers that never stop', async () => {
    const id = await warm()
    let over = false
    const read = async () => {
      let highest = 0
      while (!over) {
        const { version } = await getProduct(service, id)
        assert.ok(version >= highest, `${version} after ${highest}`)
        highest = version
      }
      return highest
    }
    const readers = Array.from({ length: 6 }, read)
    try {
      for (let n = 0; n < 6; n++) {
        const { images, version } = await settled(service, id)
        const url = `${service.url}/images/${images[0]!.id}/retry`
        assert.equal((await fetch(url, { method: 'POST' })).status, 202)
        assert.ok((await getProduct(service, id)).version > version)
      }
      await settled(service, id)
    } finally {
      over = true
    }
    for (const highest of await Promise.all(readers)) assert.ok(highest >= 6 * 3)
  })

  test('of a picture that is being processed answers a retry with 409', async () => {
    const held = Promise.withResolvers<void>()
    origin.routes['/held.jpg'] = heldBack(held.promise, 'no picture')
    const { id, images } = await postProduct(service, [`${origin.url}/held.jpg`])
    await origin.asked('/held.jpg')
    await eventually(async () =>
      assert.equal((await getProduct(service, id)).images[0]!.status, 'processing'),
    )
    const url = `${service.url}/images/${images[0]!.id}/retry`
    const refused = await fetch(url, { method: 'POST' })
    const problem = (await refused.json()) as { code: string }
    assert.deepEqual([refused.status, problem.code], [409, 'conflict'])
    held.resolve()
    assert.equal((await settled(service, id)).images[0]!.error?.code, 'not_an_image')
  })
})

describeOnPostgres('GET /products/:id on a node that others write beside', () => {
  const stack = new AsyncDisposableStack()
  let open: TestDatabase
  let node: Composed
  /** Another session, with signals of its own: another process, as far as the node can tell. */
  let elsewhere: Database
  let work: PictureWork
  before(async () => {
    open = stack.use(await postgresEngine.create())
    node = stack.use(await startComposed({ DATABASE_URL: open.url ?? '', ROLE: 'api' }))
    elsewhere = stack.use(await openDatabase(open.options))
    work = createPictureWork({ database: elsewhere })
  })
  after(() => stack.disposeAsync())

  /** Milliseconds from the commit of a settle elsewhere to the read here that shows it. */
  const delayOfSettle = async (tell: () => void) => {
    const { id, images } = await work.post(freshUrls(1))
    elsewhere.signals.send('events')
    const job = await eventually(async () => {
      const claimed = await work.claim(images[0]!.id)
      assert.ok(claimed, 'the node is just announcing it')
      return claimed
    })
    const settle = await work.run(job)
    await eventually(async () =>
      assert.equal((await getProduct(node, id)).images[0]!.status, 'processing'),
    )
    await settle()
    const committedAt = performance.now()
    tell()
    await eventually(async () =>
      assert.equal((await getProduct(node, id)).processing_status, 'completed'),
    )
    return performance.now() - committedAt
  }
  const delays = async (count: number, tell: () => void) => {
    const found: number[] = []
    for (let n = 0; n < count; n++) found.push(await delayOfSettle(tell))
    return found.sort((a, b) => a - b)
  }

  test('G4: a settle elsewhere shows here within moments of its signal', async (t) => {
    const found = await delays(30, () => elsewhere.signals.send('events'))
    t.diagnostic(`p50 ${Math.round(found[15]!)} ms, longest ${Math.round(found[29]!)} ms`)
    // Without the signal it would be half a second.
    assert.ok(found[15]! < 300 && found[29]! < 10_000)
  })

  test('G4: and within a second or so when its signal is lost', async (t) => {
    const found = await delays(5, () => {})
    t.diagnostic(`p50 ${Math.round(found[2]!)} ms, longest ${Math.round(found[4]!)} ms`)
    assert.ok(found[2]! < 2_000 && found[4]! < 10_000)
  })

  test('G4: also right after its own session for signals was ended', async () => {
    await sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND (query LIKE '%LISTEN%' OR query LIKE '%pg_notify%')`.execute(elsewhere.db)
    const [delay] = await delays(1, () => elsewhere.signals.send('events'))
    assert.ok(delay! < 10_000, `${delay} ms`)
  })
})

describeOnPostgres(
  'GET /products/:id on a node whose database is put back to an older state',
  () => {
    test('shows what is there now, and its own writes', async () => {
      await using open = await postgresEngine.create()
      await open.database[Symbol.asyncDispose]()
      const url = new URL(open.url ?? '')
      const name = url.pathname.slice(1)
      const server = new pg.Client({ connectionString: process.env.TEST_DATABASE_URL })
      await server.connect()
      await using _server = { [Symbol.asyncDispose]: () => server.end() }
      await using folder = await makeDataFolder({ empty: true })
      const environment = { DATABASE_URL: url.href, DATA_DIR: folder.path, ROLE: 'api' }
      let id = ''
      {
        await using before = await startComposed(environment)
        id = (await postProduct(before, [])).id
      }
      await server.query(`CREATE DATABASE ${name}_old TEMPLATE ${name}`)
      await using node = await startComposed(environment)
      const change = async (product_price: number) => {
        const answer = await fetch(`${node.url}/products/${id}`, {
          method: 'PATCH',
          headers: { 'content-type': 'application/merge-patch+json' },
          body: JSON.stringify({ product_price }),
        })
        assert.equal(answer.status, 200)
      }
      for (let price = 2; price < 9; price++) await change(price)
      assert.equal((await getProduct(node, id)).product_price, 8)
      // No new session gets in meanwhile, so that the names can be exchanged.
      await server.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`)
      await server.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1',
        [name],
      )
      await eventually(() => server.query(`ALTER DATABASE ${name} RENAME TO ${name}_lost`))
      await server.query(`ALTER DATABASE ${name}_old RENAME TO ${name}`)
      await server.query(`DROP DATABASE ${name}_lost`)
      await eventually(async () => {
        const { product_price, version } = await getProduct(node, id)
        assert.deepEqual([product_price, version], [100, 1])
      })
      for (let price = 2; price < 5; price++) {
        await change(price)
        assert.equal((await getProduct(node, id)).product_price, price)
      }
    })
  },
)
