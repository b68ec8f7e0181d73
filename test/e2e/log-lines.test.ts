// What an operator finds in the log of a picture, and how much of it by the levels of the areas.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { findFreePort } from '../../src/app/free-port.ts'
import { eventually } from '../support/eventually.ts'
import { type Origin, startOrigin } from '../support/origin.ts'
import { jpeg } from '../support/pictures.ts'
import { type Environment, makeDataFolder, type Service, startService } from '../support/service.ts'

type Line = Record<string, unknown>

const REQUEST_ID = 'asked-for-by-a-test'
const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'

describe('the log of a service', () => {
  const stack = new AsyncDisposableStack()
  let origin: Origin
  let closedPort: number
  before(async () => {
    origin = stack.use(await startOrigin({ '/good.jpg': await jpeg(60, 50, 'pink') }))
    closedPort = await findFreePort('127.0.0.1')
  })
  after(() => stack.disposeAsync())

  const linesOf = ({ output }: Service): Line[] => {
    const whole = output().split('\n').slice(0, -1)
    return whole.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line))
  }

  /** The log of a service that was asked for a picture which it gets and one which it does not, and their ids. */
  const logOfTwo = async (environment: Environment) => {
    const { path: DATA_DIR } = stack.use(await makeDataFolder())
    await using service = await startService({
      DATA_DIR,
      OUTBOUND_ALLOW: '127.0.0.1/32',
      ...environment,
    })
    const response = await fetch(`${service.url}/products`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-request-id': REQUEST_ID,
        traceparent: `00-${TRACE_ID}-00f067aa0ba902b7-01`,
      },
      body: JSON.stringify({
        user_id: '1234-5678-9012',
        product_name: 'Sample Product',
        product_price: 100,
        product_images: [`${origin.url}/good.jpg`, `http://127.0.0.1:${closedPort}/bad.jpg`],
      }),
    })
    assert.equal(response.status, 201)
    const product = (await response.json()) as { id: string; images: { id: string }[] }
    const said = (msg: string) => linesOf(service).filter((line) => line.msg === msg)
    await eventually(() => {
      assert.equal(said('picture ready').length, 1)
      assert.ok(said('picture will be tried again').length > 0)
    }, 60_000)
    const [good, bad] = product.images.map(({ id }) => id)
    return { lines: linesOf(service), productId: product.id, good, bad }
  }

  const withoutMeasures = ({ time: _time, timings: _timings, bytes: _bytes, ...rest }: Line) => rest
  const requestsIn = (lines: Line[]) =>
    lines.filter(({ area, request_id }) => area === 'http' && request_id === REQUEST_ID)
  const debugIn = (lines: Line[]) => lines.filter(({ level }) => level === 'debug')

  test('has a line for each end of an attempt, which leads to the picture and to who asked for it', async () => {
    const { lines, productId, good, bad } = await logOfTwo({
      LOG_LEVELS: 'pipeline=debug,http=silent',
    })
    const ofAttempt = {
      area: 'pipeline',
      product_id: productId,
      request_id: REQUEST_ID,
      trace_id: TRACE_ID,
      attempt: 1,
    }
    const ready = lines.find(({ msg }) => msg === 'picture ready') ?? {}
    assert.deepEqual(withoutMeasures(ready), {
      ...ofAttempt,
      level: 'info',
      image_id: good,
      stage: 'settle',
      http_status: 200,
      msg: 'picture ready',
    })
    assert.ok(Number(ready.bytes) > 0)
    // Waits for a turn have a figure of their own.
    const { wait: _, ...timings } = ready.timings as Record<string, unknown>
    const stages = ['claim', 'download', 'inspect', 'render', 'settle', 'store']
    assert.deepEqual(Object.keys(timings).sort(), stages)
    for (const [stage, ms] of Object.entries(timings)) assert.ok(Number(ms) >= 0, stage)

    const again = lines.find(({ msg }) => msg === 'picture will be tried again') ?? {}
    assert.deepEqual(withoutMeasures(again), {
      ...ofAttempt,
      level: 'warn',
      image_id: bad,
      stage: 'download',
      code: 'connect_failed',
      detail: 'Could not connect to 127.0.0.1: the connection was refused.',
      retryable: true,
      msg: 'picture will be tried again',
    })
    assert.deepEqual(Object.keys(again.timings as object).sort(), ['claim', 'download'])

    // Each area has its own level: this one tells details, another says nothing.
    const debug = debugIn(lines)
    assert.deepEqual(withoutMeasures(debug[0] ?? {}), {
      ...ofAttempt,
      level: 'debug',
      image_id: bad,
      stage: 'download',
      code: 'connect_failed',
      causes: [`ECONNREFUSED: connect ECONNREFUSED 127.0.0.1:${closedPort}`],
      msg: `why a picture failed: ECONNREFUSED: connect ECONNREFUSED 127.0.0.1:${closedPort}`,
    })
    assert.ok(debug.every(({ area }) => area === 'pipeline'))
    assert.deepEqual(requestsIn(lines), [])
  })

  test('has a line for the request too, and no details, where no area has a level of its own', async () => {
    const { lines } = await logOfTwo({})
    assert.deepEqual(
      requestsIn(lines).map(({ msg, trace_id }) => [msg, trace_id]),
      [['request', TRACE_ID]],
    )
    assert.deepEqual(debugIn(lines), [])
  })
})
