// The server of the tests' own obeys in whatever state a test that failed half-way left it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import {
  describeWithPostgresServer,
  type PostgresServer,
  startPostgresServer,
} from './postgres-server.ts'

describeWithPostgresServer('a PostgreSQL server of the tests’ own', () => {
  let server: PostgresServer
  before(async () => {
    server = await startPostgresServer()
  })
  after(() => server[Symbol.asyncDispose]())

  const connect = async () => {
    const client = new pg.Client(server.url)
    await client.connect()
    return client
  }
  const works = async () => {
    const client = await connect()
    await client.query('SELECT 1')
    await client.end()
  }

  test('is frozen and thawed while its sessions end', async () => {
    for (let round = 0; round < 10; round++) {
      const clients = await Promise.all(Array.from({ length: 20 }, connect))
      const ended = Promise.all(clients.map((client) => client.end()))
      await server.freeze()
      await server.thaw()
      await ended
      await works()
    }
  })

  test('answers nothing while it is frozen, and is started or stopped from there', async () => {
    const client = await connect()
    let answers = 0
    const ask = () => client.query('SELECT 1').then(() => answers++)
    await ask()
    await server.freeze()
    const asked = ask()
    await new Promise((resolve) => setTimeout(resolve, 500))
    assert.equal(answers, 1)
    await server.start()
    await asked
    await client.end()
    await server.freeze()
    await server.stop()
    await assert.rejects(works(), { code: 'ECONNREFUSED' })
    await server.thaw()
    await server.start()
    await works()
  })
})
